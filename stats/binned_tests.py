"""Two-sample tests on counts in the same bins: p-values of one look at one window.

Counts [..., bins] of a window and of a reference; leading axes broadcast; a row without samples gives NaN. `deff` is how many
requests of the window are worth one independent request (1: all are independent). These p-values are for looking at: an alarm
over time is what `drift_sequential` is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, kstwobign, norm

from ..core.errors import DataError
from .distances import shares
from .pooling import groups
from .pooling import pooled as pooled_counts

Floats = NDArray[np.float64]

# Fewest samples that a pooled bin shall be expected to have in the smaller sample (Cochran's rule).
LEAST_EXPECTED = 5.0
# Bins with less of both samples together are pooled with the next one before the KS test.
_LEAST_SHARE = 1 / 256
# Quadrature nodes lie closer together than this part of the bridge's spread between two moments; where that takes too many, the
# moments are so many that Kolmogorov's distribution is the answer.
_SPACING, _FEWEST_NODES, _MOST_NODES = 0.8, 16, 192


def ks_test(counts: ArrayLike, reference: ArrayLike, deff: ArrayLike = 1.0) -> Floats:
    """p-values [...] of the two-sample Kolmogorov-Smirnov test whose statistic is looked at only at the bins' edges.

    The chance that a Brownian bridge, at the pooled shares of the edges and nowhere else, goes as far: the distribution of the
    unbinned statistic would give p-values that are too large for few bins. Computed by passing the density of the bridge from
    edge to edge (Gauss-Legendre quadrature). Asymptotic: good from about 100 samples on either side.
    """
    now, then, size, other = _samples(counts, reference, deff)
    pooled = shares(now / np.maximum(now.sum(axis=-1, keepdims=True), 1) * size[..., None] + then)
    group = groups(np.nan_to_num(pooled), _LEAST_SHARE)
    now, then, pooled = pooled_counts(now, group), pooled_counts(then, group), pooled_counts(pooled, group)
    distance = np.abs(np.cumsum(_unit(now) - _unit(then), axis=-1)).max(axis=-1)
    scaled = distance * np.sqrt(size * other / np.maximum(size + other, 1))
    p = bridge_tail(scaled, np.cumsum(pooled, axis=-1)[..., :-1])
    return np.where((size > 0) & (other > 0), p, np.nan)


def bridge_tail(distance: ArrayLike, at: ArrayLike) -> Floats:
    """Chance [...] that a Brownian bridge is `distance` [...] or farther from 0 at one of the moments `at` [..., moments].

    Moments rise from 0 to 1; equal ones are one moment. Exact to about 1e-6; an upper bound where some moments are closer
    together than about 1/1000, which `ks_test` never asks for.
    """
    times = np.asarray(at, dtype=np.float64)
    far = np.broadcast_to(np.asarray(distance, dtype=np.float64), times.shape[:-1])
    flat_times, flat_far = times.reshape(-1, times.shape[-1]), far.reshape(-1)
    return np.array([_tail(d, t) for d, t in zip(flat_far, flat_times, strict=True)]).reshape(far.shape)


def chi2_test(counts: ArrayLike, reference: ArrayLike, deff: ArrayLike = 1.0) -> Floats:
    """p-values [...] of Pearson's chi-square test of homogeneity, bins with few samples pooled with their neighbours."""
    return _homogeneity(counts, reference, deff, lambda seen, expected: (seen - expected) ** 2 / expected)


def g_test(counts: ArrayLike, reference: ArrayLike, deff: ArrayLike = 1.0) -> Floats:
    """p-values [...] of the likelihood-ratio (G) test of homogeneity, bins with few samples pooled with their neighbours."""
    return _homogeneity(
        counts,
        reference,
        deff,
        lambda seen, expected: 2 * np.where(seen > 0, seen * np.log(np.where(seen > 0, seen, 1) / expected), 0),
    )


def _homogeneity(counts: ArrayLike, reference: ArrayLike, deff: ArrayLike, term: Callable[[Floats, Floats], Floats]) -> Floats:
    now, then, size, other = _samples(counts, reference, deff)
    now = _unit(now) * size[..., None]
    together = now + then
    smaller = np.minimum(size, other) / np.maximum(size + other, 1)
    group = groups(together * smaller[..., None], LEAST_EXPECTED)
    now, then = pooled_counts(now, group), pooled_counts(then, group)
    together = now + then
    expected = [together * (part / np.maximum(size + other, 1))[..., None] for part in (size, other)]
    is_there = together > 0
    statistic = np.zeros(together.shape[:-1])
    for seen, hoped in zip((now, then), expected, strict=True):
        statistic += np.where(is_there, term(seen, np.where(hoped > 0, hoped, 1.0)), 0.0).sum(axis=-1)
    degrees = is_there.sum(axis=-1) - 1
    p = np.where(degrees > 0, chi2.sf(statistic, np.maximum(degrees, 1)), 1.0)
    return np.where((size > 0) & (other > 0), p, np.nan)


def _samples(counts: ArrayLike, reference: ArrayLike, deff: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Both samples, brought to one shape, and how many independent requests each is worth."""
    now, then = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(reference, dtype=np.float64))
    for sample in (now, then):
        shares(sample)  # raises for what are no counts
    effect = np.broadcast_to(np.asarray(deff, dtype=np.float64), now.shape[:-1])
    if not np.all(effect >= 1):
        raise DataError("a design effect is 1 for independent requests and more for clusters; give 1 or more.")
    return now, then, now.sum(axis=-1) / effect, then.sum(axis=-1)


def _unit(values: Floats) -> Floats:
    return np.asarray(values / np.maximum(values.sum(axis=-1, keepdims=True), 1e-300))


def _tail(distance: float, times: Floats) -> float:
    inner = np.unique(times[(times > 1e-12) & (times < 1 - 1e-12)])
    if np.isnan(distance):
        return float("nan")
    if distance <= 0 or not inner.size:
        return float(distance <= 0)
    each = 2 * norm.sf(distance / np.sqrt(inner * (1 - inner)))
    most = float(min(each.sum(), kstwobign.sf(distance)))
    # A bridge at u that is at x is at t > u normal around x (1 - t) / (1 - u) with variance (t - u)(1 - t) / (1 - u).
    starts = np.concatenate([[0.0], inner[:-1]])
    spreads = np.sqrt((inner - starts) * (1 - inner) / (1 - starts))
    count = math.ceil(distance * math.pi / (_SPACING * float(spreads.min())))
    if count > _MOST_NODES:
        return most
    nodes, weights = (part * distance for part in _legendre(max(count, _FEWEST_NODES)))
    inside = _density(nodes / spreads[0]) / spreads[0]  # density of having stayed inside so far, carried from moment to moment
    for before, now, spread in zip(inner[:-1], inner[1:], spreads[1:], strict=True):
        centre = nodes * (1 - now) / (1 - before)
        inside = (_density((nodes[:, None] - centre) / spread) / spread) @ (weights * inside)
    return float(np.clip(1 - weights @ inside, each.max(), most))


@lru_cache(maxsize=_MOST_NODES)
def _legendre(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.asarray(nodes), np.asarray(weights)


def _density(z: Floats) -> Floats:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
