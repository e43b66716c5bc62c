"""Windows that wait for the server, on the disk: each once, in order, within bounds, merged and never dropped.

A model's windows of one stream have rising sequence numbers. A stream is begun at a start of the agent that finds nothing
waiting, and named by that start; else the old one goes on, so that a long time offline is one stream over many starts. That
nothing waits is durable by then, so that no window of the old stream comes back in the new one. Rules:

1. A window is durable before the file that it was counted in goes; its record names that file, so it is never added twice.
2. Before windows are sent, the highest of them is recorded as tried. A window that was tried is never changed any more: the
   server may have it.
3. A window goes when the server says that it has it.
4. When there are too many bytes, two neighbours of one artifact that were not tried become one window, which has the later's
   number and says from which number on it covers; of a merge that was cut short the covered ones are removed.
5. When nothing can be merged, `add` refuses, and the counts stay where they were counted.
6. A disk that is full must not keep windows from being sent: a reserve is given up for the record of rule 2.
7. A window that cannot be read is passed over, and its number is not used again.

    telemetry/spool/stream.json; telemetry/spool/models/<model>/<sequence, 12 digits>: canonical JSON (from, source) | newline
    | window
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ...core.artifact_json import Fields
from ...core.canonical import dumps
from ...core.errors import ArtifactError, ProtocolError, StoreError
from ..disk import Disk, ensure_folder, write_durable
from ..protocol.window import MAX_BATCH_BYTES, MAX_WINDOWS, Batch, Window

log = logging.getLogger("edgewright.telemetry")

FOLDER = "telemetry/spool"
MAX_BYTES = 1 << 20
_MODELS = f"{FOLDER}/models"
_STATE = f"{FOLDER}/stream.json"
_RESERVE, _RESERVE_BYTES = f"{FOLDER}/reserve", 4096
_NAME = re.compile(r"\d{12}")
_BATCH_BYTES = MAX_BATCH_BYTES // 2  # of windows before compression, which may also grow them


@dataclass(frozen=True)
class _Record:
    """A window with its place: it stands for the numbers from `first` to `sequence`, and was counted in `source`."""

    model: str
    first: int
    sequence: int
    source: str
    data: bytes

    @property
    def path(self) -> str:
        return f"{_MODELS}/{self.model}/{self.sequence:012d}"

    def encode(self) -> bytes:
        return dumps({"from": self.first, "source": self.source}) + b"\n" + self.data


class Spool:
    """All windows of a device that wait. One process at a time; methods raise StoreError when the disk refuses."""

    def __init__(self, disk: Disk, boot: str, max_bytes: int = MAX_BYTES) -> None:
        """Open the spool at the start `boot` of the agent, and settle what was cut short."""
        self._disk, self._max_bytes = disk, max_bytes
        ensure_folder(disk, _MODELS)
        self._unread: dict[str, int] = {}  # by model the highest number that cannot be read
        self._records = {model: self._settled(list(self._found(model))) for model in disk.names(_MODELS)}
        self._stream, self._tried = self._state()
        if not self._stream or not (self._unread or any(self._records.values())):
            for model in self._records:
                disk.sync(f"{_MODELS}/{model}")
            self._stream, self._tried = boot, {}
            self._write_state()
        self._keep_reserve()

    @property
    def size_bytes(self) -> int:
        """Bytes of all windows."""
        return sum(len(record.data) for records in self._records.values() for record in records)

    @property
    def windows(self) -> int:
        """Number of windows that wait."""
        return sum(map(len, self._records.values()))

    def add(self, window: Window, source: str) -> bool:
        """Keep a window that was counted in the file `source`, once; False when there is no room that merging could make."""
        records = self._records.setdefault(window.model, [])
        if any(record.source == source for record in records):
            return True
        data = window.encode()
        while self.size_bytes + len(data) > self._max_bytes:
            if not self._merge_one():
                return False
        if not records:
            ensure_folder(self._disk, f"{_MODELS}/{window.model}")
        used = self._tried.get(window.model, 0), self._unread.get(window.model, 0), records[-1].sequence if records else 0
        sequence = max(used) + 1
        record = _Record(window.model, sequence, sequence, source, data)
        write_durable(self._disk, record.path, record.encode())
        records.append(record)
        return True

    def batch(self, without: Collection[str] = ()) -> tuple[str, bytes] | None:
        """The oldest windows of a model that has some and is not among `without`, as they are sent, and recorded as tried.

        None when none waits.
        """
        for model, records in self._records.items():
            if model in without:
                continue
            chosen: list[_Record] = []
            size = 0
            for record in records[:MAX_WINDOWS]:
                size += len(record.data) + 16
                if chosen and size > _BATCH_BYTES:
                    break
                chosen.append(record)
            if chosen:
                if self._tried.get(model, 0) < chosen[-1].sequence:
                    self._record_tried(model, chosen[-1].sequence)
                return model, Batch(self._stream, tuple((item.sequence, item.data) for item in chosen)).encode()
        return None

    def acknowledge(self, model: str, sequence: int) -> int:
        """The server has a model's windows up to `sequence` of this stream; how many went.

        Raises ProtocolError when it was sent no such.
        """
        if sequence > self._tried.get(model, 0):
            raise ProtocolError(f"the server claims to have telemetry of {model!r} that was never sent; ask who runs it.")
        records = self._records.get(model, [])
        known = [item for item in records if item.sequence <= sequence]
        for record in known:
            self._disk.remove(record.path)
            records.remove(record)
        self._keep_reserve()
        return len(known)

    def _record_tried(self, model: str, sequence: int) -> None:
        before = dict(self._tried)
        self._tried[model] = sequence
        try:
            self._write_state()
        except StoreError:
            self._tried = before
            raise

    def _keep_reserve(self) -> None:
        """Have the reserve where the disk has room for it."""
        if self._disk.size(_RESERVE) != _RESERVE_BYTES:
            with contextlib.suppress(StoreError):
                write_durable(self._disk, _RESERVE, bytes(_RESERVE_BYTES))

    def _merge_one(self) -> bool:
        """Make two neighbours one: those that cover the fewest windows together, of these the oldest. False when none may."""
        best: tuple[int, int, str, int] | None = None
        for model, records in self._records.items():
            for place, (one, two) in enumerate(itertools.pairwise(records)):
                if one.sequence <= self._tried.get(model, 0) or two.first != one.sequence + 1:
                    continue  # the server may have it, or what lies between cannot be read now
                left, right = Window.decode(one.data), Window.decode(two.data)
                rank = (left.merged + right.merged, left.start, model, place)
                if left.sha256 == right.sha256 and (best is None or rank < best):
                    best = rank
        if best is None:
            return False
        records, place = self._records[best[2]], best[3]
        one, two = records[place], records[place + 1]
        window = Window.decode(one.data).merge(Window.decode(two.data))
        merged = _Record(two.model, one.first, two.sequence, two.source, window.encode())
        write_durable(self._disk, merged.path, merged.encode())
        self._disk.remove(one.path)
        records[place : place + 2] = [merged]
        return True

    def _found(self, model: str) -> Iterator[_Record]:
        """The records on the disk; what is damaged is removed, since only a disk that fails makes it so."""
        for name in self._disk.names(f"{_MODELS}/{model}"):
            path = f"{_MODELS}/{model}/{name}"
            if not _NAME.fullmatch(name):
                self._disk.remove(path)  # a file that was being written
                continue
            try:
                head, _, data = self._disk.read(path).partition(b"\n")
            except StoreError as error:
                log.error("a window is passed over: %s", error)
                self._unread[model] = int(name)
                continue
            try:
                fields = Fields(json.loads(head), "the head of a window")
                record = _Record(model, fields.count("from"), int(name), fields.text("source"), data)
                Window.decode(data)
            except (ArtifactError, ProtocolError, ValueError, RecursionError):
                self._disk.remove(path)
                continue
            yield record

    def _settled(self, records: list[_Record]) -> list[_Record]:
        """Without the records that a later one covers."""
        kept: list[_Record] = []
        for record in records:
            for covered in [item for item in kept if item.sequence >= record.first]:
                self._disk.remove(covered.path)
                kept.remove(covered)
            kept.append(record)
        return kept

    def _state(self) -> tuple[str, dict[str, int]]:
        """Name of the stream, and by model the last number that was tried; later windows get higher ones."""
        if self._disk.size(_STATE) is None:
            return "", {}
        try:
            read = Fields(json.loads(self._disk.read(_STATE)), "the state of telemetry")
            tried = read.object("tried")
            return read.text("stream"), {name: tried.count(name) for name in read.mapping("tried")}
        except (ArtifactError, ValueError, RecursionError):
            log.error("%s was damaged: what waits is sent in a new stream, and may be counted twice.", _STATE)
            return "", {}

    def _write_state(self) -> None:
        """Durably; where the disk is full, in the place of the reserve."""
        state = dumps({"stream": self._stream, "tried": self._tried})
        try:
            write_durable(self._disk, _STATE, state)
        except StoreError:
            self._disk.remove(_RESERVE)
            write_durable(self._disk, _STATE, state)
