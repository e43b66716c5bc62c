"""What a gate says: one verdict for the whole and one for each slice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ...core.errors import GateError

Status = Literal["passed", "failed", "undecided", "reported"]
MeasuredOn = Literal["target", "emulated", "reference"]
_STATUSES = ("passed", "failed", "undecided", "reported")
_EXIT_CODES = {"failed": 2, "undecided": 3}


@dataclass(frozen=True)
class Verdict:
    """One gate on one part of the data; numbers are None where they could not be computed.

    `measured`, `low`, `high`, `bound` and `threshold` are on the gate's own scale: the change of the metric, its share of the
    reference's value, or its level. `low` and `high` are one-sided 1-alpha bounds, `bound` the one that decides. `margin` is
    how much may be lost (None for a level). `psi` is the share of samples that flipped, `negative_flips` how many went from
    right to wrong. `n_needed` samples would likely decide. `status` "reported" is a report-only gate: shown, never counted.
    """

    gate: str
    metric: str
    slice: str | None
    status: Status
    why: str
    alpha: float
    n: int
    measured: float | None = None
    reference: float | None = None
    candidate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    threshold: float | None = None
    margin: float | None = None
    n_needed: int | None = None
    psi: float | None = None
    negative_flips: int | None = None
    measured_on: MeasuredOn | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object of all fields; every number in it is finite."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Verdict:
        """Inverse of `to_json`; raises GateError for anything that is not a verdict."""
        names = {field.name for field in dataclasses.fields(Verdict)}
        needed = {field.name for field in dataclasses.fields(Verdict) if field.default is dataclasses.MISSING}
        if not isinstance(value, Mapping) or not needed <= set(value) <= names or value["status"] not in _STATUSES:
            raise GateError("a stored verdict has missing or unknown fields; judge the candidate again.")
        return Verdict(**value)


def overall(verdicts: Iterable[Verdict]) -> Status:
    """Status of all verdicts together: every one must pass (an intersection-union test, so no level is split between them).

    Failed comes before undecided; report-only verdicts do not count; nothing judged at all is undecided.
    """
    statuses = {verdict.status for verdict in verdicts} - {"reported"}
    for status in ("failed", "undecided", "passed"):
        if status in statuses:
            return cast(Status, status)
    return "undecided"


def exit_code(statuses: Iterable[str]) -> int:
    """What a command ends with that judged: 2 where anything failed, else 3 where anything is undecided, else 0."""
    found = set(statuses)
    return next((code for status, code in _EXIT_CODES.items() if status in found), 0)
