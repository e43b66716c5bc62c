"""A measuring that a server asks a device for, and what came of it.

    POST /v1/bench      {"outcome": null or an outcome} -> {"job": null or the next job of the device}

A job names a signed artifact by its digest and says how it is timed; it holds nothing that could be run. That one waits is
told with the answer to every poll, in a header field, so that a device without jobs asks for none:

    Edgewright-Bench: RUN       number of the oldest run that waits for this device
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, cast, get_args

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError, DataError, ProtocolError
from ...device_profiles.detect import Cpu
from ...runtimes.bench.measurement import Measurement
from .health import Watched, watched
from .message import decode, encode
from .offer import MAX_TEXT

WAITING = "edgewright-bench"
End = Literal["measured", "refused", "failed"]
ENDS: tuple[End, ...] = get_args(End)
MAX_RUN = 2**53
MAX_THREADS, MAX_BATCH = 1024, 4096
MIN_WINDOWS, MAX_WINDOWS = 1, 100
MAX_DEADLINE_S = 7 * 86400.0
MAX_WHY = 1000  # characters
_MAX_FLAGS, _MAX_FLAG = 1000, 40  # of a CPU, and characters of one
_MAX_MEASUREMENT = 1e15  # of any number in a measurement
_RUN = re.compile(r"[1-9][0-9]{0,15}")

T = TypeVar("T")


@dataclass(frozen=True)
class BenchJob:
    """One measuring on one device.

    `run` is its number on the server. The artifact is the signed target `name` of digest `sha256`; it is timed with `threads`
    threads on a batch of `batch`, in `windows` windows, all within `deadline_s` seconds from when the device hears of it.
    """

    run: int
    sha256: str
    name: str
    threads: int
    batch: int
    windows: int
    deadline_s: float

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> BenchJob:
        """Inverse of `to_json`; raises ArtifactError."""
        read = Fields(value, "the job")
        job = BenchJob(
            run=_within(read, "run", 1, MAX_RUN),
            sha256=read.sha256("sha256"),
            name=_text(read, "name", MAX_TEXT),
            threads=_within(read, "threads", 1, MAX_THREADS),
            batch=_within(read, "batch", 1, MAX_BATCH),
            windows=_within(read, "windows", MIN_WINDOWS, MAX_WINDOWS),
            deadline_s=read.number("deadline_s"),
        )
        if not 0 < job.deadline_s <= MAX_DEADLINE_S:
            raise ArtifactError(f"the job has a deadline of {job.deadline_s} s, which is no time.")
        return job


@dataclass(frozen=True)
class Outcome:
    """What came of a run: measured, refused by the device before it began, or failed; `why` in one sentence where it is not.

    `cpu` is what the device runs on, `is_emulated` that it is a program on another machine's CPU. `serving` counts the models
    that answered requests meanwhile. `measurement` is there where it was measured, and only then.
    """

    run: int
    end: End
    why: str
    cpu: Cpu
    is_emulated: bool
    serving: int
    health: Watched
    measurement: Measurement | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object; a long reason is cut."""
        return {
            "run": self.run,
            "end": self.end,
            "why": self.why[:MAX_WHY],
            "cpu": {"arch": self.cpu.arch, "model": self.cpu.model, "flags": sorted(self.cpu.flags)},
            "is_emulated": self.is_emulated,
            "serving": self.serving,
            "health": self.health.to_json(),
            "measurement": None if self.measurement is None else self.measurement.to_json(),
        }

    @staticmethod
    def from_json(value: Any) -> Outcome:
        """Inverse of `to_json`; raises ArtifactError, or ProtocolError for figures that no measuring gives."""
        read = Fields(value, "the outcome")
        end = cast(End, read.choice("end", ENDS))
        measurement = None if read.is_null("measurement") else _measurement(read.mapping("measurement"))
        if (end == "measured") != (measurement is not None):
            raise ArtifactError(f"the outcome is {end!r} and has {'a' if measurement else 'no'} measurement.")
        return Outcome(
            run=_within(read, "run", 1, MAX_RUN),
            end=end,
            why=_text(read, "why", MAX_WHY),
            cpu=_cpu(read.object("cpu")),
            is_emulated=read.flag("is_emulated"),
            serving=_within(read, "serving", 0, 1000),
            health=watched(read.object("health")),
            measurement=measurement,
        )


@dataclass(frozen=True)
class Told:
    """What a device sends: the outcome of the job that it had, if it had one; it asks for the next."""

    outcome: Outcome | None = None

    def encode(self) -> bytes:
        """The message; raises ProtocolError where it is too large."""
        return encode({"outcome": None if self.outcome is None else self.outcome.to_json()}, "the outcome of a measuring")

    @staticmethod
    def decode(data: bytes) -> Told:
        """Inverse of `encode`; raises ProtocolError."""
        told = decode(data, "the outcome of a measuring", lambda read: Told(_optional(read, "outcome", Outcome.from_json)))
        _check_same(told.encode(), data, "the outcome of a measuring")
        return told


@dataclass(frozen=True)
class Next:
    """What the server answers: the next job, or none."""

    job: BenchJob | None = None

    def encode(self) -> bytes:
        """The message."""
        return encode({"job": None if self.job is None else self.job.to_json()}, "the job")

    @staticmethod
    def decode(data: bytes) -> Next:
        """Inverse of `encode`; raises ProtocolError."""
        told = decode(data, "the job", lambda read: Next(_optional(read, "job", BenchJob.from_json)))
        _check_same(told.encode(), data, "the job")
        return told


def waiting(headers: Mapping[str, str]) -> int | None:
    """Number of the run that waits, by the fields of a poll's answer (names in lower case); None where none does."""
    told = headers.get(WAITING, "")
    return int(told) if _RUN.fullmatch(told) else None


def _optional(read: Fields, key: str, of: Callable[[Any], T]) -> T | None:
    return None if read.is_null(key) else of(read.any(key))


def _check_same(again: bytes, data: bytes, what: str) -> None:
    if again != data:
        raise ProtocolError(f"{what} has fields that this version does not know.")


def _within(read: Fields, key: str, low: int, high: int) -> int:
    value = read.count(key)
    if not low <= value <= high:
        raise ArtifactError(f"{key!r} is {value}; it goes from {low} to {high}.")
    return value


def _text(read: Fields, key: str, most: int) -> str:
    value = read.text(key)
    if len(value) > most:
        raise ArtifactError(f"{key!r} has {len(value)} characters, more than the {most} that it may have.")
    return value


def _cpu(read: Fields) -> Cpu:
    flags = read.texts("flags")
    if len(flags) > _MAX_FLAGS or any(len(flag) > _MAX_FLAG for flag in flags):
        raise ArtifactError("the outcome names more flags of a CPU than there are.")
    return Cpu(_text(read, "arch", _MAX_FLAG), _text(read, "model", MAX_TEXT), frozenset(flags))


def _measurement(value: Mapping[str, Any]) -> Measurement:
    try:
        found = Measurement.from_json(value)
    except DataError as error:
        raise ProtocolError(str(error)) from error
    for name, item in found.to_json().items():
        parts = item if isinstance(item, list) else [item]
        if any(isinstance(part, (int, float)) and not abs(part) < _MAX_MEASUREMENT for part in parts):
            raise ProtocolError(f"the measurement's {name} is a number that no measuring gives.")
        if any(isinstance(part, str) and len(part) > MAX_TEXT for part in parts):
            raise ProtocolError(f"the measurement's {name} is longer than any.")
    if found.median_ms <= 0 or found.runs < 1 or not found.window_ms:
        raise ProtocolError("the measurement has no runs, or times that are none.")
    return found
