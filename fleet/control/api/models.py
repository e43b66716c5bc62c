"""What the people's API takes and answers. Times are seconds since 1970 by the server's clock; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_CLEAN = r"^[^\x00-\x1f\x7f]*$"  # no control characters

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
PersonName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,99}$")]
DeviceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Clean = Annotated[str, StringConstraints(max_length=200, pattern=_CLEAN)]
QueryText = Annotated[str, StringConstraints(max_length=2000, pattern=_CLEAN)]
Place = Annotated[int, Field(ge=0, le=2**53)]
RolloutId = Annotated[int, Field(ge=1, le=2**53)]
AlertId = Annotated[int, Field(ge=1, le=2**53)]
Role = Literal["viewer", "operator", "admin"]
Verb = Literal["approve", "pause", "resume", "abort", "promote"]


class Request(BaseModel):
    """A body that is read strictly: no unknown fields, no text in place of a number, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Error(BaseModel):
    """A refusal: `code` for programs, one sentence for people."""

    code: str
    error: str


# Requests


class NewAttributes(Request):
    """All attributes that operators set of the device; those that are not named are forgotten."""

    attributes: dict[str, Clean] = Field(max_length=64)


class NewAssignment(Request):
    """An artifact by SHA-256, or without it the newest signed version that fits, now and later."""

    sha256: Sha256 | None = None
    deadline_s: float | None = Field(None, ge=1, le=366 * 86400, description="Seconds that an update may take.")


class NewToken(Request):
    """For how long a device may enrol with the token."""

    days: float = Field(7.0, ge=0.001, le=365)


class NewGroup(Request):
    """Which devices the group means."""

    query: QueryText


class NewPerson(Request):
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
