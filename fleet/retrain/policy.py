"""The policy of a model: what starts a retraining, how often at most, and whose word each of its rollouts takes. Pure.

    policy    = "on:" condition { "or" condition } [";" "at most" limit] [";" "approve:" approvals]
    condition = "drift" severity ["for" N "windows"]           an open alert of that severity or a worse one
              | "accuracy_estimate <" share ["for" N "windows"]     the estimate without labels, as a whole below it
              | "accuracy <" share ["for" N "windows"]              the accuracy by labels, as a whole below it
    limit     = ("once" | N "times") "a" ("hour" | "day" | "week" | "month")
    approvals = "canary by" who ["," "fleet by" who];  who = "machine" | "person"

"As a whole" means that the upper end of its interval lies below. A drift counts where it is of the fleet or of an attribute:
one device that drifts alone is broken, and no reason to teach all. Nor are latency and errors, which no training mends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ...core.errors import UsageError, unknown
from ..drift.verdict import SEVERITIES, Severity

Kind = Literal["drift", "accuracy_estimate", "accuracy"]
Who = Literal["machine", "person"]
Period = Literal["hour", "day", "week", "month"]
PERIODS: dict[Period, float] = {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0}
MAX_CHARACTERS = 1000
MAX_WINDOWS, MAX_TIMES = 10_000, 1000
_DIGITS = 9  # of a share, behind the point
UNTRAINABLE = ("latency", "errors")  # measures that no training mends
_EXAMPLE = (
    "on: drift severe for 2 windows or accuracy_estimate < 0.9; at most once a day; approve: canary by machine, fleet by person"
)
_DRIFT = re.compile(r"drift\s+(\w+)")
_SHARE = re.compile(r"(accuracy_estimate|accuracy)\s*<\s*([0-9]*\.?[0-9]+)\s*(%?)")
_WINDOWS = re.compile(r"(.*?)\s+for\s+([0-9]{1,6})\s+windows?", re.DOTALL)
_LIMIT = re.compile(r"at\s+most\s+(?:(once)|([0-9]{1,6})\s+times)\s+an?\s+(\w+)")
_APPROVAL = re.compile(r"(\w+)\s+by\s+(\w+)")


@dataclass(frozen=True)
class Condition:
    """What starts a retraining once it holds in `windows` windows after another: a `severity`, or less than a share."""

    kind: Kind
    severity: Severity | None = None
    below: float | None = None
    windows: int = 1

    def __str__(self) -> str:
        head = f"drift {self.severity}" if self.kind == "drift" else f"{self.kind} < {_written(self.below or 0.0)}"
        return head if self.windows == 1 else f"{head} for {self.windows} windows"


@dataclass(frozen=True)
class Policy:
    """When a model is retrained: any of `conditions` starts it, at most `times` a `period`; who lets its rollouts begin."""

    conditions: tuple[Condition, ...]
    times: int = 1
    period: Period = "day"
    canary_by: Who = "machine"
    fleet_by: Who = "person"

    @staticmethod
    def parse(text: str) -> Policy:
        """Inverse of `str`: what is read can be printed and read again. Raises UsageError that names what cannot be read."""
        if len(text) > MAX_CHARACTERS:
            raise UsageError(f"a policy has at most {MAX_CHARACTERS} characters, not {len(text)}.")
        conditions: tuple[Condition, ...] = ()
        limit: tuple[int, Period] = (1, "day")
        approvals: tuple[Who, Who] = ("machine", "person")
        said: set[str] = set()
        for part in (piece.strip() for piece in text.split(";")):
            key, colon, rest = part.partition(":")
            name = key.strip() if colon else " ".join(part.split()[:2])
            if name in said:
                raise UsageError(f"the policy says {name!r} twice; say it once.")
            said.add(name)
            if name == "on":
                conditions = tuple(_condition(item.strip()) for item in re.split(r"\s+or\s+", rest.strip()))
            elif name == "at most":
                limit = _limit(part)
            elif name == "approve":
                approvals = _approvals(rest)
            else:
                raise UsageError(f"the policy's part {part[:100]!r} cannot be read; write for example '{_EXAMPLE}'.")
        if not conditions:
            raise UsageError(f"the policy does not say on what a retraining starts; write for example '{_EXAMPLE}'.")
        policy = Policy(conditions, *limit, *approvals)
        if (length := len(str(policy))) > MAX_CHARACTERS:
            raise UsageError(f"the policy has {length} characters written in full, more than {MAX_CHARACTERS}; say less in it.")
        return policy

    def __str__(self) -> str:
        often = "once" if self.times == 1 else f"{self.times} times"
        begins = " or ".join(map(str, self.conditions))
        return (
            f"on: {begins}; at most {often} {'an' if self.period == 'hour' else 'a'} {self.period}; "
            f"approve: canary by {self.canary_by}, fleet by {self.fleet_by}"
        )

    @property
    def period_s(self) -> float:
        """The period of the limit in seconds."""
        return PERIODS[self.period]


@dataclass(frozen=True)
class Drift:
    """An open alert: its number, what drifts (`Measure.name`) in which scope, and in how many windows in a row."""

    alert: int
    measure: str
    scope: str
    severity: Severity
    windows: int


@dataclass(frozen=True)
class Window:
    """What a window tells of the accuracy: a share, and the upper end of its interval."""

    share: float
    high: float


@dataclass(frozen=True)
class Seen:
    """What a policy is held against: open alerts; windows of estimate and of labels, the newest last."""

    drifts: Sequence[Drift] = ()
    estimates: Sequence[Window] = ()
    accuracies: Sequence[Window] = ()


@dataclass(frozen=True)
class Cause:
    """Why a retraining starts, in a sentence, and the alert that says so, if it is one."""

    why: str
    alert: int | None = None


def cause(policy: Policy, seen: Seen) -> Cause | None:
    """The first condition of the policy that holds, or None."""
    return next((found for condition in policy.conditions if (found := _holds(condition, seen)) is not None), None)


def _holds(condition: Condition, seen: Seen) -> Cause | None:
    if condition.kind == "drift":
        least = SEVERITIES.index(condition.severity or "minor")
        meant = [
            item
            for item in seen.drifts
            if SEVERITIES.index(item.severity) >= least
            and item.windows >= condition.windows
            and not item.scope.startswith("device ")
            and item.measure not in UNTRAINABLE
        ]
        worst = max(meant, key=lambda item: (SEVERITIES.index(item.severity), item.windows, -item.alert), default=None)
        if worst is None:
            return None
        windows = "window" if worst.windows == 1 else "windows"
        why = f"{worst.measure} drifts in {worst.scope}, {worst.severity}, for {worst.windows} {windows}."
        return Cause(why, worst.alert)
    below = condition.below or 0.0
    told = seen.estimates if condition.kind == "accuracy_estimate" else seen.accuracies
    last = list(told)[-condition.windows :]
    if len(last) < condition.windows or any(item.high >= below for item in last):
        return None
    what = "the accuracy, estimated without labels," if condition.kind == "accuracy_estimate" else "the accuracy by labels"
    return Cause(f"{what} is {last[-1].share:.3f}, at most {last[-1].high:.3f}, below {_written(below)}.")


def _written(share: float) -> str:
    """A share as digits without an exponent, as many as are read."""
    return f"{share:.{_DIGITS}f}".rstrip("0").rstrip(".")


def _condition(text: str) -> Condition:
    counted = _WINDOWS.fullmatch(text)
    head, windows = (counted[1].strip(), int(counted[2])) if counted is not None else (text, 1)
    if not 1 <= windows <= MAX_WINDOWS:
        raise UsageError(f"the policy's condition {text[:100]!r} holds for {windows} windows; give 1 to {MAX_WINDOWS}.")
    drift, share = _DRIFT.fullmatch(head), _SHARE.fullmatch(head)
    if drift is not None:
        severity = next((item for item in SEVERITIES if item == drift[1]), None)
        if severity is None:
            raise UsageError(unknown("severity", drift[1], SEVERITIES))
        return Condition("drift", severity=severity, windows=windows)
    if share is None:
        raise UsageError(
            f"the policy's condition {text[:100]!r} cannot be read; write 'drift severe for 2 windows', "
            "'accuracy_estimate < 0.9' or 'accuracy < 0.9'."
        )
    below = round(float(share[2]) / (100 if share[3] else 1), _DIGITS)
    if not 0 < below <= 1:
        raise UsageError(f"the policy's condition {text[:100]!r} compares with {below:g}; give a share above 0 and up to 1.")
    return Condition("accuracy" if share[1] == "accuracy" else "accuracy_estimate", below=below, windows=windows)


def _limit(text: str) -> tuple[int, Period]:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise UsageError(
            f"the policy's limit {text[:100]!r} cannot be read; write 'at most once a day' or 'at most 3 times a week'."
        )
    times = 1 if found[1] else int(found[2])
    period = next((item for item in PERIODS if item == found[3]), None)
    if period is None:
        raise UsageError(unknown("period", found[3], PERIODS))
    if not 1 <= times <= MAX_TIMES:
        raise UsageError(f"the policy's limit is {times} times a {period}; give 1 to {MAX_TIMES}.")
    return times, period


def _approvals(text: str) -> tuple[Who, Who]:
    found: dict[str, Who] = {"canary": "machine", "fleet": "person"}
    said: set[str] = set()
    for part in (piece.strip() for piece in text.split(",")):
        read = _APPROVAL.fullmatch(part)
        if read is None:
            raise UsageError(
                f"the policy's approval {part[:100]!r} cannot be read; write 'canary by machine, fleet by person'."
            )
        if read[1] not in found:
            raise UsageError(unknown("rollout of a policy", read[1], found))
        if read[1] in said:
            raise UsageError(f"the policy says twice who approves the {read[1]}; say it once.")
        who = next((item for item in get_args(Who) if item == read[2]), None)
        if who is None:
            raise UsageError(unknown("approver", read[2], get_args(Who)))
        said.add(read[1])
        found[read[1]] = who
    return found["canary"], found["fleet"]
