"""What each page shows, as plain records: templates read these and nothing else.

Times are seconds since 1970 by the server's clock; pictures are finished SVG; every text may come from anybody and is escaped
by the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from ..drift_report.records import ModelDrift, Report
from .words import Pill

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Counts:
    """Members of a rollout or a stage by what came of them; `waiting` have no outcome yet, `left` are not assigned."""

    good: int = 0
    bad: int = 0
    silent: int = 0
    waiting: int = 0
    left: int = 0

    @property
    def members(self) -> int:
        """All of them."""
        return self.good + self.bad + self.silent + self.waiting + self.left


@dataclass(frozen=True)
class RolloutRow:
    """A rollout in a list. `stage` is "stage 2 of 3", `bar` the members by outcome."""

    id: int
    model: str
    version: int
    pill: Pill
    stage: str
    counts: Counts
    bar: Markup
    why: str
    made_by: str
    made_at: float
    changed_at: float


@dataclass(frozen=True)
class Share:
    """One version of a model and how many devices run it; `bar` is its share of all that run the model."""

    name: str
    detail: str
    devices: int
    share: float
    bar: Markup


@dataclass(frozen=True)
class ModelRow:
    """A model with the versions that devices say they run, most first."""

    model: str
    devices: int
    versions: Sequence[Share]


@dataclass(frozen=True)
class Notice:
    """Something that a person should look at."""

    pill: Pill
    text: str
    href: str


@dataclass(frozen=True)
class AuditRow:
    """An entry of the audit log; `href` leads to what it is about where that has a page."""

    place: int
    at: float
    actor: str
    action: str
    subject: str
    href: str
    details: Pairs
    digest: str


@dataclass(frozen=True)
class FleetView:
    """The fleet at a glance."""

    facts: Pairs
    notices: Sequence[Notice]
    rollouts: Sequence[RolloutRow]
    models: Sequence[ModelRow]
    recent: Sequence[AuditRow]


@dataclass(frozen=True)
class Running:
    """A model on a device: what runs (`version` as people know it, `sha256`), what shall run, and how the update stands."""

    model: str
    version: str
    sha256: str | None
    wanted: str
    pill: Pill
    why: str
    at: float | None


@dataclass(frozen=True)
class DeviceRow:
    """A device in a list; `attributes` are the few that tell devices apart."""

    device: str
    pill: Pill
    seen_at: float | None
    attributes: Pairs
    models: Sequence[Running]


@dataclass(frozen=True)
class DevicesView:
    """The devices that a query matches; `error` says why it could not be read, `after` is where the next page begins."""

    where: str
    error: str
    groups: Pairs
    rows: Sequence[DeviceRow]
    matched: int | None
    after: str


@dataclass(frozen=True)
class Membership:
    """A rollout that a device takes part in."""

    rollout: int
    title: str
    stage: str
    pill: Pill
    why: str


@dataclass(frozen=True)
class Traffic:
    """Counts of one artifact's requests, merged: of one device, or of a cohort of `devices`. Latencies in milliseconds.

    `confidence` is the mean of the answers', from 0 to 1, or None where the artifact has no bins of it.
    """

    name: str
    sha256: str
    devices: int
    requests: int
    errors: int
    p50: str
    p90: str
    p99: str
    updated_at: float | None
    confidence: float | None = None

    @property
    def error_share(self) -> float | None:
        """Failed requests of all, or None where there were none."""
        total = self.requests + self.errors
        return self.errors / total if total else None


@dataclass(frozen=True)
class DeviceView:
    """One device."""

    device: str
    pill: Pill
    facts: Pairs
    attributes: Pairs
    told: Pairs
    models: Sequence[Running]
    memberships: Sequence[Membership]
    traffic: Sequence[Traffic]
    reports: Sequence[tuple[float, str, Pill, str]]


@dataclass(frozen=True)
class Verb:
    """Something that a person may do to a rollout; `warning` is shown before, where it cannot be taken back."""

    name: str
    label: str
    explained: str
    warning: str = ""


@dataclass(frozen=True)
class StageView:
    """One stage: which devices, what came of them, what was decided and why."""

    name: str
    who: str
    pill: Pill
    counts: Counts
    bar: Markup
    why: str


@dataclass(frozen=True)
class Figure:
    """A picture for a wide and for a narrow screen, with what it says in a sentence and in some more."""

    title: str
    sentence: str
    captions: Sequence[str]
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class MemberRow:
    """A device of a rollout."""

    device: str
    stage: str
    pill: Pill
    why: str
    at: float | None


@dataclass(frozen=True)
class RolloutView:
    """One rollout: where it stands and why, stage by stage, with the evidence of the stage that it is in.

    `left_out` are devices that its query means and that take no part, each with why; None where that was not asked.
    """

    row: RolloutRow
    verbs: Sequence[Verb]
    stages: Sequence[StageView]
    evidence_of: str
    figures: Sequence[Figure]
    members: Sequence[MemberRow]
    more_members: int
    left_out: Pairs | None
    more_left_out: int
    plan: Pairs
    history: Sequence[AuditRow]


@dataclass(frozen=True)
class TelemetryView:
    """Traffic of one model by version, and how it went over time."""

    models: Sequence[str]
    model: str
    where: str
    error: str
    cohorts: Sequence[Traffic]
    figures: Sequence[Figure]
    note: str


@dataclass(frozen=True)
class ArtifactRow:
    """An artifact of the signed repository; `gates` with their verdicts, `running` devices say that they run it."""

    name: str
    version: int
    profile: str
    runtime: str
    precision: str
    size: str
    latency: str
    latency_note: str
    gates: Sequence[tuple[str, Pill]]
    is_canary: bool
    is_gone: bool
    sha256: str
    first_seen_at: float
    running: int


@dataclass(frozen=True)
class ArtifactsView:
    """The artifacts by model, newest first."""

    models: Sequence[tuple[str, Sequence[ArtifactRow]]] = field(default_factory=tuple)


@dataclass(frozen=True)
class AuditView:
    """Entries of the audit log, newest first; `broken` says where the chain does not hold."""

    rows: Sequence[AuditRow]
    count: int
    head: str
    broken: str
    older: int | None


@dataclass(frozen=True)
class AlertRow:
    """An alert: what drifts and where, since when, how far; `href` leads to the devices that are meant, where it is not all."""

    id: int
    severity: Pill
    state: Pill
    measure: str
    where: str
    href: str
    sentence: str
    distance: str
    mark: Markup
    reach: str
    devices: Sequence[str]
    first_at: float
    last_at: float
    windows: str
    is_open: bool


@dataclass(frozen=True)
class MeasureRow:
    """A measure in its newest window: distances as text, and as a mark with the bounds of severity."""

    name: str
    pill: Pill
    mark: Markup
    distance: str
    change: str
    values: str
    psi: str
    p: str
    evidence: str
    seasons: str


@dataclass(frozen=True)
class Pair:
    """Two pictures of one thing, each for a wide and for a narrow screen, with what they say."""

    title: str
    sentence: str
    captions: Sequence[str]
    pictures: Sequence[tuple[Markup, Markup]]


@dataclass(frozen=True)
class DriftView:
    """The drift of one model: the verdict in sentences, then alerts, accuracy, and what moved."""

    report: Report
    pill: Pill
    facts: Pairs
    alerts: Sequence[AlertRow]
    accuracy: Figure | None
    matrix: Figure | None
    pairs: Sequence[Pair]
    more_pairs: int
    measures: Sequence[MeasureRow]


@dataclass(frozen=True)
class DriftPage:
    """The page of a model's drift: who may acknowledge, and over which times it can be shown (name, seconds)."""

    view: DriftView
    may_acknowledge: bool
    since_s: int
    periods: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class ModelsDrift:
    """All models with what drifts."""

    rows: Sequence[tuple[ModelDrift, Pill, str]]
