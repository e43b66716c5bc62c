"""The ledger: every look at the judging data, written down before it happens, so that trying again costs what it should.

A look is one candidate, judged by these gates with this seed on these samples for one kind of device; the same again is no new
one. Looks are counted over data that have half of their samples in common, so that a sample more or less is no fresh data.

One JSON line a look. Each line carries a digest over itself and the line before it, so content that was changed or lost in the
middle is refused. A last line without its line end is a write that was cut short: nobody was given its level, so it is dropped.
A ledger that is deleted as a whole cannot be told from a new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...calibration.content import overlap
from ...core.canonical import digest_json, dumps
from ...core.errors import GateError, StoreError
from ...core.files import sync_folder, try_writing
from ...stats.spending import alpha_of_look, alpha_spent

_FIELDS = {"data", "device", "sketch", "judged", "candidate", "gates", "seed", "look", "time", "check"}
_SAME_DATA = 0.5


@dataclass(frozen=True)
class Judging:
    """What a candidate is judged on.

    `judged` is the digest of the samples that judge, with labels and columns, `sketch` tells what all data that they were taken
    from consist of (`calibration.content`), `device` is the digest of what makes devices differ.
    """

    sketch: tuple[str, ...]
    judged: str
    device: str


@dataclass(frozen=True)
class LedgerEntry:
    """The `number`-th look (1, 2, ...) at `data`, which names all data that are counted as the same."""

    data: str
    number: int
    on: Judging
    candidate: str
    gates: tuple[str, ...]
    seed: int

    def alpha(self, total: float = 0.05) -> float:
        """Error level of this look when all looks together may spend `total`."""
        return alpha_of_look(self.number, total)

    def is_the_same(self, other: LedgerEntry) -> bool:
        """Whether both look at the same candidate in the same way; the data around the judging samples may differ."""
        return _identity(self) == _identity(other)


class Ledger:
    """The looks recorded in one file, safe for several processes. Raises GateError when damaged, StoreError for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Whether a look could be recorded, before there is one; leaves no trace."""
        with self._refused():
            if not self.path.exists():
                try_writing(self.path.parent)
                return
        with self._locked() as handle:
            _parse(self.path, _read(handle))

    def looks(self) -> tuple[LedgerEntry, ...]:
        """All looks so far, in order."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.path}: {error.strerror or error}; make it readable.") from error
        return tuple(_parse(self.path, content)[0])

    def look(self, on: Judging, candidate: str, gates: Sequence[str], seed: int) -> LedgerEntry:
        """Record a look durably, then return it; the same candidate, gates, seed and samples are no new look."""
        if not on.sketch or not on.judged or not on.device or not candidate:
            raise GateError("a look needs the digests of data, device and candidate; compute them first.")
        with self._locked() as handle:
            entries, kept, last = _parse(self.path, _read(handle))
            data = _data(entries, on)
            entry = LedgerEntry(data, 1 + sum(item.data == data for item in entries), on, candidate, tuple(gates), seed)
            known = next((item for item in entries if item.is_the_same(entry)), None)
            if known is not None:
                return known
            os.ftruncate(handle, kept)
            os.lseek(handle, kept, os.SEEK_SET)
            _write(handle, _line(entry, datetime.now(timezone.utc).isoformat(timespec="seconds"), last))
            os.fsync(handle)
            sync_folder(self.path.parent)
        return entry

    def extract(self, entry: LedgerEntry, total: float = 0.05) -> dict[str, Any]:
        """What the manifest holds of a look: itself and the candidates before it; the same whenever it is asked for.

        Raises GateError when the look was never recorded.
        """
        looks = [item for item in self.looks() if item.data == entry.data][: entry.number]
        if entry not in looks:
            raise GateError(
                f"the ledger {self.path} has no look at candidate {entry.candidate[:12]}; record it before judging."
            )
        return {
            "data_digest": entry.data,
            "judged_digest": entry.on.judged,
            "look": entry.number,
            "alpha": entry.alpha(total),
            "alpha_spent": alpha_spent(entry.number, total),
            "gates": list(entry.gates),
            "seed": entry.seed,
            "candidates": [item.candidate for item in looks],
        }

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with self._refused():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield handle
            finally:
                os.close(handle)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write the ledger {self.path}: {error.strerror or error}; "
                "free some space, or name a file in a writable folder with --ledger."
            ) from error


def _data(entries: Sequence[LedgerEntry], on: Judging) -> str:
    """The name of the data: that of those looked at before for this device that are alike, the most looked at first."""
    alike = [item for item in entries if item.on.device == on.device and overlap(item.on.sketch, on.sketch) >= _SAME_DATA]
    if alike:
        return max(alike, key=lambda item: sum(other.data == item.data for other in entries)).data
    return digest_json({"device": on.device, "sketch": list(on.sketch)})


def _identity(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.on.judged, entry.on.device, entry.candidate, entry.gates, entry.seed


def _line(entry: LedgerEntry, time: str, previous: str) -> bytes:
    body = {
        "data": entry.data, "device": entry.on.device, "sketch": list(entry.on.sketch), "judged": entry.on.judged,
        "candidate": entry.candidate, "gates": list(entry.gates), "seed": entry.seed, "look": entry.number, "time": time,
    }  # fmt: skip
    return dumps({**body, "check": digest_json([previous, body])}) + b"\n"


def _read(handle: int) -> bytes:
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        return file.read()


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _parse(path: Path, content: bytes) -> tuple[list[LedgerEntry], int, str]:
    """Entries, the length of the sound content, and the last check; raises GateError for anything else than a cut last line."""
    entries: list[LedgerEntry] = []
    seen: dict[str, int] = {}
    kept, last = 0, ""
    whole = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            value = json.loads(line)
            check = value.pop("check")
            on = Judging(tuple(value["sketch"]), value["judged"], value["device"])
            entry = LedgerEntry(value["data"], value["look"], on, value["candidate"], tuple(value["gates"]), value["seed"])
            is_sound = set(value) | {"check"} == _FIELDS and check == digest_json([last, value])
        except (ValueError, KeyError, TypeError, AttributeError):
            is_sound = False
        if not is_sound or entry.number != seen.get(entry.data, 0) + 1:
            raise GateError(f"the ledger {path} is damaged at line {number}; restore it, or judge on data never looked at.")
        seen[entry.data] = entry.number
        entries.append(entry)
        kept, last = kept + len(line) + 1, check
    return entries, kept, last
