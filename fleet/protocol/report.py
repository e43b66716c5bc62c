"""What a device tells of one model: its update's state in Mender's names, the end in Greengrass' words, what runs."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal, cast, get_args

from ...core.artifact_json import Fields
from ...core.errors import ProtocolError
from .message import decode, encode
from .offer import check_model

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
MAX_WHY = 1000  # characters
MAX_SEQUENCE = 10**12  # of the reports of one start of the agent
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


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

    def encode(self) -> bytes:
        """The message; a long reason is cut."""
        return encode({**asdict(self), "at": float(self.at), "why": self.why[:MAX_WHY]}, "the report")

    @staticmethod
    def decode(data: bytes) -> Report:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the report", _report)


@dataclass(frozen=True)
class Answer:
    """What the server says to a report: whether it takes the deployment back."""

    is_aborted: bool = False

    def encode(self) -> bytes:
        """The message."""
        return encode({"is_aborted": self.is_aborted}, "the answer to a report")

    @staticmethod
    def decode(data: bytes) -> Answer:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the answer to a report", lambda read: Answer(read.flag("is_aborted")))


def _report(read: Fields) -> Report:
    model, why = read.text("model"), read.text("why")
    check_model(model)
    for name in ("device", "boot"):
        if not _NAME.fullmatch(read.text(name)):
            raise ProtocolError(f"the report's {name} is {read.text(name)[:100]!r}, which is no name.")
    if len(why) > MAX_WHY:
        raise ProtocolError(f"the report gives a reason of {len(why)} characters; it may have {MAX_WHY}.")
    sequence = read.count("sequence")
    if sequence > MAX_SEQUENCE:
        raise ProtocolError("the report has a higher number than an agent comes to; send the agent's own count.")
    return Report(
        device=read.text("device"),
        boot=read.text("boot"),
        sequence=sequence,
        model=model,
        running=None if read.is_null("running") else read.sha256("running"),
        target=None if read.is_null("target") else read.sha256("target"),
        state=cast(State, read.choice("state", STATES)),
        result=cast("Result | None", read.optional_choice("result", RESULTS)),
        why=why,
        at=read.number("at"),
    )
