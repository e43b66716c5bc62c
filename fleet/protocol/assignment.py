"""What a device shall run, a model at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True)
class Assignment:
    """All models of a device, by name."""

    models: Mapping[str, Wanted] = field(default_factory=dict)
