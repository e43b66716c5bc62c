"""The tests of `sequential` on thousands of simulated sequences at once: the same wealth, in arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .sequential import BETS, MeanTest, RateTest

Floats = NDArray[np.float64]


def rate_paths(test: RateTest, failures: ArrayLike) -> Floats:
    """Logarithm of the wealth [runs, trials] after each trial; `failures` [runs, trials] of 0 and 1."""
    failed = np.asarray(failures, dtype=np.float64)
    bad = np.cumsum(failed, axis=1)
    good = np.arange(1, failed.shape[1] + 1) - bad
    wealth = np.full(failed.shape, -np.inf)
    for weight, (up, down) in zip(test.weights, test.log_ratios, strict=True):
        wealth = np.logaddexp(wealth, np.log(weight) + bad * up + good * down)
    return wealth


def mean_paths(test: MeanTest, values: ArrayLike) -> Floats:
    """Logarithm of the wealth [runs, values] after each value; `values` [runs, values] from `test.low` up."""
    drawn = np.asarray(values, dtype=np.float64) - test.null
    wealth = np.full(drawn.shape, -np.inf)
    for share in BETS:
        stake = share / (test.null - test.low)
        wealth = np.logaddexp(wealth, np.cumsum(np.log1p(stake * drawn), axis=1))
    return np.asarray(wealth - np.log(len(BETS)))


def first_reach(paths: Floats, bound: float) -> NDArray[np.int64]:
    """After how many observations [runs] each path reaches `bound`; 0 where it never does."""
    reached = paths >= bound
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0).astype(np.int64)
