"""The measured time of one layer in one runtime at a grid of channels: a figure of measurements.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Microseconds [inputs][outputs] of one layer in one runtime at a grid of channels, both ascending."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    time_us: tuple[tuple[float, ...], ...]

    def at(self, inputs: int, outputs: int) -> float:
        """Microseconds at any channels, linear between those of the grid."""
        rows = [np.interp(outputs, self.outputs, row) for row in self.time_us]
        return float(np.interp(inputs, self.inputs, rows))

    @staticmethod
    def from_figure(value: Any) -> Table | None:
        """The table of a figure, or None where it says that the runtime cannot run the layer alone.

        More channels never take less time: where they seem to, the machine was disturbed, and the longest of the fewer counts.
        Raises ValueError, TypeError or KeyError for what is no such figure.
        """
        inputs, outputs = _grid(value["inputs"]), _grid(value["outputs"])
        if value["time_us"] is None:
            return None
        rows = np.asarray(value["time_us"], np.float64)
        if rows.shape != (len(inputs), len(outputs)) or not np.isfinite(rows).all() or rows.min() <= 0:
            raise ValueError("the times do not fit their grid of channels")
        steady = np.maximum.accumulate(np.maximum.accumulate(rows, axis=0), axis=1)
        return Table(inputs, outputs, tuple(tuple(float(time) for time in row) for row in steady))


def figure(inputs: Sequence[int], outputs: Sequence[int], time_us: Sequence[Sequence[float]] | None) -> dict[str, Any]:
    """The JSON value that `Table.from_figure` reads: microseconds [inputs][outputs] as measured, None where there are none."""
    return {"inputs": list(inputs), "outputs": list(outputs), "time_us": None if time_us is None else [*map(list, time_us)]}


def _grid(value: Any) -> tuple[int, ...]:
    if not value or any(type(size) is not int or size < 1 for size in value) or sorted(set(value)) != list(value):
        raise ValueError("channels must be whole numbers, ascending")
    return tuple(value)
