"""Who changed what: an append-only log in which each entry holds the digest of the one before.

The database refuses to change or remove an entry; who goes around it (the file, a superuser) breaks the chain, and `verify`
finds the first entry that does not fit. The digest of the last entry, kept elsewhere, shows whether the end was cut off.

    digest = SHA-256 of canonical JSON of {action, actor, at, before, details, place, subject}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from ...core.canonical import digest_json, plain
from .database import Database
from .tables import AUDIT

START = "0" * 64  # what the first entry has before it
_PAGE = 1000


@dataclass(frozen=True)
class Entry:
    """One change. `place` counts from 1 without gaps, `at` is seconds since 1970, `before` the digest of the entry before."""

    place: int
    at: float
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]
    before: str
    digest: str


@dataclass(frozen=True)
class Verified:
    """Entries that hold together from the first, the digest of the last of them, and what is wrong with the next if any is."""

    count: int
    head: str
    broken: str | None


def record(
    connection: Connection, database: Database, actor: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Add an entry, within the transaction of what it tells; a text keeps what databases can hold of it."""
    last = connection.execute(select(AUDIT.c.place, AUDIT.c.digest).order_by(AUDIT.c.place.desc()).limit(1)).first()
    values = {
        "place": 1 if last is None else last.place + 1,
        "at": float(database.clock.now()),
        "actor": _text(actor),
        "action": _text(action),
        "subject": _text(subject),
        "before": START if last is None else last.digest,
    }
    told = json.loads(_details(details))
    found = digest_json({**values, "details": told})
    connection.execute(insert(AUDIT).values(**values, details=_details(told), digest=found))


def entries(connection: Connection, after: int = 0, limit: int = 100) -> list[Entry]:
    """Up to `limit` entries behind the place `after`, in their order."""
    rows = connection.execute(select(AUDIT).where(AUDIT.c.place > after).order_by(AUDIT.c.place).limit(limit))
    return [_entry(row) for row in rows]


def latest(connection: Connection, limit: int = 100) -> list[Entry]:
    """The last entries, the newest first."""
    return [_entry(row) for row in connection.execute(select(AUDIT).order_by(AUDIT.c.place.desc()).limit(limit))]


def verify(connection: Connection) -> Verified:
    """Whether every entry is what was written, and none is missing before the last."""
    count, head = 0, START
    for row in _rows(connection):
        wrong = _wrong(row, count + 1, head)
        if wrong is not None:
            return Verified(count, head, f"entry {count + 1} of the audit log {wrong}.")
        count, head = count + 1, row.digest
    return Verified(count, head, None)


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    place: int | None = None
    while True:
        which = [] if place is None else [AUDIT.c.place > place]
        page = connection.execute(select(AUDIT).where(*which).order_by(AUDIT.c.place).limit(_PAGE)).all()
        if not page:
            return
        yield from page
        place = page[-1].place


def _wrong(row: Row[Any], place: int, head: str) -> str | None:
    if row.place != place:
        return f"is missing: the next has the place {row.place}"
    if row.before != head:
        return "does not follow from the one before"
    try:
        details = json.loads(row.details)
        values = {key: getattr(row, key) for key in ("place", "at", "actor", "action", "subject", "before")}
        same = row.details == _details(details) and digest_json({**values, "details": details}) == row.digest
    except ValueError:
        same = False
    return None if same else "was changed after it was written"


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.place, row.at, row.actor, row.action, row.subject, json.loads(row.details), row.before, row.digest)


def _details(details: Mapping[str, Any]) -> str:
    told = json.dumps(plain(details), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return told.encode("utf-8", "replace").decode()


def _text(text: str) -> str:
    """The text without what no database or no file can hold: NUL, halves of a character."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
