"""Bounds of a shift by ranks: of pairs, and of two samples. They ask for no distribution and bear outliers.

Both invert an exact test, so a bound holds for any number of values; where there are too few for a level it is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """A shift with one-sided 1-alpha bounds; (low, high) is a two-sided 1-2alpha interval."""

    estimate: float
    low: float
    high: float


def paired_shift(values: ArrayLike, alpha: float) -> Shift:
    """The centre of `values` [n], differences of pairs: Hodges-Lehmann's estimate, bounds of Wilcoxon's signed-rank test.

    Exact where a difference is as likely to lie so far above the centre as below it, which the exchange of two equal things
    always is. n values bound at levels from 2^-n up. Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods
    (2014), section 3.3. Raises DataError for no values, values that are not finite, and levels outside 0 < alpha < 0.5.
    """
    found = _checked(values, alpha)
    rows, columns = np.triu_indices(len(found))
    averages = np.sort((found[rows] + found[columns]) / 2)
    return _bounds(averages, _signed_rank(len(found)), alpha)


def two_sample_shift(before: ArrayLike, after: ArrayLike, alpha: float) -> Shift:
    """How far `after` [m] lies above `before` [n]: Hodges-Lehmann's estimate, bounds of the test of Mann and Whitney.

    Exact where both have one shape and values are independent. Source: Hollander, Wolfe and Chicken, section 4.3. Raises
    DataError as `paired_shift` does.
    """
    first, second = _checked(before, alpha), _checked(after, alpha)
    differences = np.sort((second[:, None] - first[None, :]).ravel())
    return _bounds(differences, _rank_sum(len(first), len(second)), alpha)


def least_pairs(alpha: float) -> int:
    """Fewest pairs that have a bound at `alpha`."""
    return math.ceil(-math.log2(alpha))


def _bounds(ordered: Floats, chances: Floats, alpha: float) -> Shift:
    """Bounds from the ordered pieces of a statistic that counts how many of them lie above the shift."""
    dropped = int(np.searchsorted(np.cumsum(chances), alpha * (1 + 1e-12), side="right"))
    estimate = float(np.median(ordered))
    if dropped == 0:
        return Shift(estimate, -math.inf, math.inf)
    return Shift(estimate, float(ordered[dropped - 1]), float(ordered[-dropped]))


@lru_cache(maxsize=256)
def _signed_rank(n: int) -> Floats:
    """Chances of each sum of ranks 0 ... n (n + 1) / 2 when every sign is a toss of a coin."""
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):
        moved = np.zeros_like(chances)
        moved[rank:] = chances[:-rank]
        chances = (chances + moved) / 2
    return chances


@lru_cache(maxsize=256)
def _rank_sum(n: int, m: int) -> Floats:
    """Chances of each number 0 ... n m of pairs in which the second is larger, when all orders are as likely."""
    counts = {(0, size): np.ones(1) for size in range(m + 1)} | {(size, 0): np.ones(1) for size in range(n + 1)}
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            # The largest of all is one of the second sample (it beats all i of the first) or of the first.
            ways = np.zeros(i * j + 1)
            ways[i:] += counts[i, j - 1] * (j / (i + j))
            ways[: (i - 1) * j + 1] += counts[i - 1, j] * (i / (i + j))
            counts[i, j] = ways
    return counts[n, m]


def _checked(values: ArrayLike, alpha: float) -> Floats:
    found = np.asarray(values, dtype=np.float64).ravel()
    if len(found) == 0 or not np.all(np.isfinite(found)):
        raise DataError("a shift needs at least one value, all of them finite; measure again.")
    if not 0 < alpha < 0.5:
        raise DataError(f"an error level of {alpha} is not between 0 and 0.5; give for example 0.05.")
    return found
