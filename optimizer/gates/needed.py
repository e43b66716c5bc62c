"""How many samples a gate needs: before the work starts, and when a verdict lacked them."""

from __future__ import annotations

import math

from ...stats.paired import normal_quantile
from ...stats.power import POWER, quantile_sum, samples_needed, samples_without_flips
from ...stats.spending import alpha_of_look
from .compare import LEAST_UNITS, Figures
from .registry import find_metric
from .text import Gate

EXPECTED_PSI = 0.04
_POWER_QUANTILE = float(normal_quantile(1 - POWER))


def samples_for_gate(gate: Gate, expected_psi: float = EXPECTED_PSI, alpha: float | None = None) -> int | None:
    """Samples that the first look at `gate` needs (power 90 %) for a candidate that is as good as its reference.

    `expected_psi` is the share of samples expected to flip (or to disagree). None where no number can be named beforehand: a
    change of an unbounded metric, an improvement, a report. Exact for right-or-wrong metrics, a guide for the others.
    """
    level = alpha_of_look(1) if alpha is None else alpha
    metric = find_metric(gate.metric)
    if gate.kind == "level" and gate.is_higher_better and 0 < gate.threshold < 1:
        return _for_level(gate.threshold, max(1 - expected_psi, (1 + gate.threshold) / 2), level)
    is_bounded = metric is None or metric.is_share or gate.kind == "share"
    if gate.margin is None or not 0 < gate.margin < 1 or not is_bounded:
        return None
    return samples_needed(expected_psi, gate.margin, level)


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
        floor = samples_without_flips(distance, alpha) if distance < 1 else LEAST_UNITS
        return max(spread, floor, LEAST_UNITS)
    if figures.psi is None or distance >= 1:
        return None
    if gate.kind == "level":
        return _for_level(gate.threshold, min(1.0, gate.threshold + distance), alpha)
    scale = figures.reference if gate.kind == "share" and figures.reference else 1.0
    return samples_needed(figures.psi, min(distance * scale, 1 - 1e-9), alpha)


def _for_level(level: float, share: float, alpha: float) -> int:
    """Samples to show a proportion above `level` when it is truly `share`, and never fewer than when all samples agree."""
    wanted = float(normal_quantile(alpha))
    spread = wanted * math.sqrt(level * (1 - level)) + _POWER_QUANTILE * math.sqrt(share * (1 - share))
    return max(math.ceil((spread / (share - level)) ** 2), math.ceil(math.log(alpha) / math.log(level)))
