"""From an interval and a threshold to what is said: shown worse, shown not worse, noise, or undecided."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .finding import Finding, Status
from .rules import Rule, Scale
from .words import said

_MOST_NEEDED = 10_000_000


@dataclass(frozen=True)
class Bounded:
    """An estimate with one-sided bounds, on a rule's scale (a fraction, the figure's unit); `n` of `kind` were counted."""

    estimate: float
    low: float
    high: float
    n: int
    kind: str = "loads"


@dataclass(frozen=True)
class Judged:
    """The status, one sentence, and how many of what was counted would likely decide."""

    status: Status
    why: str
    n_needed: int | None = None


def judge(rule: Rule, found: Bounded, unit: str, *, is_share: bool = False) -> Judged:
    """What `found` says of a rule; `is_share`: of a metric between 0 and 1."""
    sign = 1 if rule.op == ">" else -1
    limit = rule.threshold
    near, far = (found.low, found.high) if sign > 0 else (found.high, found.low)
    told = _Told(rule.scale, unit, is_share)
    if sign * (near - limit) > 0:
        return Judged("regression", f"{told.all_of(found)} lies beyond {told(limit)}.")
    if sign * (far - limit) <= 0:
        return Judged("none", f"{told.all_of(found)} lies within {told(limit)}.")
    needed = _needed(found, limit)
    hint = "nothing tells how many would decide" if needed is None else f"about {needed} {found.kind} would decide"
    is_change_allowed = rule.scale != "level" and sign * limit >= 0
    if is_change_allowed and found.low <= 0 <= found.high:
        return Judged("noise", f"{told.all_of(found)} holds both no change and {told(limit)}; {hint}.", needed)
    return Judged("undecided", f"{told.all_of(found)} holds {told(limit)}; {hint}.", needed)


def judge_exact(rule: Rule, value: float, unit: str) -> Judged:
    """The same for what is known without error."""
    told = _Told(rule.scale, unit)
    is_worse = value > rule.threshold if rule.op == ">" else value < rule.threshold
    if is_worse:
        return Judged("regression", f"{told(value)} lies beyond {told(rule.threshold)}.")
    return Judged("none", f"{told(value)} lies within {told(rule.threshold)}.")


def ruled(found: Finding, rule: Rule | None, judged: Judged | None) -> Finding:
    """`found`, which is only shown, with what was judged of it by `rule`."""
    if rule is None or judged is None:
        return found
    return replace(
        found, rule=str(rule), status=judged.status, why=judged.why, threshold=rule.threshold, n_needed=judged.n_needed
    )


def _needed(found: Bounded, limit: float) -> int | None:
    """The width of an interval falls with the root of what is counted; the distance is taken as measured."""
    width = max(found.high - found.estimate, found.estimate - found.low)
    distance = abs(found.estimate - limit)
    if not math.isfinite(width) or distance <= 0 or width <= 0:
        return None
    needed = math.ceil(found.n * max((width / distance) ** 2, 1.0)) + 1
    return needed if needed <= _MOST_NEEDED else None


@dataclass(frozen=True)
class _Told:
    scale: Scale
    unit: str
    is_share: bool = False

    def __call__(self, value: float) -> str:
        return said(self.scale, self.unit, value, is_share=self.is_share)

    def all_of(self, found: Bounded) -> str:
        if not math.isfinite(found.low) or not math.isfinite(found.high):
            return f"{self(found.estimate)} ({found.n} {found.kind} bound nothing at this level)"
        return f"{self(found.estimate)} ({self(found.low)} to {self(found.high)})"
