"""How likely a candidate is to pass on `accept`, as `search` tells: the first look should not go to one that was lucky."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from ..stats.spending import alpha_of_look
from .gates.text import parse_gate
from .gates.verdict import Verdict
from .trial import Trial

_LIKELY = 0.5


def chance(verdicts: Sequence[Verdict], growth: float) -> float:
    """Probability in [0, 1] that a first look passes each gate, from `verdicts` on `search`, by a normal approximation.

    `accept` has `growth` times the samples of `search`. The predicted change has the errors of both, the bound that of
    `accept`. A verdict without figures says nothing, and an empty list gives 1.
    """
    return min((_chance(verdict, growth) for verdict in verdicts if verdict.status != "reported"), default=1.0)


def _chance(verdict: Verdict, growth: float) -> float:
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
    level = normal.inv_cdf(1 - alpha_of_look(1))
    spread = math.hypot(error, error_there)
    room = gap - level * error_there
    return normal.cdf(room / spread) if spread > 0 else float(room > 0)


def by_chance(ordered: Sequence[Trial], chance_of: Callable[[Trial], float]) -> list[Trial]:
    """`ordered` with those that will likely fail after those that will likely pass, the likeliest of them first.

    The plain model in float stays where the objective put it: it nearly always passes, and would else overtake everything.
    """
    result: list[Trial] = []
    stretch: list[Trial] = []

    def flush() -> None:
        chances = {id(trial): chance_of(trial) for trial in stretch}
        result.extend(trial for trial in stretch if chances[id(trial)] >= _LIKELY)
        unlikely = [trial for trial in stretch if chances[id(trial)] < _LIKELY]
        result.extend(sorted(unlikely, key=lambda trial: -chances[id(trial)]))
        stretch.clear()

    for trial in ordered:
        if not trial.variant and trial.precision != "int8":
            flush()
            result.append(trial)
        else:
            stretch.append(trial)
    flush()
    return result
