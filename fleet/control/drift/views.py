"""What people see of drift: records that the page, the API and the report are made of. Times are seconds since 1970."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from ...drift.scope import Scope
from ...drift.verdict import Compared, Estimated, Judged, Severity

OPEN, ACKNOWLEDGED, CLOSED = "open", "acknowledged", "closed"
STATES = (OPEN, ACKNOWLEDGED, CLOSED)


@dataclass(frozen=True)
class Alert:
    """What drifts or drifted: a measure of a model in a scope, in `windows` windows from `first_at` to `last_at`.

    `state` is open, acknowledged (by `acknowledged_by`) or closed. `evidence` is what it rests on: `sentence` for people, the
    `compared` fields of the newest drifting window, `reach` (share of devices that drift), `devices` (names, at most 20),
    `in_a_row` (newest windows in a row at least as severe as each severity), `quiet` (newest windows in a row without drift).
    """

    id: int
    model: str
    sha256: str
    measure: str
    scope: Scope
    severity: Severity
    state: str
    first_at: float
    last_at: float
    windows: int
    evidence: Mapping[str, Any]
    acknowledged_by: str | None


def to_alert(row: Row[Any]) -> Alert:
    """A row of ALERTS."""
    return Alert(
        row.id, row.model, row.sha256, row.measure, Scope.parse(row.scope), row.severity, row.state, row.first_at, row.last_at,
        row.windows, json.loads(row.evidence), row.acknowledged_by,
    )  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A window [start, start + seconds) by arrival at the server, and what was judged of it."""

    start: int
    seconds: int
    requests: int
    samples: int
    judged: Judged


@dataclass(frozen=True)
class Trend:
    """A measure over windows: its distance to the reference in each, and the newest comparison."""

    measure: str
    kind: str
    points: tuple[tuple[int, Compared], ...]  # start of the window

    @property
    def newest(self) -> Compared:
        """The comparison of the newest window."""
        return self.points[-1][1]


@dataclass(frozen=True)
class Histogram:
    """A measure's counts at compile time and over some windows: [below, each bin, above], one more than `edges`."""

    measure: str
    kind: str
    edges: tuple[float, ...]
    reference: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class AccuracyPoint:
    """Accuracy in one window: estimated from confidence, and counted where labels came (`right` of `labelled`)."""

    start: int
    seconds: int
    estimate: Estimated | None
    right: int
    labelled: int


@dataclass(frozen=True)
class AccuracyView:
    """Accuracy of one artifact over time; `withdrawn` says why the estimate does not hold: labels contradict it, or counts.

    The estimate supposes covariate shift and calibrated confidence: that labels of the same inputs changed (concept drift)
    cannot be seen in it.
    """

    sha256: str
    points: tuple[AccuracyPoint, ...]
    withdrawn: str | None

    @property
    def newest(self) -> AccuracyPoint | None:
        """The newest window that has an estimate."""
        return next((item for item in reversed(self.points) if item.estimate is not None), None)


@dataclass(frozen=True)
class Watched:
    """One artifact of a model: version and profile (None where the repository never offered it), and its newest window.

    `why_not` says why nothing can be judged of it, or is empty.
    """

    sha256: str
    version: int | None
    profile: str | None
    newest: Point | None
    accuracy: AccuracyView
    why_not: str


@dataclass(frozen=True)
class Overview:
    """A model's artifacts that were counted, the newest version first, and its alerts that are not closed."""

    model: str
    since: float
    watched: tuple[Watched, ...]
    alerts: tuple[Alert, ...]
