"""A model's drift as people are told of it. Times are seconds since 1970 by the server's clock, shares lie within [0, 1].

What the API answers, and what the page and the report's file are drawn from: so the three never tell different things.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...drift.verdict import Severity

State = Literal["open", "acknowledged", "closed"]
Stream = Literal["errors", "latency", "confidence"]


class _Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Comparison(_Record):
    """A measure's `count` values of one window against its reference.

    `distance` (Kolmogorov-Smirnov) lies within `low` and `high` by both samples' error; `psi` is the population stability
    index. `p` is of this window alone, by Holm over all measures, and opens no alert. `log_e` is the logarithm of the evidence
    of all windows so far; `is_alarm` whether it suffices, which alone opens one. `last`, `day` and `week` are distances to the
    window before, and to those a day and a week before, or null.
    """

    measure: str
    kind: str
    count: int
    distance: float
    low: float
    high: float
    psi: float | None
    p: float | None
    log_e: float | None
    is_alarm: bool
    severity: Severity | None
    last: float | None
    day: float | None
    week: float | None


class Step(_Record):
    """The distance of one window, which begins at `start`."""

    start: int
    distance: float
    low: float
    high: float
    severity: Severity | None


class Spread(_Record):
    """A measure's counts below the first of `edges`, between each two, and above the last: then, and since `since`."""

    edges: list[float]
    reference: list[int]
    counts: list[int]
    since: float


class Chosen(_Record):
    """A distance and a test of a measure's counts of the newest day that somebody asked for; `p` after the correction."""

    distance: str
    value: float
    low: float
    high: float
    test: str
    correction: str
    p: float


class Sight(_Record):
    """What can be seen of a `measure` that moves by `distance`, with so many `requests` a window.

    `power` is the chance that one window shows it (at 5 % over all measures), `windows` how many the alarm takes, or null.
    """

    measure: str
    distance: float
    requests: int
    power: float
    windows: int | None


class Change(_Record):
    """A window at `start` in which a detector, `by` name, saw a stream of windows change: to `value` (latency: ms)."""

    stream: Stream
    start: int
    by: Literal["ADWIN", "Page-Hinkley"]
    value: float


class Measure(_Record):
    """A measure in a scope: the newest comparison, the way there, and in `change` what its counts say in a sentence."""

    scope: str
    newest: Comparison
    steps: list[Step]
    spread: Spread | None
    change: str
    chosen: Chosen | None = None


class Alert(_Record):
    """A measure that drifts, or drifted, in a scope.

    `drifting` devices drift by their own tests, `reach` is their share of all (null where that is not known), and `devices`
    names at most 20 of them. `distance` is that of the newest drifting window; `ended` says why a closed alert closed.
    """

    id: int
    model: str
    sha256: str
    measure: str
    scope: str
    severity: Severity
    state: State
    first_at: float
    last_at: float
    windows: int
    acknowledged_by: str | None
    sentence: str
    distance: float | None
    low: float | None
    high: float | None
    drifting: int | None
    reach: float | None
    devices: list[str]
    ended: str


class Alerts(BaseModel):
    """Alerts, the newest first."""

    alerts: list[Alert]


class Estimate(_Record):
    """Accuracy estimated from the confidence of `count` answers; `doubt` says why the counts make it not to be believed."""

    accuracy: float
    low: float
    high: float
    count: int
    doubt: str = ""


class Counted(_Record):
    """Accuracy counted where labels came: `right` of `labelled`, and its 95 % interval."""

    accuracy: float
    low: float
    high: float
    right: int
    labelled: int


class AccuracyStep(_Record):
    """Accuracy in one window, estimated and counted, or null."""

    start: int
    seconds: int
    estimate: Estimate | None
    counted: Counted | None


class Accuracy(_Record):
    """Accuracy over the windows; `withdrawn` says why labels or counts refute the estimate, or is null.

    `estimate` is the newest one, `counted` of the newest day of windows that labels came for, which ends `counted_until`, and
    `reference` what it was at compile time. `assumption` and `blind` say what the estimate supposes and what it cannot see.
    """

    steps: list[AccuracyStep]
    estimate: Estimate | None
    counted: Counted | None
    counted_until: int | None
    reference: float | None
    withdrawn: str | None
    assumption: str
    blind: str


class Artifact(_Record):
    """An artifact of the model that was counted; `requests` in its newest window, `why_not` says why it cannot be judged."""

    sha256: str
    version: int | None
    profile: str | None
    requests: int
    why_not: str


class Bounds(_Record):
    """From which distance on, by its lower bound, a drift is of a severity."""

    minor: float
    moderate: float
    severe: float


class Report(_Record):
    """All of one model: in `summary` what a person should know in a few sentences, then the evidence.

    `artifact` is the one that measures, accuracy and windows are of; `alerts` are of all `artifacts`. `drifting` are the
    measures of open alerts in the alerts' scopes, `measures` all of them over the whole fleet, the farthest first. `sights` say
    what can be seen at all, `changes` where detectors without a reference saw a stream change; they open no alert.
    """

    model: str
    at: float
    since: float
    severity: Severity | None
    summary: list[str]
    artifact: Artifact | None
    artifacts: list[Artifact]
    window_s: int
    windows: int
    newest_start: int | None
    devices: int
    bounds: Bounds
    alerts: list[Alert]
    drifting: list[Measure]
    measures: list[Measure]
    accuracy: Accuracy | None
    sights: list[Sight] = []
    changes: list[Change] = []


class ModelDrift(_Record):
    """A model in the list: alerts that are not closed by severity, and the accuracy of the artifact with the most requests."""

    model: str
    severity: Severity | None
    alerts: dict[Severity, int]
    estimate: Estimate | None
    withdrawn: str | None
    last_at: float | None


class Models(BaseModel):
    """All models of which something was judged."""

    models: list[ModelDrift]
