"""What the people's API takes and answers. Times are seconds since 1970 by the server's clock; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ...protocol.offer import MAX_VERSION
from ...rollout.guard import Guard
from ...rollout.maintenance import MaintenanceWindow
from ...rollout.plan import MAX_GUARDS, MAX_SECONDS, MAX_STAGES, MAX_WINDOWS, Plan, Stage

_CLEAN = r"^[^\x00-\x1f\x7f]*$"  # no control characters

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
PersonName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,99}$")]
DeviceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Clean = Annotated[str, StringConstraints(max_length=200, pattern=_CLEAN)]
QueryText = Annotated[str, StringConstraints(max_length=2000, pattern=_CLEAN)]
Place = Annotated[int, Field(ge=0, le=2**53)]
RolloutId = Annotated[int, Field(ge=1, le=2**53)]
Role = Literal["viewer", "operator", "admin"]
Verb = Literal["approve", "pause", "resume", "abort", "promote"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Error(BaseModel):
    """A refusal: `code` for programs, one sentence for people."""

    code: str
    error: str


# Requests


class NewAttributes(_Request):
    """All attributes that operators set of the device; those that are not named are forgotten."""

    attributes: dict[str, Clean] = Field(max_length=64)


class NewAssignment(_Request):
    """An artifact by SHA-256, or without it the newest signed version that fits, now and later."""

    sha256: Sha256 | None = None
    deadline_s: float | None = Field(None, ge=1, le=366 * 86400, description="Seconds that an update may take.")


class NewToken(_Request):
    """For how long a device may enrol with the token."""

    days: float = Field(7.0, ge=0.001, le=365)


class NewGroup(_Request):
    """Which devices the group means."""

    query: QueryText


class NewPerson(_Request):
    """A person or a program, its role, and for how long its token is good."""

    name: PersonName
    role: Role
    days: float = Field(90.0, ge=0.001, le=3660)


# Answers


class Wanted(BaseModel):
    """What is assigned: an artifact, or with `sha256` null the newest that fits; by `rollout`, or with null by a person."""

    sha256: str | None
    name: str | None
    attempt: int
    deadline_s: float | None
    is_aborted: bool
    rollout: int | None


class Said(BaseModel):
    """What the device said last."""

    running: str | None
    target: str | None
    state: str
    result: str | None
    why: str
    received_at: float


class OfModel(BaseModel):
    """A model on a device."""

    wanted: Wanted | None
    said: Said | None


class Device(BaseModel):
    """A device: what it told when it enrolled (`facts`), what operators `set`, and all that queries see (`attributes`)."""

    device: str
    enrolled_at: float
    seen_at: float | None
    is_revoked: bool
    facts: dict[str, str]
    set: dict[str, str]
    attributes: dict[str, str | list[str]]
    models: dict[str, OfModel]


class Devices(BaseModel):
    """A page of devices in the order of their names; `next` is the `after` of the next page, or null at the end."""

    devices: list[Device]
    next: str | None


class Attributes(BaseModel):
    """What operators set."""

    device: str
    attributes: dict[str, str]


class Revoked(BaseModel):
    """A device that is refused from now on."""

    device: str
    is_revoked: bool


class Assigned(BaseModel):
    """What a device runs from its next poll on."""

    device: str
    model: str
    sha256: str | None
    name: str | None
    attempt: int
    deadline_s: float | None


class TakenBack(BaseModel):
    """A deployment that is taken back: before its commit it rolls back, afterwards what runs stays."""

    device: str
    model: str
    is_aborted: bool


class Token(BaseModel):
    """A one-time token for one device; it is shown this once."""

    token: str
    days: float


class Group(BaseModel):
    """A query by name."""

    name: str
    query: str


class CountedGroup(Group):
    """A group and how many devices it means now."""

    devices: int


class Groups(BaseModel):
    """All groups."""

    groups: list[Group]


class Removed(BaseModel):
    """What is no more."""

    name: str
    is_removed: bool


class Artifact(BaseModel):
    """What the signed repository offers, or with `gone_at` offered; `offer` as it was signed."""

    name: str
    model: str
    version: int
    profile: str
    is_canary: bool
    sha256: str
    length: int
    offer: dict[str, Any]
    first_seen_at: float
    gone_at: float | None


class Artifacts(BaseModel):
    """All artifacts, the newest version of each model first."""

    artifacts: list[Artifact]


class Tally(BaseModel):
    """Counts of one artifact over `devices`: `start` and `end` by their clocks, `latency` below each of the edges and above."""

    sha256: str
    version: int | None
    profile: str | None
    devices: int
    start: int
    end: int
    requests: int
    samples: int
    unseen: int
    errors: dict[str, int]
    latency: list[int]
    tensors: list[list[int]]


class Telemetry(BaseModel):
    """What the devices that a query means have counted of a model, an artifact at a time."""

    model: str
    latency_edges_ms: list[float]
    tallies: list[Tally]


class AuditEntry(BaseModel):
    """Who changed what; `before` is the digest of the entry before."""

    place: int
    at: float
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    before: str
    digest: str


class AuditLog(BaseModel):
    """Entries in their order; `next` is the `after` of the next page, or null at the end."""

    entries: list[AuditEntry]
    next: int | None


class AuditVerified(BaseModel):
    """How many entries hold together, the digest of the last of them, and what is wrong with the next if any is."""

    count: int
    head: str
    broken: str | None


class KnownPerson(BaseModel):
    """Who has a token."""

    name: str
    role: str
    made_at: float
    expires_at: float
    revoked_at: float | None


class People(BaseModel):
    """Everybody, in the order of their names."""

    people: list[KnownPerson]


class Secret(BaseModel):
    """A person's token; it is shown this once."""

    name: str
    role: str
    token: str


