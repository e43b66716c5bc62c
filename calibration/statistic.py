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


def table(array: NDArray[Any], statistics: Sequence[Statistic]) -> Floats:
    """Float64 [n, statistics] of an array [n, ...]: of each sample, each of the statistics.

    Raises IndexError for a column or channel that the array does not have, and ValueError for an array of another rank.
    """
    made: dict[str, NDArray[Any]] = {}
    columns = []
    for statistic in statistics:
        if statistic.name not in made:
            made[statistic.name] = _all_of(statistic.name, array)
        numbers = made[statistic.name]
        if statistic.name == MISSING:
            columns.append(numbers.mean(axis=1) if statistic.place is None else numbers[:, statistic.place])
        else:
            columns.append(numbers[:, statistic.place or 0])
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((len(array), 0))


def channel_axis(shape: Sequence[int]) -> int:
    """The axis of channels of a tensor of that shape [n, ...]: one of at most four, the last axis first; else the last."""
    last = len(shape) - 1
    few = [axis for axis in range(1, len(shape)) if shape[axis] <= _FEW_CHANNELS]
    return few[0] if few and last not in few else last


def _all_of(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """[n, m]: the statistic of every column or channel; of the whole tensor [n, 1]; whether each value is missing."""
    if name == COLUMN:
        return _columns(array)
    if name == MISSING:
        return np.asarray(~np.isfinite(array.reshape(len(array), -1)))
    if name in (CHANNEL_MEAN, CHANNEL_STD) and array.ndim not in (3, 4):
        raise ValueError(f"an array of shape {array.shape} has no channels")
    kept = {0, channel_axis(array.shape)} if name in (CHANNEL_MEAN, CHANNEL_STD) else {0}
    axes = tuple(axis for axis in range(array.ndim) if axis not in kept)
    with np.errstate(invalid="ignore", over="ignore"):
        if name in (CHANNEL_MEAN, MEAN):
            found = np.mean(array, axis=axes, dtype=np.float64)
        elif name in (CHANNEL_STD, STD):
            found = np.std(array, axis=axes, dtype=np.float64)
        else:
            raise ValueError(f"{name} is no statistic of a sample")
    return np.asarray(found).reshape(len(array), -1)


def _columns(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape} has no columns")
    return array
