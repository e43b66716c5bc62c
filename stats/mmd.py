"""Maximum mean discrepancy of two samples of vectors, such as embeddings: is their distribution the same, in any respect?

Kernel exp(-|x - y|^2 / (2 bandwidth^2)). Source: Gretton, Borgwardt, Rasch, Schölkopf and Smola, A kernel two-sample test, JMLR
13 (2012) 723-773.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import norm

from ..core.errors import DataError

Floats = NDArray[np.float64]

PERMUTATIONS = 500
# The median of distances is taken over this many vectors at most.
_MEDIAN_OF = 1_000


@dataclass(frozen=True)
class Mmd:
    """`squared` discrepancy (unbiased, so it may be below 0), `p` that it is chance, and the `bandwidth` used."""

    squared: float
    p: float
    bandwidth: float


def mmd_test(x: ArrayLike, y: ArrayLike, *, seed: int, bandwidth: float | None = None, permutations: int = PERMUTATIONS) -> Mmd:
    """The unbiased estimate and its permutation p-value for x [n, features] and y [m, features], n and m of 2 or more.

    Time and memory grow with (n + m)^2. The bandwidth is the median of distances unless given, which no permutation changes, so
    the p-value is exact: the share of permutations, the observed one among them, that are as large. Raises DataError for shapes
    that do not fit.
    """
    first, second = _vectors(x, y)
    width = bandwidth or median_distance(np.concatenate([first, second]), seed=seed)
    together = np.concatenate([first, second])
    kernel = np.exp(-cdist(together, together, "sqeuclidean") / (2 * width**2))
    np.fill_diagonal(kernel, 0.0)
    generator = np.random.default_rng(seed)
    member = np.zeros(len(together))
    member[: len(first)] = 1.0
    groups = np.stack([member, *(generator.permutation(member) for _ in range(permutations))])
    drawn = _unbiased(kernel, groups, len(first), len(second))
    # As large up to rounding: two permutations with the same vectors on each side differ in the last bits.
    p = float(np.mean(drawn >= drawn[0] - 1e-12))
    return Mmd(float(drawn[0]), p, width)


def linear_mmd_test(x: ArrayLike, y: ArrayLike, *, seed: int, bandwidth: float | None = None) -> Mmd:
    """The linear-time estimate, over pairs of vectors each used once, and its normal p-value; for many vectors.

    Needs as many of x as of y (more are left out), 4 or more. Much less powerful than `mmd_test` on the same vectors.
    """
    first, second = _vectors(x, y)
    pairs = min(len(first), len(second)) // 2
    if pairs < 2:
        raise DataError(
            "the linear-time discrepancy needs four vectors of each sample or more; give more, or use the exact one."
        )
    width = bandwidth or median_distance(np.concatenate([first, second]), seed=seed)
    generator = np.random.default_rng(seed)
    first, second = generator.permutation(first)[: 2 * pairs], generator.permutation(second)[: 2 * pairs]
    a, b, c, d = first[::2], first[1::2], second[::2], second[1::2]
    terms = _kernel(a, b, width) + _kernel(c, d, width) - _kernel(a, d, width) - _kernel(b, c, width)
    squared, error = float(terms.mean()), float(terms.std(ddof=1)) / math.sqrt(pairs)
    return Mmd(squared, float(norm.sf(squared / error)) if error > 0 else 1.0, width)


def median_distance(vectors: ArrayLike, *, seed: int) -> float:
    """Median of the distances between vectors [n, features], of 1,000 drawn ones if there are more; 1 if it is 0."""
    values = np.asarray(vectors, dtype=np.float64)
    if len(values) > _MEDIAN_OF:
        values = np.random.default_rng(seed).choice(values, _MEDIAN_OF, replace=False)
    return float(np.median(pdist(values))) or 1.0


def _unbiased(kernel: Floats, groups: Floats, n: int, m: int) -> Floats:
    """Estimates [splits] for 0/1 memberships [splits, n + m] of the first sample; the kernel's diagonal is 0."""
    reach = groups @ kernel
    within = (reach * groups).sum(axis=1)
    across = reach.sum(axis=1) - within
    other = kernel.sum() - within - 2 * across
    return np.asarray(within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m))


def _kernel(x: Floats, y: Floats, width: float) -> Floats:
    return np.asarray(np.exp(-((x - y) ** 2).sum(axis=1) / (2 * width**2)))


def _vectors(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise DataError(
            f"samples of shapes {first.shape} and {second.shape} cannot be compared; give [2 or more, features] each."
        )
    if not (np.all(np.isfinite(first)) and np.all(np.isfinite(second))):
        raise DataError("vectors to compare must be finite; leave out those that are not.")
    return first, second