# Rollouts


class NewStage(_Request):
    """Up to so many of the devices that plan and `query` mean, those of earlier stages included: a share, or a count."""

    share: float = Field(default=1.0, gt=0, le=1)
    count: int | None = Field(default=None, ge=1, le=10**9)
    query: QueryText = ""


class NewRollout(_Request):
    """A plan (docs/fleet/rollouts.md says what each field does)."""

    model: Name
    version: int = Field(ge=1, le=MAX_VERSION)
    query: QueryText = ""
    stages: list[NewStage] = Field(
        default_factory=lambda: [NewStage(share=0.05), NewStage()], min_length=1, max_length=MAX_STAGES
    )
    allowed: float = Field(0.03, gt=0, lt=1)
    unacceptable: float = Field(0.10, gt=0, lt=1)
    alpha: float = Field(0.05, ge=1e-6, le=0.5)
    guards: list[Clean] = Field(default_factory=list, max_length=MAX_GUARDS)
    observe_s: float = Field(3600.0, ge=0, le=MAX_SECONDS)
    silent_s: float = Field(86400.0, ge=0, le=MAX_SECONDS)
    windows: list[Clean] = Field(default_factory=list, max_length=MAX_WINDOWS)
    needs_approval: bool = False
    when_undecided: Literal["pause", "promote"] = "pause"
    rate: int | None = Field(None, ge=1, le=10**6)
    deadline_s: float | None = Field(None, ge=1, le=MAX_SECONDS)
    seed: int = Field(0, ge=0, lt=2**53)

    def plan(self) -> Plan:
        """The plan; raises UsageError or ProtocolError for one that cannot be followed."""
        return Plan(
            model=self.model,
            version=self.version,
            query=self.query,
            stages=tuple(Stage(item.share, item.count, item.query) for item in self.stages),
            allowed=self.allowed,
            unacceptable=self.unacceptable,
            alpha=self.alpha,
            guards=tuple(map(Guard.parse, self.guards)),
            observe_s=self.observe_s,
            silent_s=self.silent_s,
            windows=tuple(map(MaintenanceWindow.parse, self.windows)),
            needs_approval=self.needs_approval,
            when_undecided=self.when_undecided,
            rate=self.rate,
            deadline_s=self.deadline_s,
            seed=self.seed,
        )


class Rollout(BaseModel):
    """A plan that is or was followed; `stage` counts from 0, and is -1 before the first; `why` tells the last change."""

    id: int
    model: str
    version: int
    plan: dict[str, Any]
    state: str
    stage: int
    why: str
    made_at: float
    made_by: str
    changed_at: float
    stage_since: float


class Rollouts(BaseModel):
    """All rollouts, the newest first."""

    rollouts: list[Rollout]


class StageCounts(BaseModel):
    """Devices of a stage by what came of them, those that have not answered yet, and those still to be assigned."""

    assigned: int
    good: int
    bad: int
    silent: int
    pending: int
    to_assign: int


class TestPath(BaseModel):
    """A test: [devices, logarithm of its wealth] along its path, of `devices` in all; `reached`: where it came to `bound`.

    `side` "stop" speaks against the version, "go" for it; `claim` is what reaching the bound refutes.
    """

    name: str
    side: Literal["stop", "go"]
    claim: str
    bound: float
    devices: int
    evidence: float
    reached: int | None
    path: list[tuple[int, float]]


class Evidence(BaseModel):
    """What speaks for the version and against it in the stage by now, and the devices of the stages so far."""

    stage: int
    counts: list[StageCounts]
    tests: list[TestPath]
    fewest_to_promote: int


class LeftOut(BaseModel):
    """Devices that a plan means and that cannot take part: how many, and why, of the first 100 by name."""

    count: int
    why: dict[str, str]


class RolloutNow(Rollout):
    """A rollout with its evidence, and what can be done with it."""

    can: list[Verb]
    evidence: Evidence
    left_out: LeftOut


class Preview(BaseModel):
    """What a plan would do now: devices that each stage reaches in all, who is left out, what to think of first."""

    sizes: list[int]
    left_out: LeftOut
    remarks: list[str]
