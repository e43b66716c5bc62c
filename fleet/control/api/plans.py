"""What the people's API takes and answers of rollouts (docs/fleet/rollouts.md says what each field does)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ...protocol.offer import MAX_VERSION
from ...rollout.guard import Guard
from ...rollout.maintenance import MaintenanceWindow
from ...rollout.plan import MAX_GUARDS, MAX_SECONDS, MAX_STAGES, MAX_WINDOWS, Plan, Stage
from .models import Clean, Name, QueryText, Request, Verb


class NewStage(Request):
    """Up to so many of the devices that plan and `query` mean, those of earlier stages included: a share, or a count."""

    share: float = Field(default=1.0, gt=0, le=1)
    count: int | None = Field(default=None, ge=1, le=10**9)
    query: QueryText = ""


class NewRollout(Request):
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
