"""Reference against candidate on one part of the data: the figures that a verdict stands on.

Right-or-wrong metrics get score bounds (exact ones for a level); all others, and all that are resampled by group, get BCa.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...stats.bootstrap import JACKKNIFE_UNITS, Floats, Statistic, bca_bounds, mean_statistic
from ...stats.paired import loss_bounds, normal_quantile, proportion_bounds, share_bounds
from ...stats.power import unseen_share
from .decisions import Ints, Unjudgeable, decision_statistic
from .text import Gate
from .unseen import Worst, worst_decision, worst_of_costs

LEAST_SAMPLES = 3
LEAST_UNITS = 20
_UNITS_PER_SQUARE = 10
_SMALL_SHARE = 1e-4
_RIGHT_OR_WRONG = worst_of_costs(1.0, is_higher_better=True)


@dataclass(frozen=True)
class Figures:
    """Values and one-sided bounds on the gate's scale.

    Where resampled: `error` is the standard error of `measured`, `units` were drawn (samples or groups), and `cost` is what a
    small share of unseen units may move it by, over that share.
    """

    reference: float | None
    candidate: float
    measured: float
    low: float
    high: float
    error: float | None = None
    units: int | None = None
    cost: float = 1.0
    psi: float | None = None
    negative_flips: int | None = None


@dataclass(frozen=True)
class Look:
    """How to judge: error level, seed, number of resamples (and of jackknifed units, where those are fewer than usual)."""

    alpha: float
    seed: int
    resamples: int


def compare_outcomes(gate: Gate, before: np.ndarray, after: np.ndarray, groups: Ints | None, look: Look) -> Figures:
    """Figures of right-or-wrong outcomes [n] of reference and candidate."""
    n = len(before)
    lost, won, both = (int(np.sum(part)) for part in (before & ~after, after & ~before, before & after))
    reference, candidate = (both + lost) / n, (both + won) / n
    if groups is not None:
        figures = compare_statistics(
            gate, mean_statistic(before), mean_statistic(after), np.ones(n), groups, look, _RIGHT_OR_WRONG
        )
    else:
        if gate.scale == "share":
            if both + lost == 0:
                raise Unjudgeable("the reference is right on no sample, so no share of it can be asked for.")
            low, high = share_bounds(both, lost, won, n, look.alpha)
        elif gate.scale == "level":
            low, high = proportion_bounds(both + won, n, look.alpha)
        else:
            least, most = loss_bounds(lost, won, n, look.alpha)
            low, high = -most, -least
        figures = Figures(reference, candidate, _on_scale(gate, reference, candidate), float(low), float(high))
    return replace(figures, psi=(lost + won) / n, negative_flips=lost)


def compare_decisions(
    gate: Gate, name: str, labels: Ints, before: Ints, after: Ints, groups: Ints | None, look: Look
) -> Figures:
    """Figures of a metric of predicted classes [n]; only the distinct (label, before, after) are resampled.

    Flips that a small sample happens not to hold cannot be resampled. So each bound is taken with one more sample, the flip
    that moves the metric furthest towards that bound, as the exact bound of a count does (one more event than was seen).
    """
    over = np.unique(labels)
    rows = np.stack([labels, before, after], axis=1)
    right_before, right_after = before == labels, after == labels
    psi, negative = float(np.mean(right_before != right_after)), int(np.sum(right_before & ~right_after))

    def statistics(table: Ints) -> tuple[Statistic, Statistic]:
        return (
            decision_statistic(name, table[:, 0], table[:, 1], over),
            decision_statistic(name, table[:, 0], table[:, 2], over),
        )

    if groups is not None:
        figures = compare_statistics(gate, *statistics(rows), np.ones(len(rows)), groups, look, worst_decision(name, labels))
        return replace(figures, psi=psi, negative_flips=negative)
    _check_units(len(rows), "samples", look.alpha)
    table, counts = np.unique(rows, axis=0, return_counts=True)
    reference, candidate = _values(gate, *statistics(table), np.asarray(counts, dtype=np.float64))
    measured = _on_scale(gate, reference, candidate)
    wrong = _likely_wrong(over, before)
    ends = []
    for flip, furthest in (
        (np.stack([over, over, wrong], axis=1), np.argmin),
        (np.stack([over, wrong, over], axis=1), np.argmax),
    ):
        longer = np.concatenate([table, flip])
        weights = np.concatenate([np.tile(counts, (len(over), 1)), np.eye(len(over))], axis=1)
        worst = int(furthest(_scaled(gate, *statistics(longer))(weights)))
        chosen = np.concatenate([counts, np.eye(len(over))[worst]])
        ends.append(compare_statistics(gate, *statistics(longer), chosen, None, look, _RIGHT_OR_WRONG))
    low, high = min(ends[0].low, measured), max(ends[1].high, measured)
    return Figures(reference, candidate, measured, low, high, ends[0].error, ends[0].units, 1.0, psi, negative)


def compare_statistics(
    gate: Gate, before: Statistic, after: Statistic, counts: Floats | Ints, groups: Ints | None, look: Look, worst: Worst
) -> Figures:
    """Figures of any metric by the BCa bootstrap; raises Unjudgeable where the metric has no finite value.

    n units that went well leave a share of z^2 / (n + z^2) that may not, and resampling cannot know. So the bound that could
    let the candidate through is no tighter than what `worst` makes of its value when that share goes wrong. Units are what is
    drawn: with `groups`, groups.
    """
    ones = np.asarray(counts, dtype=np.float64)
    reference, candidate = _values(gate, before, after, ones)
    units = int(ones.sum()) if groups is None else int(groups.max(initial=-1)) + 1
    _check_units(units, "samples" if groups is None else "groups", look.alpha)
    bounds = bca_bounds(
        _scaled(gate, before, after),
        ones,
        look.alpha,
        seed=look.seed,
        groups=groups,
        resamples=look.resamples,
        jackknife_units=min(JACKKNIFE_UNITS, look.resamples),
    )
    measured = _on_scale(gate, reference, candidate)

    def after_losing(share: float) -> float:
        return _on_scale(gate, reference, worst(candidate, share))

    best = after_losing(unseen_share(units, look.alpha))
    low, high = min(bounds.low, measured), max(bounds.high, measured)
    return Figures(
        reference if math.isfinite(reference) else None,
        candidate,
        measured,
        min(low, best) if gate.is_higher_better else low,
        high if gate.is_higher_better else max(high, best),
        bounds.error if math.isfinite(bounds.error) else None,
        units,
        abs(after_losing(_SMALL_SHARE) - measured) / _SMALL_SHARE,
    )


def _check_units(units: int, kind: str, alpha: float) -> None:
    """Refuse few units at a fine level: the skewness that BCa leaves uncorrected grows with z^2 over the units."""
    least = max(LEAST_UNITS, math.ceil(_UNITS_PER_SQUARE * float(normal_quantile(alpha)) ** 2))
    if units < least:
        raise Unjudgeable(f"{units} {kind} are too few to resample at {100 * alpha:.2g} % error; at least {least} are needed.")


def _values(gate: Gate, before: Statistic, after: Statistic, counts: Floats) -> tuple[float, float]:
    """The metric of reference and candidate on all samples; raises Unjudgeable where the gate's scale has no value."""
    reference, candidate = float(before(counts[None, :])[0]), float(after(counts[None, :])[0])
    if not math.isfinite(candidate) or not (math.isfinite(reference) or gate.scale == "level"):
        raise Unjudgeable("the metric has no finite value on these samples.")
    if gate.scale == "share" and reference <= 0:
        raise Unjudgeable(f"the reference's value is {reference:g}, and no share of that can be asked for.")
    return reference, candidate


def _on_scale(gate: Gate, reference: float, candidate: float) -> float:
    if gate.scale == "share":
        return candidate / reference
    return candidate if gate.scale == "level" else candidate - reference


def _scaled(gate: Gate, before: Statistic, after: Statistic) -> Callable[[Floats], Floats]:
    """The statistic on the gate's scale; a share of nothing is not a number."""
    if gate.scale == "level":
        return after
    if gate.scale == "share":

        def share(weights: Floats) -> Floats:
            below = before(weights)
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray(np.where(below > 0, after(weights) / below, np.nan))

        return share
    return lambda weights: after(weights) - before(weights)


def _likely_wrong(over: Ints, classes: Ints) -> Ints:
    """For each class of `over` the other class that is predicted most often."""
    named, counts = np.unique(np.concatenate([classes, over]), return_counts=True)
    ranked = named[np.argsort(-counts, kind="stable")]
    if len(ranked) == 1:
        return np.asarray(over + 1 - 2 * (over > 0), dtype=np.intp)
    return np.asarray(np.where(over == ranked[0], ranked[1], ranked[0]), dtype=np.intp)
