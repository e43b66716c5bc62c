"""Drift in plain words: what changed and by how much, where, since when, and what cannot be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...drift.scope import Scope
from ..page.words import minute, number, percent, plural, sentence
from .records import Accuracy, Alert, Comparison, Counted, Estimate

ASSUMPTION = (
    "The estimate supposes that only the inputs change: that an input has the same right answer as before, and that a "
    "confidence still says how often the model is right (covariate shift, calibrated confidence)."
)
BLIND = (
    "Where right answers themselves change (concept drift), neither inputs nor confidence need to, and without labels nothing "
    "here can see it; labels are brought by edgewright labels push."
)


class Change(NamedTuple):
    """What changed in a sentence, and the value that parts reference and now the most, where there is one."""

    sentence: str
    cut: float | None


def shares(counts: Sequence[int]) -> list[float]:
    """Each count of all; nothing of nothing."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def scope_text(scope: str) -> str:
    """Where, as it stands in a sentence: "the whole fleet", "devices with batch = 7", "one device, 3f…"."""
    found = Scope.parse(scope)
    if found.kind == "fleet":
        return "the whole fleet"
    return f"one device, {found.name}" if found.kind == "device" else f"devices with {found.name} = {found.value}"


def change_of(kind: str, edges: Sequence[float], reference: Sequence[int], now: Sequence[int]) -> Change:
    """What the counts of a measure say, by their largest difference: for values the share below or above one of them.

    `reference` and `now` have one count more than `edges`.
    """
    before, after = shares(reference), shares(now)
    if not (any(reference) and any(now)):
        return Change("There is nothing to compare.", None)
    if kind == "prediction":
        return _of_classes(before, after)
    if kind == "errors":
        return Change(f"{percent(after[-1])} of the requests failed, in its first day {percent(before[-1])}.", None)
    place, gap = _largest_gap(before, after)
    if gap == 0:
        return Change("Nothing moved.", None)
    # Told of the side that grew.
    one, two = sum(before[: place + 1]), sum(after[: place + 1])
    side, one, two = ("below", one, two) if gap > 0 else ("above", 1 - one, 1 - two)
    edge = number(edges[place])
    if kind == "latency":
        words = {"below": "within", "above": "after"}[side]
        return Change(f"{percent(two)} of the requests end {words} {edge} ms, in its first day {percent(one)}.", edges[place])
    if kind == "missing":
        # Below the second edge lie samples of which nothing is missing.
        one, two = 1 - sum(before[:2]), 1 - sum(after[:2])
        return Change(
            f"In {percent(max(two, 0.0))} of the samples values are missing, at compile time in {percent(max(one, 0.0))}.", None
        )
    what = "of the answers have a confidence" if kind == "confidence" else "of the values lie"
    return Change(f"{percent(two)} {what} {side} {edge}, at compile time {percent(one)}.", edges[place])


def _largest_gap(before: Sequence[float], after: Sequence[float]) -> tuple[int, float]:
    """The edge where the shares below it differ most, and by how much: now less before."""
    place, gap, below = 0, 0.0, 0.0
    for at in range(len(before) - 1):
        below += after[at] - before[at]
        if abs(below) > abs(gap) + 1e-12:
            place, gap = at, below
    return place, gap


def _of_classes(before: Sequence[float], after: Sequence[float]) -> Change:
    # Of two that changed as much, the one that grew.
    apart = [round(now - then, 9) for now, then in zip(after, before, strict=True)]
    at = max(range(len(before)), key=lambda place: (abs(apart[place]), apart[place]))
    if after[at] == before[at]:
        return Change("The answers are as they were.", None)
    name = f"class {at - 1}" if 0 < at < len(before) - 1 else "a class that is not known"
    return Change(f"{percent(after[at])} of the answers are {name}, at compile time {percent(before[at])}.", None)


def summary(
    alerts: Sequence[Alert], changes: dict[int, str], farthest: Comparison | None, accuracy: Accuracy | None, window_s: int
) -> list[str]:
    """What a person should know: what drifts where and since when, how far, and what that means for accuracy.

    `alerts` are those that are not closed, the gravest first; `changes` says by their number what changed.
    """
    told = []
    for scope in dict.fromkeys(item.scope for item in alerts):
        told.append(_of_scope([item for item in alerts if item.scope == scope], changes))
    if not alerts and farthest is not None:
        told.append(
            f"No drift is proven. Farthest from its reference in the last {_period(window_s)} is {farthest.measure}, by "
            f"{distance_text(farthest.distance, farthest.low, farthest.high)}."
        )
    of_accuracy = [] if accuracy is None else accuracy_sentences(accuracy)
    # What labels refute matters before all that is only likely.
    return of_accuracy + told if accuracy is not None and accuracy.withdrawn else told + of_accuracy


def _of_scope(alerts: Sequence[Alert], changes: dict[int, str]) -> str:
    first, since = alerts[0], min(item.first_at for item in alerts)
    reach = "" if first.reach is None or first.scope.startswith("device") else f" ({percent(first.reach, 0)} of all devices)"
    told = f"{sentence(first.severity)} drift in {scope_text(first.scope)}{reach} since {minute(since)}: {first.measure} moved"
    if first.distance is not None and first.low is not None and first.high is not None:
        told += f" by {distance_text(first.distance, first.low, first.high)}"
    if len(alerts) > 1:
        told += f", and {plural(len(alerts) - 1, 'other measure')} with it"
    change = changes.get(first.id)
    return f"{told}." + (f" {change}" if change else "")


def distance_text(distance: float, low: float, high: float) -> str:
    """ "0.31 (0.29 to 0.33)"."""
    return f"{distance:.2f} ({low:.2f} to {high:.2f})"


def accuracy_sentences(accuracy: Accuracy) -> list[str]:
    """The estimate, whether it holds, and what was counted."""
    told = []
    then = "" if accuracy.reference is None else f" At compile time it was {percent(accuracy.reference)}."
    if accuracy.withdrawn is not None:
        told.append(f"The estimate of accuracy is withdrawn, because {accuracy.withdrawn.rstrip('.')}.{then}")
    elif accuracy.estimate is not None:
        told.append(
            f"Estimated accuracy of the last window, if only the inputs changed: {share_text(accuracy.estimate)}.{then}"
        )
    if accuracy.counted is not None and accuracy.counted_until is not None:
        counted, until = accuracy.counted, minute(accuracy.counted_until)
        told.append(
            f"Of {plural(counted.labelled, 'label')} for the day until {until}, {share_text(counted)} agree with the answers."
        )
    elif told:
        told.append("No labels came, so whether right answers themselves changed cannot be known.")
    return told


def share_text(value: Estimate | Counted) -> str:
    """ "91.2 % (90.1 % to 92.4 %)"."""
    return f"{percent(value.accuracy)} ({percent(value.low)} to {percent(value.high)})"


def _period(seconds: int) -> str:
    for factor, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= factor:
            return word if round(seconds / factor) == 1 else f"{round(seconds / factor)} {word}s"
    return f"{seconds} seconds"
