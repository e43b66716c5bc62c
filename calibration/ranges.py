"""From a tensor's statistics to the range (low, high) that its integers shall cover."""

from __future__ import annotations

import math
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.counts import Counts
from ..core.errors import UsageError, unknown
from ..cpp_bindings import kernels
from .statistics import TensorStatistics

Method = Literal["min-max", "percentile", "mse", "entropy"]
METHODS = cast(tuple[Method, ...], get_args(Method))

_TIE = 1.0 + 1e-9
_SAME_DIVERGENCE = 1e-9
_COARSE, _FINE, _ROUNDS = 25, 9, 3


def range_of(
    statistics: TensorStatistics,
    method: Method,
    *,
    percentile: float = 99.999,
    levels: int = 256,
    symmetric: bool = False,
    threads: int = 1,
) -> tuple[float, float]:
    """Range of a tensor, never wider than what was seen.

    min-max: the extremes. percentile: leaves (100 - percentile) / 2 percent out at either side, linear within a bin.
    mse: the least mean squared error of `levels` integers with a rounded zero point (or none, `symmetric`).
    entropy: the least KL divergence over clipped magnitudes (TensorRT's calibration). Raises UsageError on an unknown method,
    a percentile outside (0, 100], or fewer than four levels.
    """
    if method not in METHODS:
        raise UsageError(unknown("calibration method", method, METHODS))
    if not 0.0 < percentile <= 100.0:
        raise UsageError(f"percentile {percentile} is out of range; give a number above 0 and up to 100.")
    if levels < 4:
        raise UsageError(f"{levels} levels cannot hold a range; give at least four.")
    low, high = statistics.minimum, statistics.maximum
    if method == "min-max" or low == high:
        return low, high
    if method == "percentile":
        return _percentile(statistics, percentile)
    if method == "mse":
        return _symmetric_mse(statistics, levels, threads) if symmetric else _mse(statistics, levels, threads)
    return _entropy(statistics, levels, threads)


def weight_scales(
    weights: NDArray[np.float32], axis: int | None, *, largest: int = 127, steps: int = 100, threads: int = 1
) -> NDArray[np.float32]:
    """Scale of each channel along `axis` (or one for all, [1]) with the least squared error of symmetric integers.

    The candidates are `steps` equal parts of the largest magnitude divided by `largest`; where several are as good the largest
    wins. A channel of zeros gets the scale 1. Raises UsageError on weights that are not finite, or a wrong axis.
    """
    summary = kernels.summarize(weights, axis, threads)
    if summary.nan.any() or summary.infinite.any():
        raise UsageError("weights that are NaN or infinite cannot be quantized; train or export the model again.")
    rows = weights.reshape(1, -1) if axis is None else np.moveaxis(weights, axis, 0).reshape(summary.minimum.size, -1)
    magnitude = np.maximum(np.abs(summary.minimum), np.abs(summary.maximum)).astype(np.float64)
    magnitude[~np.isfinite(magnitude) | (magnitude == 0.0)] = largest
    # Candidates are float32 from the start: the scale that was judged is the scale that ships.
    parts = np.arange(steps, 0, -1) / steps
    scales = np.maximum((magnitude[:, None] * parts / largest).astype(np.float32), np.finfo(np.float32).tiny)
    errors = kernels.row_errors(rows, scales, -largest, largest, threads)
    best = np.argmax(errors <= errors.min(axis=1, keepdims=True) * _TIE, axis=1)
    return cast(NDArray[np.float32], scales[np.arange(rows.shape[0]), best])


def _percentile(statistics: TensorStatistics, percentile: float) -> tuple[float, float]:
    counts = statistics.histogram
    tail = (100.0 - percentile) / 200.0 * counts.total
    low = _quantile(counts, tail)
    high = _quantile(counts, counts.total - tail)
    return max(low, statistics.minimum), min(high, statistics.maximum)


def _quantile(counts: Counts, rank: float) -> float:
    """Value below which `rank` values lie."""
    before = 0
    for k, count in enumerate(counts.counts):
        if count and before + count >= rank:
            return math.ldexp(counts.first + k + (rank - before) / count, counts.exponent)
        before += count
    return counts.edges()[-1]


