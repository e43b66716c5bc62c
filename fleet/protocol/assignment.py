"""What a device shall run, a model at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError
from .message import decode, encode
from .offer import MAX_TEXT, check_model

MAX_MODELS = 64  # of one device
MAX_ATTEMPT = 10**9


@dataclass(frozen=True)
class Wanted:
    """One model: the artifact by SHA-256 and target name, or without them the newest that fits.

    `attempt` rises when a version that failed shall be tried again; `deadline_s` bounds the seconds that an update may take.
    """

    model: str
    sha256: str | None = None
    name: str | None = None
    attempt: int = 0
    deadline_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "attempt": self.attempt,
            "deadline_s": self.deadline_s,
            "model": self.model,
            "name": self.name,
            "sha256": self.sha256,
        }

    @staticmethod
    def from_json(value: Any) -> Wanted:
        """Inverse of `to_json`; raises ArtifactError or ProtocolError."""
        read = Fields(value, "the assignment of a model")
        if len(value) != 5:
            raise ArtifactError("the assignment of a model has fields that this version does not know.")
        model = read.text("model")
        check_model(model)
        deadline_s = read.optional_number("deadline_s")
        if deadline_s is not None and not 0 < deadline_s < float("inf"):
            raise ArtifactError(f"the assignment of {model!r} has a deadline of {deadline_s} s, which is no time.")
        name, attempt = None if read.is_null("name") else read.text("name"), read.count("attempt")
        if len(name or "") > MAX_TEXT or attempt > MAX_ATTEMPT:
            raise ArtifactError(f"the assignment of {model!r} has a longer name or more attempts than there can be.")
        return Wanted(
            model=model,
            sha256=None if read.is_null("sha256") else read.sha256("sha256"),
            name=name,
            attempt=attempt,
            deadline_s=deadline_s,
        )


@dataclass(frozen=True)
class Assignment:
    """All models of a device, by name."""

    models: Mapping[str, Wanted] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message; equal assignments give equal bytes."""
        return encode({"models": [self.models[name].to_json() for name in sorted(self.models)]}, "the assignment")

    @staticmethod
    def decode(data: bytes) -> Assignment:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the assignment", _assignment)


def _assignment(read: Fields) -> Assignment:
    items = read.items("models")
    if len(items) > MAX_MODELS:
        raise ArtifactError(f"the assignment has {len(items)} models, and a device runs at most {MAX_MODELS}.")
    found = [Wanted.from_json(item) for item in items]
    if len({wanted.model for wanted in found}) != len(found):
        raise ArtifactError("the assignment names a model twice.")
    return Assignment({wanted.model: wanted for wanted in found})
