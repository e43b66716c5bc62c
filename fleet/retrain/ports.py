"""What a worker needs from outside, as protocols: the server that leases, the compiler that trains, who keeps track of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .job import WorkerStep


@dataclass(frozen=True)
class Deployed:
    """What most devices of a profile run: digest, name in the repository, version."""

    profile: str
    sha256: str
    name: str
    version: int


@dataclass(frozen=True)
class Lease:
    """A retraining to work on: `step` is due, samples labelled until `until` belong to it, `done` are details by step."""

    number: int
    model: str
    why: str
    step: WorkerStep
    deployed: tuple[Deployed, ...]
    until: float
    done: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Labelled:
    """A sample that somebody labelled: its file (fleet.telemetry.sample_file), the artifact that answered, why it was kept."""

    id: str
    sha256: str
    label: str
    is_random: bool
    data: bytes


class Server(Protocol):
    """The control plane. Raises NetworkError where it cannot be asked, UsageError where it refuses."""

    def lease(self, worker: str, models: tuple[str, ...], lease_s: float) -> Lease | None:
        """A retraining to work on, or None."""

    def beat(self, number: int, worker: str, lease_s: float) -> None:
        """Hold the lease for longer; a UsageError says that it was lost."""

    def note(self, number: int, worker: str, step: WorkerStep, details: Mapping[str, Any]) -> None:
        """Tell that a step was done."""

    def end(self, number: int, worker: str, state: str, why: str, details: Mapping[str, Any]) -> None:
        """Tell that a retraining was refused by a gate, or failed."""

    def state(self, number: int) -> str:
        """Where a retraining stands."""

    def samples(self, model: str, until: float) -> Iterator[Labelled]:
        """Samples that were labelled until then, in the order of their ids."""


class Made(Protocol):
    """What a step made: `details` for the record, `files` by name, and where a gate refused, its reason."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Digests and figures."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Files in the job's folder."""

    @property
    def refusal(self) -> str | None:
        """The reason of the gate that refused, or None."""


class Maker(Protocol):
    """The compiler's side (optimizer.retrain). Each step may be killed, and done again with the same result."""

    def collect(self, folder: Path, new: Path, earlier: Path, deployed: Mapping[str, Path]) -> Made:
        """Divide old data and labelled samples; `deployed` are artifacts by profile."""

    def train(self, folder: Path, source: Path) -> Made:
        """Train the source again; the file `source` is what came of it."""

    def compile(self, folder: Path, source: Path, name: str, profiles: tuple[str, ...]) -> Made:
        """Compile for the profiles; files are artifacts by profile."""

    def judge(self, folder: Path, artifacts: Mapping[str, Path], deployed: Mapping[str, Path]) -> Made:
        """Hold new artifacts beside the deployed ones, on old data and on new."""


class Tracker(Protocol):
    """Who is told what was done, beside the server's audit log."""

    def step(self, folder: Path, lease: Lease, step: str, details: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """A step was done; `folder` is the job's."""

    def end(self, folder: Path, lease: Lease, state: str, why: str) -> None:
        """A retraining ended."""


class NoTracker:
    """Nobody."""

    def step(self, folder: Path, lease: Lease, step: str, details: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Do nothing."""

    def end(self, folder: Path, lease: Lease, state: str, why: str) -> None:
        """Do nothing."""
