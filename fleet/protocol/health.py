"""How a device was while it measured: temperature, frequency, throttling, free memory, what else ran."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError

MAX_READINGS = 64
MAX_DISTURBANCES, MAX_DISTURBANCE = 16, 200  # and characters of one
_MOST = 1e15  # of any number


@dataclass(frozen=True)
class Reading:
    """The device at one moment. What it does not tell is None.

    `at_s` is seconds since the first reading; `celsius` of the hottest sensor; `mhz` of the fastest core; `throttled` counts
    the events of throttling so far; `is_throttled` says that it is throttled, or has too little voltage, now; `free_bytes` is
    the memory that a process can have; `others` is the share of the whole CPU, 0 to 1, that other processes took since the
    reading before.
    """

    at_s: float
    celsius: float | None = None
    mhz: float | None = None
    throttled: int | None = None
    is_throttled: bool | None = None
    free_bytes: int | None = None
    others: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return asdict(self)


@dataclass(frozen=True)
class Watched:
    """`before`, the readings `during`, `after`; `disturbed` names in one clause each what makes the figures doubtful."""

    before: Reading
    during: tuple[Reading, ...] = ()
    after: Reading | None = None
    disturbed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "before": self.before.to_json(),
            "during": [item.to_json() for item in self.during],
            "after": None if self.after is None else self.after.to_json(),
            "disturbed": list(self.disturbed),
        }


def watched(read: Fields) -> Watched:
    """Inverse of `Watched.to_json`; raises ArtifactError."""
    during, disturbed = read.items("during"), read.texts("disturbed")
    if len(during) > MAX_READINGS or len(disturbed) > MAX_DISTURBANCES:
        raise ArtifactError("the health of a measuring has more readings or remarks than a device sends.")
    if any(len(text) > MAX_DISTURBANCE for text in disturbed):
        raise ArtifactError("a remark on the health of a measuring is longer than any.")
    return Watched(
        before=_reading(read.object("before")),
        during=tuple(_reading(Fields(item, "a reading")) for item in during),
        after=None if read.is_null("after") else _reading(read.object("after")),
        disturbed=disturbed,
    )


def _reading(read: Fields) -> Reading:
    numbers = {name: read.optional_number(name) for name in ("celsius", "mhz", "others")}
    counts = {name: read.optional_count(name) for name in ("throttled", "free_bytes")}
    at_s = read.number("at_s")
    if any(value is not None and not abs(value) < _MOST for value in (at_s, *numbers.values(), *counts.values())):
        raise ArtifactError("a reading has a number that no sensor gives.")
    is_throttled = None if read.is_null("is_throttled") else read.flag("is_throttled")
    return Reading(
        at_s, numbers["celsius"], numbers["mhz"], counts["throttled"], is_throttled, counts["free_bytes"], numbers["others"]
    )
