"""Other distances and tests than those that alerts go by, where a person asks for them: of the counts that the report shows."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....stats.binned_tests import chi2_test, g_test, ks_test
from ....stats.distances import (
    Distance,
    hellinger,
    interval,
    jensen_shannon,
    ks,
    largest_change,
    psi,
    total_variation,
    wasserstein,
)
from ....stats.multiple import benjamini_hochberg, holm
from .records import Chosen, Measure

DistanceName = Literal["ks", "largest-change", "total-variation", "hellinger", "jensen-shannon", "psi", "wasserstein"]
TestName = Literal["ks", "chi2", "g"]
Correction = Literal["holm", "bh", "none"]
DISTANCES: tuple[DistanceName, ...] = get_args(DistanceName)
TESTS: tuple[TestName, ...] = get_args(TestName)
CORRECTIONS: tuple[Correction, ...] = get_args(Correction)

# What a corrected p holds for, as it is said beside it.
HOLDS: Mapping[Correction, str] = {
    "holm": "family-wise: the chance of any false one among all measures",
    "bh": "false discovery rate: the share of false ones among those found, which is weaker",
    "none": "not corrected: each measure alone",
}
_DISTANCES: Mapping[DistanceName, Distance] = {
    "ks": ks, "largest-change": largest_change, "total-variation": total_variation, "hellinger": hellinger,
    "jensen-shannon": jensen_shannon, "psi": psi,
}  # fmt: skip
_TESTS: Mapping[TestName, Callable[..., NDArray[np.float64]]] = {"ks": ks_test, "chi2": chi2_test, "g": g_test}
_CORRECTIONS: Mapping[Correction, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "holm": holm, "bh": benjamini_hochberg, "none": np.asarray,
}  # fmt: skip
_ALPHA = 0.05


def choose(measures: Sequence[Measure], distance: DistanceName, test: TestName, correction: Correction) -> None:
    """Put the chosen distance, with its interval, and the test's p of each measure's counts beside it.

    Counts are those of the newest day; requests are taken for independent. The Wasserstein distance is in the measure's own
    unit.
    """
    some = [item for item in measures if item.spread is not None and any(item.spread.counts) and any(item.spread.reference)]
    found: list[dict[str, Any]] = []
    p = np.full(len(some), np.nan)
    for place, item in enumerate(some):
        spread = item.spread
        if spread is None:
            continue
        way = partial(wasserstein, edges=spread.edges) if distance == "wasserstein" else _DISTANCES[distance]
        seed = zlib.crc32(item.newest.measure.encode())
        low, high = interval(way, spread.counts, spread.reference, _ALPHA, seed=seed)
        value = float(way(spread.counts, spread.reference))
        found.append({"value": value, "low": float(low), "high": float(high)})
        p[place] = float(_TESTS[test](spread.counts, spread.reference))
    adjusted = np.asarray(_CORRECTIONS[correction](p)) if len(p) else p
    for item, told, chance in zip(some, found, adjusted, strict=True):
        item.chosen = Chosen(distance=distance, test=test, correction=correction, p=float(chance), **told)
