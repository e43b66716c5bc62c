"""The journal of one model: all that its updates must remember, one durable record per transition.

Two files of a fixed size take turns, `journal.0` and `journal.1`: a record overwrites the older one in place and is synced
once. A digest tells a torn or rotten record, and then the other file has the one before. As neither file ever grows, a disk
that is full does not stop an update from ending.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from ...core.artifact_json import Fields
from ...core.canonical import digest, dumps
from ...core.errors import ArtifactError, StoreError
from ..disk import Disk
from ..protocol.report import RESULTS, STATES, Result, State
from . import slots
from .machine import Progress
from .slots import SLOTS, Slot

RECORD_BYTES = 16 << 10
MAX_FAILURES = 8
MAX_WHY = 160  # characters
_VERSION = 1
_DIGEST = 64  # hexadecimal characters before the record


@dataclass(frozen=True)
class SlotRecord:
    """What a slot holds: SHA-256 and target name of the artifact, its version, and whether it was committed once."""

    sha256: str
    name: str
    version: int
    is_good: bool = False


@dataclass(frozen=True)
class Target:
    """What an update is about: an artifact, the assignment's attempt, the seconds it may take, the p99 promised."""

    sha256: str
    name: str
    version: int
    attempt: int = 0
    deadline_s: float | None = None
    promised_p99_ms: float | None = None


@dataclass(frozen=True)
class Update:
    """An update into `slot`, chosen after the download; `previous` ran before; `spent_s` up to the last record."""

    target: Target
    slot: Slot | None
    previous: Slot | None
    progress: Progress
    spent_s: float = 0.0


@dataclass(frozen=True)
class Failure:
    """An artifact that failed `times` under an attempt; it is not tried again where that is final."""

    sha256: str
    attempt: int
    times: int
    is_final: bool
    why: str


@dataclass(frozen=True)
class Untold:
    """The end of an update that nobody could be told yet."""

    sha256: str
    state: State
    result: Result
    why: str


@dataclass(frozen=True)
class Record:
    """All that is remembered of a model."""

    sequence: int = 0
    slots: Mapping[Slot, SlotRecord] = field(default_factory=dict)
    update: Update | None = None
    failures: tuple[Failure, ...] = ()
    untold: Untold | None = None

    def failure(self, sha256: str) -> Failure | None:
        """How an artifact failed before, if it did."""
        return next((item for item in self.failures if item.sha256 == sha256), None)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {"journal_version": _VERSION, **asdict(self)}


class Journal:
    """The record of a model on a disk; `record` is what the disk has."""

    def __init__(self, disk: Disk, model: str) -> None:
        """Open, or begin where nothing readable is there; what was read is made durable first."""
        slots.make(disk, model)
        self._disk = disk
        self._paths = [f"{slots.model_folder(model)}/journal.{turn}" for turn in (0, 1)]
        found = [self._read(path) for path in self._paths]
        self.was_damaged = any(record is None for record in found)
        for path in self._paths:
            size = disk.size(path) or 0
            if size > RECORD_BYTES:
                disk.truncate(path, RECORD_BYTES)
            elif size < RECORD_BYTES:
                disk.write_range(path, size, bytes(RECORD_BYTES - size))
            disk.sync(path)
        disk.sync(slots.model_folder(model))
        self.record = max((record for record in found if record is not None), key=lambda one: one.sequence, default=Record())

    def write(self, record: Record) -> None:
        """Make a record the one that is remembered, durably; raises StoreError when the disk refuses, or it is too long."""
        numbered = replace(record, sequence=self.record.sequence + 1, failures=record.failures[-MAX_FAILURES:])
        text = dumps(_shortened(numbered.to_json()))
        data = digest(text).encode() + text
        if len(data) > RECORD_BYTES:
            raise StoreError(f"a record of {len(data)} bytes does not fit {self._paths[0]}; assign the model by shorter names.")
        path = self._paths[numbered.sequence % 2]
        self._disk.write_range(path, 0, data.ljust(RECORD_BYTES, b"\0"))
        self._disk.sync(path)
        self.record = numbered

    def _read(self, path: str) -> Record | None:
        """The record of a file; an empty one where the file was never written, None where it is damaged."""
        data = self._disk.read(path).rstrip(b"\0") if self._disk.size(path) is not None else b""
        if not data:
            return Record()
        seal, text = data[:_DIGEST], data[_DIGEST:]
        if digest(text).encode() != seal:
            return None
        try:
            return _record(Fields(json.loads(text), "the journal"))
        except (ArtifactError, ValueError, RecursionError):
            return None


def _shortened(value: Any) -> Any:
    """The same with every `why` cut, so that each record fits its file."""
    if isinstance(value, Mapping):
        return {key: item[:MAX_WHY] if key == "why" else _shortened(item) for key, item in value.items()}
    return [_shortened(item) for item in value] if isinstance(value, (list, tuple)) else value


def _record(read: Fields) -> Record:
    if read.count("journal_version") != _VERSION:
        raise ArtifactError("the journal is of another version.")
    held = read.object("slots")
    return Record(
        read.count("sequence"),
        {slot: _slot(held.object(slot)) for slot in SLOTS if slot in read.mapping("slots")},
        None if read.is_null("update") else _update(read.object("update")),
        tuple(_failure(Fields(item, "the journal, failures")) for item in read.items("failures")),
        None if read.is_null("untold") else _untold(read.object("untold")),
    )


def _slot(read: Fields) -> SlotRecord:
    return SlotRecord(read.sha256("sha256"), read.text("name"), read.count("version"), read.flag("is_good"))


def _update(read: Fields) -> Update:
    target, progress = read.object("target"), read.object("progress")
    return Update(
        Target(
            target.sha256("sha256"),
            target.text("name"),
            target.count("version"),
            target.count("attempt"),
            target.optional_number("deadline_s"),
            target.optional_number("promised_p99_ms"),
        ),
        cast("Slot | None", read.optional_choice("slot", SLOTS)),
        cast("Slot | None", read.optional_choice("previous", SLOTS)),
        Progress(
            cast(State, progress.choice("state", STATES)),
            progress.count("transitions"),
            cast("Result | None", progress.optional_choice("result", RESULTS)),
            progress.text("why"),
            progress.flag("is_lasting"),
        ),
        read.number("spent_s"),
    )


def _failure(read: Fields) -> Failure:
    return Failure(read.sha256("sha256"), read.count("attempt"), read.count("times"), read.flag("is_final"), read.text("why"))


def _untold(read: Fields) -> Untold:
    return Untold(
        read.sha256("sha256"),
        cast(State, read.choice("state", STATES)),
        cast(Result, read.choice("result", RESULTS)),
        read.text("why"),
    )
