"""What the people's API takes and answers of policies and retrainings (docs/fleet/retrain.md says what each field does)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from ...retrain.policy import MAX_CHARACTERS
from ..retrain.store import LONGEST_LEASE_S, MAX_WHY
from .models import Clean, Name, Request, Sha256

RetrainingId = Annotated[int, Field(ge=1, le=2**53)]
WorkerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
LeaseS = Annotated[float, Field(ge=1, le=LONGEST_LEASE_S, description="Seconds that the lease holds.")]
Why = Annotated[str, StringConstraints(min_length=1, max_length=MAX_WHY)]


class NewPolicy(Request):
    """When the model is trained again, as text."""

    policy: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]


class NewRetraining(Request):
    """Which model a person wants to be trained again, and why."""

    model: Name
    why: Clean = ""


class NewLease(Request):
    """Who would work, on which models."""

    worker: WorkerName
    models: list[Name] = Field(min_length=1, max_length=64)
    lease_s: LeaseS = 60.0


class Beat(Request):
    """That a worker is alive."""

    worker: WorkerName
    lease_s: LeaseS = 60.0


class NewStep(Request):
    """A step that was done. `details` of `publish`: `artifacts` (SHA-256 by profile), the plans `canary` and `fleet`."""

    worker: WorkerName
    step: Literal["collect", "train", "compile", "gate", "publish", "sign"]
    details: dict[str, Any]


class End(Request):
    """That a gate refused what was trained, or that it could not be done; `why` is the reason in a sentence."""

    worker: WorkerName
    state: Literal["refused", "failed"]
    why: Why
    details: dict[str, Any] = Field(default_factory=dict)


class Policy(BaseModel):
    """A model's policy."""

    model: str
    policy: str
    at: float
    by: str


class Policies(BaseModel):
    """All policies, by model."""

    policies: list[Policy]


class DoneStep(BaseModel):
    """A step that was done, and what came of it."""

    step: str
    at: float
    by: str
    details: dict[str, Any]


class Retraining(BaseModel):
    """A retraining: `why` tells the last change, `cause` why it was opened, `next` what a worker has to do."""

    id: int
    model: str
    state: str
    why: str
    cause: str
    alert: int | None
    made_at: float
    made_by: str
    changed_at: float
    worker: str | None
    lease_until: float | None
    rollout: int | None
    steps: list[DoneStep]
    next: str | None


class Retrainings(BaseModel):
    """Retrainings, the newest first."""

    retrainings: list[Retraining]


class Deployed(BaseModel):
    """What most devices of a profile run."""

    profile: str
    sha256: Sha256
    name: str
    version: int
    devices: int


class Lease(BaseModel):
    """A retraining to work on, or null. Samples labelled until `until` belong to it."""

    retraining: Retraining | None
    deployed: list[Deployed]
    until: float | None
    policy: str | None
