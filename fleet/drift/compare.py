"""One window of one scope against the references: distances with intervals, p-values of this look, severities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...stats.binned_tests import chi2_test, ks_test
from ...stats.distances import Distance, interval, ks, largest_change, psi
from ...stats.drift_sequential import padded
from ...stats.multiple import holm
from .sequence import NOMINAL, Floats
from .settings import Settings
from .verdict import Compared
from .watched import Watched

Counts = NDArray[np.int64]

_ALPHA = 0.05  # of intervals
_RESAMPLES, _FEW_RESAMPLES = 400, 150  # of intervals, and of those of very many counts
_MANY = 1 << 13


@dataclass(frozen=True)
class Others:
    """Other windows of the same scope, each its counts by measure: the one before, those of a day and of a week before."""

    last: Mapping[str, Counts] | None = None
    day: Mapping[str, Counts] | None = None
    week: Mapping[str, Counts] | None = None


def compare(
    watched: Sequence[Watched],
    counts: Sequence[Counts],
    deff: Floats,
    log_e: Floats,
    bounds: Floats,
    reach: Mapping[str, float],
    others: Others,
    settings: Settings,
    seed: int,
) -> tuple[Compared, ...]:
    """Each measure's comparison.

    `counts` are by measure, int64 [bins]; `deff`, `log_e` and its `bounds` are [measures]; `reach` is the share of devices
    that drift, by measure, 1 where it is not given. `seed` draws the resamples.
    """
    if not watched:
        return ()
    far, low, high = np.zeros(len(watched)), np.zeros(len(watched)), np.zeros(len(watched))
    p = np.full(len(watched), np.nan)
    stable = np.zeros(len(watched))
    for is_nominal in (False, True):
        at = [place for place, item in enumerate(watched) if (item.kind == NOMINAL) == is_nominal]
        if not at:
            continue
        now = padded([counts[place] for place in at])
        then = padded([np.asarray(watched[place].reference, np.int64) for place in at])
        distance: Distance = largest_change if is_nominal else ks
        far[at] = np.nan_to_num(distance(now, then))
        low[at], high[at] = interval(
            distance, now, then, _ALPHA, seed=seed, deff=deff[at],
            resamples=_RESAMPLES if now.size <= _MANY else _FEW_RESAMPLES,
        )  # fmt: skip
        p[at] = (chi2_test if is_nominal else ks_test)(now, then, deff[at])
        stable[at] = psi(now, then)
    totals = np.array([int(item.sum()) for item in counts])
    adjusted = np.nan_to_num(holm(p), nan=1.0)
    found = []
    for place, item in enumerate(watched):
        is_counted = totals[place] > 0
        is_alarm = bool(log_e[place] >= bounds[place])
        lowest = min(float(low[place]), float(far[place])) if is_counted else 0.0
        severity = settings.severity(lowest, reach.get(item.name, 1.0))
        if severity is None and is_alarm and far[place] >= settings.minor:
            severity = "minor"
        seen = counts[place]
        found.append(
            Compared(
                measure=item.name,
                kind=item.kind,
                count=int(totals[place]),
                distance=float(far[place]),
                low=lowest,
                high=max(float(high[place]), float(far[place])) if is_counted else 1.0,
                psi=float(stable[place]) if is_counted else 0.0,
                p=float(adjusted[place]),
                log_e=float(log_e[place]),
                is_alarm=is_alarm,
                severity=severity,
                last=_between(item, seen, others.last),
                day=_between(item, seen, others.day),
                week=_between(item, seen, others.week),
            )
        )
    return tuple(found)


def _distance(item: Watched) -> Distance:
    return largest_change if item.kind == NOMINAL else ks


def _between(item: Watched, seen: Counts, other: Mapping[str, Counts] | None) -> float | None:
    then = None if other is None else other.get(item.name)
    if then is None or not seen.any() or not then.any():
        return None
    return float(_distance(item)(seen, then))
