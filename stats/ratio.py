"""Intervals of the ratio of two timings that were measured in turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import DataError

_RESAMPLES = 10_000
_LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Interval:
    """A ratio and its two-sided bootstrap interval."""

    ratio: float
    low: float
    high: float


def ratio_interval(candidate_ms: ArrayLike, reference_ms: ArrayLike, confidence: float = 0.90, seed: int = 0) -> Interval:
    """Ratio of the medians candidate / reference with its percentile bootstrap interval, whole rounds drawn.

    Both are milliseconds, [rounds] or [rounds, runs] (a round then counts with its median); round i of one was measured beside
    round i of the other, so what disturbed a round disturbs both. `high` at `confidence` 0.90 is the one-sided upper 95 %
    bound. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Raises DataError for fewer than
    five rounds, unequal rounds, and times that are not positive and finite.
    """
    candidate, reference = (_rounds(values) for values in (candidate_ms, reference_ms))
    if len(candidate) != len(reference):
        raise DataError(
            f"{len(candidate)} candidate rounds stand against {len(reference)} of the reference; measure them in turns."
        )
    if len(candidate) < _LEAST_ROUNDS:
        raise DataError(f"{len(candidate)} rounds cannot bound a ratio; measure at least {_LEAST_ROUNDS}.")
    if not 0 < confidence < 1:
        raise DataError(f"a confidence of {confidence} is not between 0 and 1; give for example 0.90.")
    drawn = np.random.default_rng(seed).integers(0, len(candidate), (_RESAMPLES, len(candidate)))
    ratios = np.median(candidate[drawn], axis=1) / np.median(reference[drawn], axis=1)
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(np.median(candidate) / np.median(reference)), float(low), float(high))


def _rounds(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    times = np.asarray(values, dtype=np.float64)
    if times.ndim not in {1, 2} or times.size == 0:
        raise DataError("timings must be [rounds] or [rounds, runs]; give one row a round.")
    if not np.all(np.isfinite(times)) or np.any(times <= 0):
        raise DataError("timings must be positive and finite; measure again.")
    rounds: np.ndarray[tuple[int], np.dtype[np.float64]] = np.median(times.reshape(len(times), -1), axis=1)
    return rounds
