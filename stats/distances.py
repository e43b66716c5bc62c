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
# How far from the mixture of both samples (0) to the samples themselves (1) pairs are resampled.
_STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


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

    Both samples have errors, which make a distance of samples larger than that of their distributions, most so near 0. So the
    interval is of those distances whose samples would come out as what was seen: on the line from both samples' mixture
    (distance 0) to the samples themselves, pairs are resampled, and the bounds are where what was seen is the upper and the
    lower alpha / 2 quantile. `deff` [...] requests of the window are worth one independent one. Resamples have a multinomial's
    mean and covariance, and are normal. Raises DataError for a level that is none. Source of the inversion: Carpenter, Test
    inversion bootstrap confidence intervals, JRSS B 61 (1999) 159-172.
    """
    if not 0 < alpha < 1:
        raise DataError(f"an error level of {alpha:g} does not lie between 0 and 1; give for example 0.05.")
    now, then = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(reference, dtype=np.float64))
    shape, bins = now.shape[:-1], now.shape[-1]
    seen = np.asarray(distance(now, then), dtype=np.float64)
    effect = np.broadcast_to(np.asarray(deff, dtype=np.float64), shape)
    sizes = [np.maximum(now.sum(axis=-1) / effect, 1.0)[..., None], np.maximum(then.sum(axis=-1), 1.0)[..., None]]
    ends = [np.nan_to_num(shares(now), nan=1 / bins), np.nan_to_num(shares(then), nan=1 / bins)]
    middle = (ends[0] * sizes[0] + ends[1] * sizes[1]) / (sizes[0] + sizes[1])
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((2, resamples, *now.shape))
    true, low, high = (np.empty((len(_STEPS), *shape)) for _ in range(3))
    for row, step in enumerate(_STEPS):
        pair = [middle + step * (end - middle) for end in ends]
        true[row] = distance(*pair)
        drawn = [_resampled(*part) for part in zip(pair, sizes, noise, strict=True)]
        low[row], high[row] = np.quantile(distance(*drawn), [alpha / 2, 1 - alpha / 2], axis=0)
    apart = np.eye(bins)[[0, -1]]
    beyond = np.minimum(np.maximum(2 * seen - low[-1], high[-1]), distance(apart[0], apart[1]))
    below = np.minimum(_crossing(high, true, seen), seen)
    above = np.maximum(np.where(low[-1] < seen, beyond, _crossing(low, true, seen)), seen)
    return np.where(np.isnan(seen), np.nan, below), np.where(np.isnan(seen), np.nan, above)


def _resampled(p: Floats, size: Floats, noise: Floats) -> Floats:
    """Shares [resamples, ..., bins] of normal samples with the mean and the covariance of a multinomial one."""
    root = np.sqrt(p)
    free = noise - root * (root * noise).sum(axis=-1, keepdims=True)
    return np.asarray(np.maximum(p + root * free / np.sqrt(size), 0.0))


def _crossing(quantile: Floats, true: Floats, seen: Floats) -> Floats:
    """The true distance [...] at which a rising quantile [steps, ...] reaches `seen` [...]; 0 where it begins above."""
    rising = np.maximum.accumulate(quantile, axis=0)
    found = np.where(seen > rising[-1], true[-1], 0.0)
    for before in range(len(true) - 1):
        left, right = rising[before], rising[before + 1]
        part = (seen - left) / np.maximum(right - left, 1e-300)
        found = np.where((seen > left) & (seen <= right), true[before] + part * (true[before + 1] - true[before]), found)
    return np.asarray(found)


def _entropy_terms(p: Floats, q: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(p == 0, 0.0, p * np.log(p / q))
