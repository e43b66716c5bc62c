"""One-sided bounds by the BCa bootstrap, for any statistic that can be computed from weights.

A statistic is a function of weights [b, rows], how often each row was drawn, that returns b values: one call serves
thousands of resamples. Rows are samples, or distinct outcomes with their `counts`: a metric of few distinct outcomes (F1 of
ten classes) is then resampled in milliseconds. With `groups`, whole groups are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from ..core.errors import DataError
from .paired import normal_quantile

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

RESAMPLES = 10_000
JACKKNIFE_UNITS = 2_000
_ELEMENTS_AT_ONCE = 1 << 16
# A level below this many resamples' share is not read off the resamples but extended in normal quantiles.
_RESOLVED = 20
_LEAST_RESAMPLES = 100
# Beyond this median bias (93 % of the resamples on one side of the estimate) a statistic does not bear resampling.
_MOST_BIAS = 1.5


@dataclass(frozen=True)
class Bounds:
    """`estimate` on all data, one-sided 1-alpha bounds, bootstrap standard error, and the number of units drawn."""

    estimate: float
    low: float
    high: float
    error: float
    units: int


def bca_bounds(
    statistic: Statistic,
    counts: ArrayLike,
    alpha: float,
    *,
    seed: int,
    groups: NDArray[np.intp] | None = None,
    resamples: int = RESAMPLES,
    jackknife_units: int = JACKKNIFE_UNITS,
) -> Bounds:
    """Lower and upper one-sided 1-alpha BCa bounds of `statistic`; (low, high) is a two-sided 1-2alpha interval.

    `counts` [rows] says how many samples each row stands for; `groups` [rows] the group (0, 1, ...) of each. The normal
    quantile is widened to Student's, times sqrt(u / (u - 1)) for u units, which few units need (Hesterberg, The American
    Statistician 69 (2015) 371-386). A resample on which the statistic is not a number counts against the bound at both ends;
    a statistic whose resamples nearly all lie on one side of the estimate has no bounds (they are infinite); levels finer
    than the resamples resolve are extended along normal quantiles. The acceleration comes from a jackknife of at most
    `jackknife_units` units. Source: Efron, JASA 82 (1987) 171-185. Raises DataError for fewer than 2 units or 100 resamples.
    """
    rows = np.asarray(counts, dtype=np.float64)
    draw = _Draw(rows, groups)
    if draw.units < 2:
        raise DataError("a bootstrap needs at least two samples or groups; give more data.")
    if resamples < _LEAST_RESAMPLES:
        raise DataError(f"{resamples} resamples do not show a tail; take at least {_LEAST_RESAMPLES}.")
    z = float(normal_quantile(alpha))
    generator = np.random.default_rng(seed)
    estimate = float(statistic(rows[None, :])[0])
    values = np.concatenate([statistic(weights) for weights in draw.resampled(generator, resamples)])
    acceleration = _acceleration(statistic, draw, generator, jackknife_units)
    wide = float(t.isf(norm.sf(z), draw.units - 1)) * math.sqrt(draw.units / (draw.units - 1))
    known = values[np.isfinite(values)]
    if not math.isfinite(estimate) or not math.isfinite(acceleration) or len(known) < 2:
        return Bounds(estimate, -math.inf, math.inf, math.inf, draw.units)
    bias = float(norm.ppf(np.clip((np.sum(known < estimate) + np.sum(known == estimate) / 2) / len(known), 1e-6, 1 - 1e-6)))
    if abs(bias) > _MOST_BIAS:
        return Bounds(estimate, -math.inf, math.inf, float(np.std(known, ddof=1)), draw.units)
    low = _quantile(np.where(np.isfinite(values), values, -np.inf), _corrected(bias, acceleration, -wide))
    high = -_quantile(-np.where(np.isfinite(values), values, np.inf), -_corrected(bias, acceleration, wide))
    return Bounds(estimate, low, high, float(np.std(known, ddof=1)), draw.units)


def mean_statistic(values: ArrayLike) -> Statistic:
    """Statistic of the weighted mean of `values` [rows]."""
    column = np.asarray(values, dtype=np.float64)
    return lambda weights: np.asarray(weights @ column / weights.sum(axis=1))


def indexed_statistic(function: Callable[[NDArray[np.intp]], float], rows: int) -> Statistic:
    """Statistic of a function of row indices (with repeats): one call a resample, for what has no weighted form."""
    order = np.arange(rows)
    return lambda weights: np.array([function(np.repeat(order, row.astype(np.intp))) for row in weights], dtype=np.float64)


class _Draw:
    """Draws units with replacement: rows by their counts, or whole groups."""

    def __init__(self, counts: Floats, groups: NDArray[np.intp] | None) -> None:
        if counts.ndim != 1 or np.any(counts < 0) or np.any(counts != np.round(counts)):
            raise DataError("bootstrap counts must be one row of whole numbers; count samples.")
        if groups is not None and groups.shape != counts.shape:
            raise DataError("each sample needs exactly one group; give a group column as long as the data.")
        self.counts = counts
        self.groups = groups
        self.units = int(counts.sum()) if groups is None else int(groups.max(initial=-1)) + 1

    def resampled(self, generator: np.random.Generator, resamples: int) -> Iterator[Floats]:
        """Weights [b, rows], in pieces that fit the cache, `resamples` rows in all."""
        step = max(1, _ELEMENTS_AT_ONCE // max(1, len(self.counts)))
        for start in range(0, resamples, step):
            size = min(step, resamples - start)
            if self.groups is not None:
                yield _uniform(generator, self.units, size)[:, self.groups] * self.counts
            elif np.all(self.counts == 1):
                yield _uniform(generator, self.units, size)
            else:
                yield generator.multinomial(self.units, self.counts / self.units, size).astype(np.float64)

    def left_out(self, generator: np.random.Generator, limit: int) -> Iterator[tuple[Floats, Floats]]:
        """Weights [b, rows] with one unit left out each, and how many units [b] share that outcome."""
        sizes = self.counts if self.groups is None else np.ones(self.units)
        chosen = np.flatnonzero(sizes > 0)
        if len(chosen) > limit:
            chosen = np.sort(generator.choice(chosen, limit, replace=False))
        step = max(1, _ELEMENTS_AT_ONCE // max(1, len(self.counts)))
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            weights = np.tile(self.counts, (len(part), 1))
            if self.groups is None:
                weights[np.arange(len(part)), part] -= 1
            else:
                weights[self.groups[None, :] == part[:, None]] = 0
            yield weights, sizes[part]


def _uniform(generator: np.random.Generator, units: int, size: int) -> Floats:
    drawn = generator.integers(0, units, (size, units), dtype=np.int64)
    drawn += np.arange(size, dtype=np.int64)[:, None] * units
    return np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)


def _acceleration(statistic: Statistic, draw: _Draw, generator: np.random.Generator, limit: int) -> float:
    """A sixth of the skewness of the units' influence, over root units."""
    pieces = [(statistic(weights), sizes) for weights, sizes in draw.left_out(generator, limit)]
    values = np.concatenate([value for value, _ in pieces])
    sizes = np.concatenate([size for _, size in pieces])
    influence = np.average(values, weights=sizes) - values
    spread = float(np.average(influence**2, weights=sizes))
    if spread == 0:
        return 0.0
    return float(np.average(influence**3, weights=sizes) / (6 * spread**1.5 * math.sqrt(draw.units)))


def _corrected(bias: float, acceleration: float, z: float) -> float:
    """BCa's corrected normal quantile; where the correction has no solution, the end of the scale."""
    denominator = 1 - acceleration * (bias + z)
    if denominator <= 0:
        return math.copysign(math.inf, z)
    return bias + (bias + z) / denominator


def _quantile(values: Floats, z: float) -> float:
    """Quantile of `values` at the normal quantile `z`, rounded towards the lower value."""
    ordered = np.sort(values)
    finest = float(norm.ppf(min(0.5, _RESOLVED / len(ordered))))
    if z >= finest:
        return float(ordered[min(len(ordered) - 1, int(norm.cdf(z) * len(ordered)))])
    edge, middle = float(ordered[int(norm.cdf(finest) * len(ordered))]), float(ordered[len(ordered) // 2])
    if not math.isfinite(z) or not math.isfinite(edge):
        return -math.inf
    return middle + (edge - middle) * (z / finest)
