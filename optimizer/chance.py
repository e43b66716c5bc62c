"""How likely a candidate is to pass on `accept`, as `search` tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from ..stats.spending import alpha_of_look
from .gates.text import parse_gate
from .gates.verdict import Verdict


def chance(verdicts: Sequence[Verdict], growth: float, look: int = 1) -> float:
    """Probability in [0, 1] that the `look`-th look passes each gate, from `verdicts` on `search`, by a normal approximation.

    `accept` has `growth` times the samples of `search`. The predicted change has the errors of both, the bound that of
    `accept`. A verdict without figures says nothing, and an empty list gives 1.
    """
    return min((_chance(verdict, growth, look) for verdict in verdicts if verdict.status != "reported"), default=1.0)


def _chance(verdict: Verdict, growth: float, look: int) -> float:
    if verdict.measured is None or verdict.threshold is None:
        return 1.0
    is_higher_better = parse_gate(verdict.gate).is_higher_better
    bound = verdict.low if is_higher_better else verdict.high
    if bound is None:
        return 1.0
    gap = (verdict.measured - verdict.threshold) * (1 if is_higher_better else -1)
    normal = NormalDist()
    error = abs(verdict.measured - bound) / normal.inv_cdf(1 - verdict.alpha)
    error_there = error / math.sqrt(growth)
    room = gap - normal.inv_cdf(1 - alpha_of_look(look)) * error_there
    spread = math.hypot(error, error_there)
    return normal.cdf(room / spread) if spread > 0 else float(room > 0)
