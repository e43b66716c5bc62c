"""How many samples a gate needs: before the work starts, and when a verdict lacked them."""

from __future__ import annotations

import math

from ...stats.paired import normal_quantile
from ...stats.power import POWER, quantile_sum, samples_needed
from ...stats.spending import alpha_of_look
from .compare import LEAST_UNITS, Figures
from .registry import find_metric
from .text import Gate

EXPECTED_PSI = 0.04
# What a share of unseen samples may cost, over that share, where the data are not there yet to say: labels spanning twenty
# typical errors, one positive in four.
_EXPECTED_COST = {"mae": 20.0, "rmse": 200.0, "r2": 40.0, "spearman": 6.0, "auc": 4.0, "ap": 20.0}
# The same for a share of the reference's error: the largest of a thousand normal errors.
_EXPECTED_SHARE_COST = {"mae": 4.0, "rmse": 11.0}
_POWER_QUANTILE = float(normal_quantile(1 - POWER))


def samples_for_gate(
    gate: Gate, expected_psi: float = EXPECTED_PSI, alpha: float | None = None, per_group: float = 1.0
) -> int | None:
    """Samples that the first look at `gate` needs (power 90 %) for a candidate that is as good as its reference.

    `expected_psi` is the share of samples expected to flip (or to disagree); `per_group` how many samples a group has on
    average where the gate draws groups, of which as many are needed as of samples to exclude that a few fail unseen. None where
    no number can be named beforehand: a change of an unbounded metric, an improvement, a report. Exact for right-or-wrong
    metrics without groups, a guide for the others.
    """
    level = alpha_of_look(1) if alpha is None else alpha
    metric = find_metric(gate.metric)
    if gate.kind == "level" and gate.is_higher_better and 0 < gate.threshold < 1:
        share = max(1 - expected_psi, (1 + gate.threshold) / 2)
        needed, margin = _for_level(gate.threshold, share, level), share - gate.threshold
    else:
        is_bounded = metric is None or metric.is_share or gate.kind == "share"
        if gate.margin is None or not 0 < gate.margin < 1 or not is_bounded:
            return None
        needed, margin = samples_needed(expected_psi, gate.margin, level), gate.margin
    if gate.group is None and (metric is None or metric.family == "outcome"):
        return needed
    costs = _EXPECTED_COST | (_EXPECTED_SHARE_COST if gate.kind == "share" else {})
    return max(needed, math.ceil(_units_against_unseen(costs.get(gate.metric, 1.0), margin, level) * per_group))


def samples_to_decide(gate: Gate, figures: Figures, n: int, alpha: float) -> int | None:
    """Samples that would likely decide, taking the distance to the threshold that was measured.

    The distance counts as at least half the margin, unless that many samples were there already, then as at least a tenth.
    """
    inside = (figures.measured - gate.threshold) * (1 if gate.is_higher_better else -1)
    margin = gate.margin
    if margin is None and gate.is_higher_better and gate.threshold < 1:
        margin = 1 - gate.threshold
    if margin is None or margin <= 0:
        return None if inside <= 0 else _for_distance(gate, figures, inside, n, alpha)
    for least in (margin / 2, margin / 10):
        needed = _for_distance(gate, figures, min(max(inside, least), margin), n, alpha)
        if needed is not None and needed > n:
            return needed
    return None


def _for_distance(gate: Gate, figures: Figures, distance: float, n: int, alpha: float) -> int | None:
    if figures.error is not None:
        spread = math.ceil(n * (quantile_sum(alpha) * figures.error / distance) ** 2)
        unseen = _units_against_unseen(figures.cost, distance, alpha) * n / (figures.units or n)
        return max(spread, math.ceil(unseen), LEAST_UNITS)
    if figures.psi is None or distance >= 1:
        return None
    if gate.kind == "level":
        return _for_level(gate.threshold, min(1.0, gate.threshold + distance), alpha)
    scale = figures.reference if gate.kind == "share" and figures.reference else 1.0
    return samples_needed(figures.psi, min(distance * scale, 1 - 1e-9), alpha)


def _units_against_unseen(cost: float, distance: float, alpha: float) -> float:
    """Units after which the unseen share costs so much less than `distance` that chance eats the rest one time in ten."""
    return float(normal_quantile(alpha)) * quantile_sum(alpha) * cost / distance


def _for_level(level: float, share: float, alpha: float) -> int:
    """Samples to show a proportion above `level` when it is truly `share`, and never fewer than when all samples agree."""
    wanted = float(normal_quantile(alpha))
    spread = wanted * math.sqrt(level * (1 - level)) + _POWER_QUANTILE * math.sqrt(share * (1 - share))
    return max(math.ceil((spread / (share - level)) ** 2), math.ceil(math.log(alpha) / math.log(level)))
