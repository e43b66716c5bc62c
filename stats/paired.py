"""Bounds for paired proportions: the same samples through a reference and a candidate.

A sample counts as `lost` when the reference is right and the candidate wrong, as `won` the other way round. All functions
take arrays that broadcast, so that thousands of simulated outcomes are bounded in one call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, norm

from ..core.errors import DataError

Floats = NDArray[np.float64]

# Halving an interval of length 2 this often leaves less than the spacing of doubles near 1.
_HALVINGS = 56


def normal_quantile(alpha: ArrayLike) -> Floats:
    """The z that a standard normal exceeds with probability `alpha`; raises DataError outside 0 < alpha < 0.5."""
    value = np.asarray(alpha, dtype=np.float64)
    if not np.all((value > 0) & (value < 0.5)):
        raise DataError("an error level must lie between 0 and 0.5; give for example 0.05.")
    return np.asarray(norm.isf(value), dtype=np.float64)


def loss_bounds(lost: ArrayLike, won: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[Floats, Floats]:
    """Lower and upper one-sided 1-alpha bounds of the loss p(lost) - p(won), by inverting Tango's score test.

    `lost`, `won` and `n` are counts of samples. With neither lost nor won the upper bound is z^2 / (n + z^2).
    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908. Raises DataError for counts that cannot be.
    """
    b, c, size = _counts(lost, won, n)
    z = np.broadcast_to(normal_quantile(alpha), np.broadcast_shapes(b.shape, np.shape(alpha)))
    point = (b - c) / size

    def statistic(delta: Floats) -> Floats:
        return _tango(b, c, size, delta)

    upper = _root(lambda delta: statistic(delta) > -z, point, np.ones_like(point + z))
    lower = _root(lambda delta: statistic(delta) > z, -np.ones_like(point + z), point)
    return lower, upper


def _tango(b: Floats, c: Floats, n: Floats, delta: Floats) -> Floats:
    """Tango's score statistic, decreasing in `delta`.

    It is (b - c - n delta) over its standard deviation at the constrained maximum-likelihood estimate of p(won).
    """
    linear = (2 * n - b + c) * delta - b - c
    root = np.sqrt(np.maximum(linear**2 + 8 * n * c * delta * (1 - delta), 0))
    won = np.clip((root - linear) / (4 * n), 0, None)
    variance = n * (2 * won + delta * (1 - delta))
    return _standardised(b - c - n * delta, variance)


def share_bounds(both: ArrayLike, lost: ArrayLike, won: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[Floats, Floats]:
    """Lower and upper one-sided 1-alpha bounds of p(candidate right) / p(reference right), by inverting the score test.

    `both` counts the samples on which both are right. Source: Nam and Blackwelder, Statistics in Medicine 21 (2002)
    689-699. Raises DataError for counts that cannot be, or when the reference is never right.
    """
    b, c, size = _counts(lost, won, n)
    a = np.broadcast_to(np.asarray(both, dtype=np.float64), b.shape)
    if np.any(a < 0) or np.any(a + b + c > size):
        raise DataError("the counts of a paired comparison exceed the number of samples; count each sample once.")
    if np.any(a + b == 0):
        raise DataError("the reference is right on no sample, so no share of it can be asked for; check labels and model.")
    z = np.broadcast_to(normal_quantile(alpha), np.broadcast_shapes(b.shape, np.shape(alpha)))
    point = np.asarray((a + c) / (a + b))

    # Searched as t in (0, 1), ratio = t / (1 - t), because a ratio has no upper end.
    def statistic(t: Floats) -> Floats:
        return _nam_blackwelder(a, b, c, size, t / (1 - t))

    middle = np.broadcast_to(point / (1 + point), z.shape)
    tiny = 1e-12
    upper = _root(lambda t: statistic(t) > -z, middle, np.full(z.shape, 1 - tiny))
    lower = _root(lambda t: statistic(t) > z, np.full(z.shape, tiny), middle)
    return lower / (1 - lower), upper / (1 - upper)


def _nam_blackwelder(a: Floats, b: Floats, c: Floats, n: Floats, ratio: Floats) -> Floats:
    """Score statistic of the ratio: the constrained estimate of p(lost) is the larger root of a quadratic."""
    mass = (a + b + c) / n
    least = (1 - ratio) * mass
    square = (1 + ratio) * (a + b + c)
    linear = (a + b) * (1 + ratio) * least + (b + c) * mass
    root = np.sqrt(np.maximum(linear**2 - 4 * square * b * mass * least, 0))
    lost = (linear + root) / (2 * square)
    won = np.maximum(lost - least, 0) / ratio
    return _standardised(a + c - ratio * (a + b), n * ratio * (lost + won))


def proportion_bounds(successes: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[Floats, Floats]:
    """Exact lower and upper one-sided 1-alpha bounds of one proportion (Clopper and Pearson, Biometrika 26 (1934) 404).

    Exact rather than a score bound, because shares near 1 (agreement) are where a score bound is too hopeful.
    """
    k, _, size = _counts(successes, 0, n)
    level = np.asarray(alpha, dtype=np.float64)
    normal_quantile(level)
    lower = np.where(k == 0, 0.0, beta.ppf(level, np.maximum(k, 1), size - k + 1))
    upper = np.where(k == size, 1.0, beta.isf(level, k + 1, np.maximum(size - k, 1)))
    return lower, upper


def _counts(lost: ArrayLike, won: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats, Floats]:
    b, c, size = (np.asarray(part, dtype=np.float64) for part in np.broadcast_arrays(lost, won, n))
    if np.any(size < 1) or np.any(b < 0) or np.any(c < 0) or np.any(b + c > size):
        raise DataError("a paired comparison needs at least one sample and counts between 0 and their number.")
    return b, c, size


def _standardised(numerator: Floats, variance: Floats) -> Floats:
    """Numerator over root variance; without variance the sign decides, and 0 stays 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = numerator / np.sqrt(variance)
    return np.where(variance > 0, value, np.where(numerator == 0, 0.0, np.copysign(np.inf, numerator)))


def _root(is_left: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats) -> Floats:
    """Halve [low, high] until nothing is left: `is_left(x)` says that the root lies above x."""
    low, high = (np.array(part) for part in np.broadcast_arrays(low, high))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left = is_left(middle)
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return (low + high) / 2
