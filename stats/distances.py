"""How far two binned samples lie apart, and between which bounds.

Samples come as counts (or shares) [..., bins] that are not negative; leading axes broadcast, and every row is brought to a sum
of 1. An empty row has no distribution, and its distances are NaN. What lies below the first edge and above the last are bins
like all others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import DataError

Floats = NDArray[np.float64]
Distance = Callable[[ArrayLike, ArrayLike], Floats]

# Shares below this count as this in PSI, which is infinite at 0; the value that the field's tools use.
PSI_FLOOR = 1e-4
RESAMPLES = 400
_ELEMENTS_AT_ONCE = 1 << 22


def shares(counts: ArrayLike) -> Floats:
    """Counts [..., bins] over their sums; NaN where a row is empty. Raises DataError for a negative or infinite count."""
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise DataError("counts need an axis of one bin or more; give an array [..., bins].")
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise DataError("counts of bins must be finite and not negative; give what was counted.")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values / values.sum(axis=-1, keepdims=True))


def ks(p: ArrayLike, q: ArrayLike) -> Floats:
    """Kolmogorov-Smirnov distance [...]: the largest difference of the two cumulative shares at the bins' edges, 0 to 1.

    Never larger than the distance of the unbinned distributions.
    """
    return np.asarray(np.abs(np.cumsum(shares(p) - shares(q), axis=-1)).max(axis=-1))


def largest_change(p: ArrayLike, q: ArrayLike) -> Floats:
    """Largest difference [...] of one bin's share, 0 to 1: the distance for classes, whose order means nothing."""
    return np.asarray(np.abs(shares(p) - shares(q)).max(axis=-1))


def total_variation(p: ArrayLike, q: ArrayLike) -> Floats:
    """Half the sum of absolute differences [...], 0 to 1: the share of samples that lie in other bins than before."""
    return np.asarray(np.abs(shares(p) - shares(q)).sum(axis=-1) / 2)


def hellinger(p: ArrayLike, q: ArrayLike) -> Floats:
    """Hellinger distance [...], 0 to 1."""
    return np.asarray(np.sqrt(((np.sqrt(shares(p)) - np.sqrt(shares(q))) ** 2).sum(axis=-1) / 2))


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> Floats:
    """Jensen-Shannon distance [...]: square root of the divergence in nats, 0 to sqrt(ln 2) = 0.83, as SciPy has it."""
    first, second = shares(p), shares(q)
    middle = (first + second) / 2
    divergence = (_entropy_terms(first, middle) + _entropy_terms(second, middle)).sum(axis=-1) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def psi(p: ArrayLike, q: ArrayLike) -> Floats:
    """Population stability index [...]: sum of (p - q) ln(p / q), from 0 up; shares below `PSI_FLOOR` count as that."""
    first, second = (np.maximum(shares(values), PSI_FLOOR) for values in (p, q))
    return np.asarray(((first - second) * np.log(first / second)).sum(axis=-1))


def wasserstein(p: ArrayLike, q: ArrayLike, edges: ArrayLike) -> Floats:
    """Wasserstein-1 distance [...] in the edges' unit; counts [..., edges + 1], edges [edges] or [..., edges].

    Within a bin the mass is spread evenly, and what lies beyond the outer edges counts as lying on them, so the distance of
    what is out of range is not in it. Raises DataError when there is not one bin more than edges.
    """
    gap = np.cumsum(shares(p) - shares(q), axis=-1)[..., :-1]
    at = np.asarray(edges, dtype=np.float64)
    if at.shape[-1] != gap.shape[-1]:
        raise DataError(f"{gap.shape[-1] + 1} counts do not fit {at.shape[-1]} edges; give one count more than edges.")
    left, right, width = gap[..., :-1], gap[..., 1:], np.diff(at)
    total = np.abs(left) + np.abs(right)
    with np.errstate(invalid="ignore", divide="ignore"):  # a line that crosses zero leaves two triangles
        crossing = np.where(total > 0, (left**2 + right**2) / total, 0.0)
    area = np.where(left * right < 0, crossing, total) / 2 * width
    return np.asarray(np.where(np.isnan(gap).any(axis=-1), np.nan, area.sum(axis=-1)))


def interval(
    distance: Distance,
    counts: ArrayLike,
    reference: ArrayLike,
    alpha: float = 0.05,
    *,
    seed: int,
    deff: ArrayLike = 1.0,
    resamples: int = RESAMPLES,
) -> tuple[Floats, Floats]:
    """Two-sided 1 - alpha interval [...] of `distance` between the distributions behind `counts` and `reference`.

    Both samples are drawn anew from what was counted, counts with `deff` [...] requests for one independent one. The interval
    is the estimate less what resamples differ from it (the basic bootstrap), which takes back that a distance of two samples is
    larger than that of their distributions; it is cut off at 0. Source: Davison and Hinkley, Bootstrap Methods and their
    Application (1997), 5.2.
    """
    if not 0 < alpha < 1:
        raise DataError(f"an error level of {alpha:g} does not lie between 0 and 1; give for example 0.05.")
    generator = np.random.default_rng(seed)
    now, then = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(reference, dtype=np.float64))
    estimate = distance(now, then)
    drawn = np.empty((resamples, *estimate.shape))
    first, second = np.nan_to_num(shares(now)), np.nan_to_num(shares(then))
    size_now = np.maximum(np.rint(now.sum(axis=-1) / np.asarray(deff, dtype=np.float64)), 1).astype(np.int64)
    size_then = np.maximum(then.sum(axis=-1), 1).astype(np.int64)
    first[now.sum(axis=-1) == 0, 0] = second[then.sum(axis=-1) == 0, 0] = 1.0
    step = max(1, _ELEMENTS_AT_ONCE // max(1, now.size))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        shape = (count, *size_now.shape)
        drawn[start : start + count] = distance(
            generator.multinomial(np.broadcast_to(size_now, shape), first).astype(np.float64),
            generator.multinomial(np.broadcast_to(size_then, shape), second).astype(np.float64),
        )
    below, above = np.quantile(drawn, [alpha / 2, 1 - alpha / 2], axis=0)
    low, high = np.maximum(2 * estimate - above, 0.0), np.maximum(2 * estimate - below, 0.0)
    return np.asarray(low), np.asarray(np.maximum(high, low))


def _entropy_terms(p: Floats, q: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(p == 0, 0.0, p * np.log(p / q))
