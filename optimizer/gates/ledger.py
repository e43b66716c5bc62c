"""The ledger: every look at the judging data, written down before it happens, so that trying again costs what it should.

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

from ...core.canonical import digest_json, dumps
from ...core.errors import GateError, StoreError
from ...core.files import sync_folder
from ...stats.spending import alpha_of_look, alpha_spent

_FIELDS = {"data", "candidate", "look", "gates", "time", "check"}


@dataclass(frozen=True)
class LedgerEntry:
    """The `number`-th look (1, 2, ...) at the data `data_digest`, at the candidate `candidate_digest`, with its gates."""

    data_digest: str
    candidate_digest: str
    number: int
    gates: tuple[str, ...]

    def alpha(self, total: float = 0.05) -> float:
        """Error level of this look when all looks together may spend `total`."""
        return alpha_of_look(self.number, total)

    def said(self, total: float = 0.05) -> str:
        """One sentence for the user: which look this is and what it may spend."""
        level = f"{100 * self.alpha(total):.2g} %"
        if self.number == 1:
            return f"first look at these judging data, at {level} of {100 * total:.2g} % error."
        return (
            f"look {self.number} at these judging data: earlier candidates spent error, so this one is judged at {level}; "
            "fresh judging data would start anew."
        )


class Ledger:
    """The looks recorded in one file, safe for several processes. Raises GateError when damaged, StoreError for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def looks(self, data_digest: str) -> tuple[LedgerEntry, ...]:
        """All looks at these data so far, in order."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.path}: {error.strerror or error}; make it readable.") from error
        return tuple(entry for entry in _parse(self.path, content)[0] if entry.data_digest == data_digest)

    def alpha_for_next(self, data_digest: str, candidate_digest: str, total: float = 0.05) -> float:
        """Error level that a look at this candidate would have; a candidate seen before keeps its own."""
        looks = self.looks(data_digest)
        return (_find(looks, candidate_digest) or LedgerEntry(data_digest, candidate_digest, len(looks) + 1, ())).alpha(total)

    def look(self, data_digest: str, candidate_digest: str, gates: Sequence[str]) -> LedgerEntry:
        """Record a look durably, then return it; the same candidate on the same data is no new look."""
        if not data_digest or not candidate_digest:
            raise GateError("a look needs the digests of data and candidate; compute them first.")
        with self._locked() as handle:
            with os.fdopen(os.dup(handle), "rb") as file:
                file.seek(0)
                content = file.read()
            entries, kept, last = _parse(self.path, content)
            here = [entry for entry in entries if entry.data_digest == data_digest]
            known = _find(here, candidate_digest)
            if known is not None:
                return known
            entry = LedgerEntry(data_digest, candidate_digest, len(here) + 1, tuple(gates))
            os.ftruncate(handle, kept)
            os.lseek(handle, kept, os.SEEK_SET)
            _write(handle, _line(entry, datetime.now(timezone.utc).isoformat(timespec="seconds"), last))
            os.fsync(handle)
        sync_folder(self.path.parent)
        return entry

    def extract(self, data_digest: str, candidate_digest: str, total: float = 0.05) -> dict[str, Any]:
        """What the manifest holds: this candidate's look and those before it; the same whenever it is asked for.

        Raises GateError when the candidate was never looked at.
        """
        looks = self.looks(data_digest)
        own = _find(looks, candidate_digest)
        if own is None:
            raise GateError(
                f"the ledger {self.path} has no look at candidate {candidate_digest[:12]}; record it before judging."
            )
        return {
            "data_digest": data_digest,
            "look": own.number,
            "alpha": own.alpha(total),
            "alpha_spent": alpha_spent(own.number, total),
            "gates": list(own.gates),
            "candidates": [entry.candidate_digest for entry in looks[: own.number]],
        }

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield handle
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(
                f"cannot write the ledger {self.path}: {error.strerror or error}; free some space or choose a writable folder."
            ) from error


def _find(looks: Sequence[LedgerEntry], candidate_digest: str) -> LedgerEntry | None:
    return next((entry for entry in looks if entry.candidate_digest == candidate_digest), None)


def _line(entry: LedgerEntry, time: str, previous: str) -> bytes:
    body = {
        "data": entry.data_digest, "candidate": entry.candidate_digest, "look": entry.number,
        "gates": list(entry.gates), "time": time,
    }  # fmt: skip
    return dumps({**body, "check": digest_json([previous, body])}) + b"\n"


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
            entry = LedgerEntry(value["data"], value["candidate"], value["look"], tuple(value["gates"]))
            is_sound = set(value) | {"check"} == _FIELDS and check == digest_json([last, value])
        except (ValueError, KeyError, TypeError, AttributeError):
            is_sound = False
        if not is_sound or entry.number != seen.get(entry.data_digest, 0) + 1:
            raise GateError(f"the ledger {path} is damaged at line {number}; restore it, or judge on data never looked at.")
        seen[entry.data_digest] = entry.number
        entries.append(entry)
        kept, last = kept + len(line) + 1, check
    return entries, kept, last
