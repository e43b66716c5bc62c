"""What a device tells of one model: its update's state in Mender's names, the end in Greengrass' words, what runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

State = Literal[
    "Idle",
    "Download",
    "ArtifactInstall",
    "ArtifactReboot",
    "ArtifactVerifyReboot",
    "ArtifactCommit",
    "ArtifactCommit_Leave",
    "ArtifactRollback",
    "ArtifactRollbackReboot",
    "ArtifactVerifyRollbackReboot",
    "ArtifactFailure",
    "Cleanup",
]
Result = Literal[
    "SUCCESSFUL",
    "FAILED_NO_STATE_CHANGE",
    "FAILED_ROLLBACK_NOT_REQUESTED",
    "FAILED_ROLLBACK_COMPLETE",
    "FAILED_UNABLE_TO_ROLLBACK",
    "REJECTED",
]
STATES: tuple[State, ...] = get_args(State)
RESULTS: tuple[Result, ...] = get_args(Result)


@dataclass(frozen=True)
class Report:
    """A state of one model on one device.

    `boot` names the start of the agent, `sequence` counts its reports from 1; `running` is the SHA-256 of the artifact that
    answers requests now, `target` of the one that an update is about; `at` is the device's clock, which may be wrong.
    """

    device: str
    boot: str
    sequence: int
    model: str
    running: str | None
    target: str | None
    state: State
    result: Result | None
    why: str
    at: float


@dataclass(frozen=True)
class Answer:
    """What the server says to a report: whether it takes the deployment back."""

    is_aborted: bool = False
