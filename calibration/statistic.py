"""The numbers that histograms count of a tensor, one a sample: made by one rule at compile time and on devices.

`core.statistic` names them. A number that is not finite stays so; who counts leaves it out or tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.statistic import CHANNEL_MEAN, CHANNEL_STD, COLUMN, MEAN, MISSING, STD, Statistic

_FEW_CHANNELS = 4

Floats = NDArray[np.float64]


class Table:
    """What is counted of one tensor: one number a sample for each of `statistics`."""

    def __init__(self, statistics: Sequence[Statistic]) -> None:
        self._width = len(statistics)
        self._groups: list[tuple[str, list[int], list[int] | None]] = []  # name, where in the result, which columns
        for name in dict.fromkeys(item.name for item in statistics if item.place is not None):
            placed = [
                (at, item.place or 0) for at, item in enumerate(statistics) if item.name == name and item.place is not None
            ]
            self._groups.append((name, [at for at, _ in placed], [place for _, place in placed]))
        self._groups += [(item.name, [at], None) for at, item in enumerate(statistics) if item.place is None]

    def of(self, array: NDArray[Any]) -> Floats:
        """Float64 [n, statistics] of an array [n, ...].

        Raises IndexError for a column or channel that the array does not have, and ValueError for an array of another rank.
        """
        found = np.empty((len(array), self._width))
        moments = _Moments(array)
        with np.errstate(invalid="ignore", over="ignore"):
            for name, where, places in self._groups:
                numbers = _numbers(name, array, moments, is_whole=places is None)
                found[:, where] = numbers if places is None else numbers[:, places]
        return found


def table(array: NDArray[Any], statistics: Sequence[Statistic]) -> Floats:
    """What `Table(statistics).of(array)` gives, for who asks once."""
    return Table(statistics).of(array)


def channel_axis(shape: Sequence[int]) -> int:
    """The axis of channels of a tensor of that shape [n, ...]: one of at most four, the last axis first; else the last."""
    last = len(shape) - 1
    few = [axis for axis in range(1, len(shape)) if shape[axis] <= _FEW_CHANNELS]
    return few[0] if few and last not in few else last


class _Moments:
    """Means and standard deviations of an array's channels and of all of it, each reckoned once and when asked for."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self._made: dict[bool, tuple[Floats, Floats]] = {}

    def of(self, by_channel: bool) -> tuple[Floats, Floats]:
        """Means and standard deviations, float64 [n, channels], or [n, 1] of all."""
        if by_channel not in self._made:
            self._made[by_channel] = self._reckoned(by_channel)
        return self._made[by_channel]

    def _reckoned(self, by_channel: bool) -> tuple[Floats, Floats]:
        array = self._array
        if not by_channel:
            flat = array.reshape(len(array), 1, -1)
        elif array.ndim in (3, 4):
            moved = np.moveaxis(array, channel_axis(array.shape), 1)
            flat = moved.reshape(*moved.shape[:2], -1)
        else:
            raise ValueError(f"an array of shape {array.shape} has no channels")
        wide = flat.astype(np.float64)
        means = wide.mean(axis=2)
        wide -= means[:, :, None]
        return means, np.sqrt(np.einsum("ncx,ncx->nc", wide, wide) / wide.shape[2])


def _numbers(name: str, array: NDArray[Any], moments: _Moments, *, is_whole: bool) -> NDArray[Any]:
    """[n, m]: the statistic of every column or channel; of the whole tensor [n, 1]."""
    if name in (CHANNEL_MEAN, CHANNEL_STD, MEAN, STD):
        return moments.of(name in (CHANNEL_MEAN, CHANNEL_STD))[name in (CHANNEL_STD, STD)]
    if name == MISSING:
        missing = ~np.isfinite(array.reshape(len(array), -1))
        return np.asarray(missing.mean(axis=1)[:, None] if is_whole else missing)
    if name != COLUMN:
        raise ValueError(f"{name} is no statistic of a sample")
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape} has no columns")
    return array
