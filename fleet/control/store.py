"""What the control plane knows, in a database: SQLite in a folder, one transaction a request.

The state of a model on a device is what the device said last, in the order of its own starts (`order`) and of its own numbers:
a report that comes twice or late changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, or_, select, true, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import SQLAlchemyError

from ...core.canonical import digest
from ...core.clock import Clock
from ...core.errors import ProtocolError, StoreError, UsageError
from ..protocol.assignment import MAX_MODELS, Assignment, Wanted
from ..protocol.enrolment import Enrolment, device_name
from ..protocol.offer import check_model
from ..protocol.report import Report
from ..protocol.window import Batch, Window
from ..telemetry.ledger import accept
from .order import note_start, place_of
from .tables import ASSIGNMENTS, DEVICES, METADATA, REPORTS, STATES, STREAMS, TOKENS, WINDOWS

FILE = "control.sqlite"
_SEEN_S = 60.0  # of a device that asks more often it is not written down each time: each time is a wait for the disk


@dataclass(frozen=True)
class Known:
    """A device's key [32 bytes] that signs now, and whether it may still speak."""

    public_key: bytes
    is_revoked: bool


class Refused(ProtocolError):
    """A request that is understood and not allowed."""


class Store:
    """All tables. Safe for several threads; every method raises StoreError when the database cannot be used."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Open the database in `folder`, or make it."""
        self._clock = clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot use {folder} for the control plane: {error.strerror}; choose a writable folder."
            ) from error
        self._engine: Engine = create_engine(f"sqlite:///{folder / FILE}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _begin)
        with self._transaction() as connection:
            METADATA.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # Devices

    def make_token(self, valid_s: float) -> str:
        """A new secret, good once within `valid_s` seconds; the database keeps its digest only."""
        secret, now = secrets.token_urlsafe(24), self._clock.now()
        with self._transaction() as connection:
            connection.execute(
                insert(TOKENS).values(secret_sha256=digest(secret.encode()), made_at=now, expires_at=now + valid_s)
            )
        return secret

    def enrol(self, request: Enrolment) -> str:
        """Name of the device; the same token and key give the same again, and so does a fresh token with a known key.

        Raises Refused, also for the key of a device that was revoked, or that has another key by now.
        """
        name, now = device_name(request.public_key), self._clock.now()
        key = digest(request.secret.encode())
        with self._transaction() as connection:
            token = connection.execute(select(TOKENS).where(TOKENS.c.secret_sha256 == key)).first()
            if token is None:
                raise Refused("the token is unknown; ask for a new one.")
            if token.used_by not in (None, name):
                raise Refused("the token was used by another device; ask for a new one.")
            known = connection.execute(select(DEVICES).where(DEVICES.c.device == name)).first()
            if known is not None and known.revoked_at is not None:
                raise Refused("the device of this key was revoked; enrol with a new key and a fresh token.")
            if known is not None and known.public_key != request.public_key:
                raise Refused("the device of this key has another key by now; enrol with a new key and a fresh token.")
            if token.used_by == name:
                return name
            if token.expires_at < now:
                raise Refused("the token is expired; ask for a new one.")
            connection.execute(update(TOKENS).where(TOKENS.c.secret_sha256 == key).values(used_by=name, used_at=now))
            if known is None:
                connection.execute(
                    insert(DEVICES).values(
                        device=name, public_key=request.public_key, facts=json.dumps(dict(request.facts)), enrolled_at=now
                    )
                )
        return name

    def device(self, name: str) -> Known | None:
        """What is needed to verify a device's signature, or None for one that never enrolled."""
        with self._transaction() as connection:
            row = connection.execute(select(DEVICES.c.public_key, DEVICES.c.revoked_at).where(DEVICES.c.device == name)).first()
        return None if row is None else Known(row.public_key, row.revoked_at is not None)

    def replace_key(self, name: str, public_key: bytes) -> None:
        """From now on `public_key` signs for the device."""
        with self._transaction() as connection:
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(public_key=public_key))

    def revoke(self, name: str) -> None:
        """Refuse the device from now on; raises UsageError for one that is unknown."""
        with self._transaction() as connection:
            self._check_known(connection, name)
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(revoked_at=self._clock.now()))

    def devices(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every device, or the one of that name, with its facts and its models: what is assigned, what the device says."""
        which = DEVICES.c.device == name if name is not None else true()
        with self._transaction() as connection:
            found = connection.execute(select(DEVICES).where(which).order_by(DEVICES.c.enrolled_at, DEVICES.c.device)).all()
            assigned, states = (
                connection.execute(select(table).where(table.c.device == name if name is not None else true())).mappings().all()
                for table in (ASSIGNMENTS, STATES)
            )
        return [_told(dict(row._mapping), assigned, states) for row in found]

    # Assignments

    def assign(self, name: str, wanted: Wanted) -> None:
        """Assign a model; a repeat raises the attempt, so that what failed is tried again. Raises UsageError, ProtocolError."""
        check_model(wanted.model)
        with self._transaction() as connection:
            self._check_known(connection, name)
            before = connection.execute(
                select(ASSIGNMENTS).where(ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.model == wanted.model)
            ).first()
            if before is None or before.is_aborted:
                self._check_room(connection, name)
            values = {
                "sha256": wanted.sha256,
                "name": wanted.name,
                "attempt": wanted.attempt if before is None else max(before.attempt + 1, wanted.attempt),
                "deadline_s": wanted.deadline_s,
                "is_aborted": False,
            }
            connection.execute(
                upsert(ASSIGNMENTS)
                .values(device=name, model=wanted.model, **values)
                .on_conflict_do_update(index_elements=["device", "model"], set_=values)
            )

    def abort(self, name: str, model: str) -> None:
        """Take the deployment of a model back, wherever it is before its commit; raises UsageError for an unknown one."""
        with self._transaction() as connection:
            done = connection.execute(
                update(ASSIGNMENTS).where(ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.model == model).values(is_aborted=True)
            )
            if done.rowcount == 0:
                raise UsageError(f"nothing of {model!r} is assigned to {name!r}; `edgewright control devices` lists what is.")

    def assignment(self, name: str) -> Assignment:
        """What a device that asks shall run."""
        now, seen = self._clock.now(), DEVICES.c.seen_at
        is_due = or_(seen.is_(None), seen <= now - _SEEN_S, seen > now)
        with self._transaction() as connection:
            connection.execute(update(DEVICES).where(DEVICES.c.device == name, is_due).values(seen_at=now))
        return self.assignment_of(name)

    def assignment_of(self, name: str) -> Assignment:
        """What a device shall run; what was taken back is not in it."""
        with self._transaction() as connection:
            rows = connection.execute(
                select(ASSIGNMENTS).where(ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.is_aborted.is_(False))
            ).all()
        return Assignment({row.model: Wanted(row.model, row.sha256, row.name, row.attempt, row.deadline_s) for row in rows})

    # Reports

    def take(self, report: Report) -> bool:
        """Take a report, once; whether the deployment that it is about was taken back."""
        now = self._clock.now()
        values = {
            "model": report.model,
            "running": report.running,
            "target": report.target,
            "state": report.state,
            "result": report.result,
            "why": report.why,
        }
        with self._transaction() as connection:
            connection.execute(
                upsert(REPORTS)
                .values(
                    device=report.device, boot=report.boot, sequence=report.sequence, at=report.at, received_at=now, **values
                )
                .on_conflict_do_nothing()
            )
            note_start(connection, report.device, report.boot, now)
            mine = place_of(connection, report.device, report.boot, report.sequence)
            known = connection.execute(
                select(STATES.c.boot, STATES.c.sequence).where(STATES.c.device == report.device, STATES.c.model == report.model)
            ).first()
            if known is None or place_of(connection, report.device, known.boot, known.sequence) < mine:
                fresh = {**values, "boot": report.boot, "sequence": report.sequence, "received_at": now}
                connection.execute(
                    upsert(STATES)
                    .values(device=report.device, **fresh)
                    .on_conflict_do_update(index_elements=["device", "model"], set_=fresh)
                )
            assigned = connection.execute(
                select(ASSIGNMENTS.c.is_aborted).where(
                    ASSIGNMENTS.c.device == report.device, ASSIGNMENTS.c.model == report.model
                )
            ).first()
        return bool(assigned is not None and assigned.is_aborted)

    # Telemetry

    def take_windows(self, name: str, batch: Batch) -> int:
        """Keep what of a batch is new; the highest sequence of its model and stream that there is now. Raises ProtocolError."""
        with self._transaction() as connection:
            known = connection.execute(
                select(STREAMS.c.model, STREAMS.c.highest).where(STREAMS.c.device == name, STREAMS.c.stream == batch.stream)
            ).all()
            found = accept(batch, {(batch.stream, row.model): row.highest for row in known})
            place = {"device": name, "stream": found.stream, "model": found.model}
            now = self._clock.now()
            for sequence, window in found.windows:
                told = {"sha256": window.sha256, "start": window.start, "end": window.end, "received_at": now}
                connection.execute(insert(WINDOWS).values(**place, sequence=sequence, data=window.encode(), **told))
            connection.execute(
                upsert(STREAMS)
                .values(**place, highest=found.highest)
                .on_conflict_do_update(index_elements=["device", "stream", "model"], set_={"highest": found.highest})
            )
        return found.highest

    def windows(self, name: str) -> list[Window]:
        """All windows of a device, in the order of their time."""
        with self._transaction() as connection:
            rows = connection.execute(
                select(WINDOWS.c.data).where(WINDOWS.c.device == name).order_by(WINDOWS.c.start, WINDOWS.c.sequence)
            ).all()
        return [Window.decode(row.data) for row in rows]

    @staticmethod
    def _check_known(connection: Connection, name: str) -> None:
        if connection.execute(select(DEVICES.c.device).where(DEVICES.c.device == name)).first() is None:
            raise UsageError(f"no device is called {name!r}; `edgewright control devices` lists them.")

    @staticmethod
    def _check_room(connection: Connection, name: str) -> None:
        of_device = ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.is_aborted.is_(False)
        count = connection.execute(select(func.count()).select_from(ASSIGNMENTS).where(*of_device)).scalar_one()
        if count >= MAX_MODELS:
            raise UsageError(
                f"{count} models are assigned to {name!r}, and a device runs no more; take one back with "
                "`edgewright control abort`."
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(
                f"the control plane's database cannot be used ({cause}); look at its folder and its disk."
            ) from error


def _set_up(connection: Any, record: object) -> None:
    """Readers beside a writer, and a commit that no power cut takes back, since devices were told; transactions: `_begin`."""
    connection.isolation_level = None
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    """Who reads first and writes then must hold the lock from the start, or SQLite refuses the write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _told(row: Mapping[str, Any], assigned: Any, states: Any) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {}
    for item in assigned:
        if item["device"] == row["device"]:
            wanted = {key: item[key] for key in ("sha256", "name", "attempt", "deadline_s", "is_aborted")}
            models.setdefault(item["model"], {})["wanted"] = wanted
    for item in states:
        if item["device"] == row["device"]:
            said = {key: item[key] for key in ("running", "target", "state", "result", "why", "received_at")}
            models.setdefault(item["model"], {})["said"] = said
    return {
        "device": row["device"],
        "facts": json.loads(row["facts"]),
        "enrolled_at": row["enrolled_at"],
        "seen_at": row["seen_at"],
        "is_revoked": row["revoked_at"] is not None,
        "models": models,
    }