def _centres(statistics: TensorStatistics) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of the filled bins, kept within the extremes, and their counts."""
    counts = np.array(statistics.histogram.counts, np.float64)
    filled = np.flatnonzero(counts)
    centres = np.ldexp(filled + statistics.histogram.first + 0.5, statistics.histogram.exponent)
    return np.clip(centres, statistics.minimum, statistics.maximum), counts[filled]


def _mse(statistics: TensorStatistics, levels: int, threads: int) -> tuple[float, float]:
    """Search both ends: a coarse grid, then finer ones around the best."""
    centres, counts = _centres(statistics)
    bottom, top = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    lows, highs = _parts(bottom, 1.0 / _COARSE, 1.0, _COARSE), _parts(top, 1.0 / _COARSE, 1.0, _COARSE)
    best = (bottom, top)
    spacing = 1.0 / _COARSE
    for _ in range(_ROUNDS):
        low, high = np.repeat(lows, highs.size), np.tile(highs, lows.size)
        scales = (high - low) / (levels - 1)
        zeros = np.rint(-low / scales)
        errors = kernels.quantization_errors(centres, counts, scales, -zeros, levels - 1 - zeros, threads)
        best = _widest(low, high, errors)
        lows = _around(bottom, best[0], spacing)
        highs = _around(top, best[1], spacing)
        spacing *= 2.0 / (_FINE - 1)
    return max(best[0], statistics.minimum), min(best[1], statistics.maximum)


def _symmetric_mse(statistics: TensorStatistics, levels: int, threads: int) -> tuple[float, float]:
    centres, counts = _centres(statistics)
    limit = max(abs(statistics.minimum), abs(statistics.maximum))
    largest = levels // 2 - 1
    ends = _parts(limit, 0.005, 1.0, 200)
    bounds = np.full(ends.size, float(largest))
    errors = kernels.quantization_errors(centres, counts, ends / largest, -bounds, bounds, threads)
    _, end = _widest(-ends, ends, errors)
    return max(-end, statistics.minimum), min(end, statistics.maximum)


def _parts(end: float, low: float, high: float, steps: int) -> NDArray[np.float64]:
    """`steps` parts of `end`, from the fraction `low` to `high`; one where there is nothing to clip."""
    return np.zeros(1) if end == 0.0 else end * np.linspace(low, high, steps)


def _around(end: float, best: float, spacing: float) -> NDArray[np.float64]:
    if end == 0.0:
        return np.zeros(1)
    fraction = best / end
    return _parts(end, max(fraction - spacing, spacing / _FINE), min(fraction + spacing, 1.0), _FINE)


def _widest(low: NDArray[np.float64], high: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[float, float]:
    """Of the candidates with the least error the widest, so that rounding in the sums does not decide."""
    tied = np.flatnonzero(errors <= errors.min() * _TIE)
    chosen = tied[np.argmax((high - low)[tied])]
    return float(low[chosen]), float(high[chosen])


def _entropy(statistics: TensorStatistics, levels: int, threads: int) -> tuple[float, float]:
    """A tensor of one sign uses all levels for its magnitudes, others half of them."""
    grid = statistics.histogram
    positive = grid.counts[max(-grid.first, 0) :] if grid.first + len(grid.counts) > 0 else ()
    negative = grid.counts[: max(min(-grid.first, len(grid.counts)), 0)][::-1]
    size = max(grid.first + len(grid.counts), -grid.first)
    if size > 4 * grid.bins:
        return statistics.minimum, statistics.maximum
    magnitudes = np.zeros(size)
    start = max(grid.first, 0)
    magnitudes[start : start + len(positive)] += positive
    start = max(-(grid.first + len(grid.counts)), 0)
    magnitudes[start : start + len(negative)] += negative
    one_sided = not (len(positive) and len(negative))
    scores = kernels.divergences(magnitudes, min(levels if one_sided else levels // 2, size), threads)
    best = scores.min()
    chosen = int(np.flatnonzero(scores <= best * _TIE + _SAME_DIVERGENCE)[-1])
    limit = math.ldexp(chosen, grid.exponent)
    return max(-limit, statistics.minimum), min(limit, statistics.maximum)
