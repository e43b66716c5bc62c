"""What the control plane knows of devices: who they are, what they said, what they counted; their assignments: `assignments`.

The state of a model on a device is what the device said last, in the order of its own starts (`order`) and of its own numbers:
a report that comes twice or late changes nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Row, Table, bindparam, insert, or_, select, true, update

from ...core.canonical import digest
from ...core.errors import ProtocolError
from ..protocol.assignment import Assignment, Wanted
from ..protocol.enrolment import Enrolment, device_name
from ..protocol.report import Report
from ..protocol.window import Batch, Window
from ..telemetry.ledger import Accepted
from . import assignments
from .audit import record
from .database import Database
from .order import note_start, place_of
from .tables import ASSIGNMENTS, DEVICES, REPORTS, STATES, TOKENS, WINDOWS
from .turns import Work
from .window_store import WindowStore

# What is asked with every report: to make a statement costs more than to ask the database.
_SAID = select(STATES.c.boot, STATES.c.sequence).where(
    STATES.c.device == bindparam("of_device"), STATES.c.model == bindparam("of_model")
)
_TAKEN_BACK = select(ASSIGNMENTS.c.is_aborted).where(
    ASSIGNMENTS.c.device == bindparam("of_device"), ASSIGNMENTS.c.model == bindparam("of_model")
)
_SEEN_S = 60.0  # of a device that asks more often it is not written down each time: each time is a wait for the disk


@dataclass(frozen=True)
class Known:
    """A device's key [32 bytes] that signs now, and whether it may still speak."""

    public_key: bytes
    is_revoked: bool


class Refused(ProtocolError):
    """A request that is understood and not allowed."""


class Store:
    """Devices in the database. Safe for several threads; every method raises StoreError when the database cannot be used.

    `actor` is who is written down in the audit log: a person's name, or what acts by itself.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._clock = database.clock
        # Keeps windows of many devices as one, for `Database.together_as_one`.
        self.keep_windows: Work[tuple[str, Batch], Accepted] = WindowStore(database).take
        self._add_report = database.upsert(REPORTS).on_conflict_do_nothing()
        self._put_state = _put(database, STATES)

    # Devices

    def make_token(self, valid_s: float, actor: str) -> str:
        """A new secret, good once within `valid_s` seconds; the database keeps its digest only."""
        secret, now = secrets.token_urlsafe(24), self._clock.now()
        key = digest(secret.encode())
        with self.database.transaction() as connection:
            connection.execute(insert(TOKENS).values(secret_sha256=key, made_at=now, expires_at=now + valid_s))
            record(connection, self.database, actor, "make-enrolment-token", key[:16], {"valid_s": valid_s})
        return secret

    def enrol(self, request: Enrolment) -> str:
        """Name of the device; the same token and key give the same again, and so does a fresh token with a known key.

        Raises Refused, also for the key of a device that was revoked, or that has another key by now.
        """
        return self.database.together(lambda connection: self._enrol(connection, request))

    def _enrol(self, connection: Connection, request: Enrolment) -> str:
        name, now = device_name(request.public_key), self._clock.now()
        key = digest(request.secret.encode())
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
            facts = json.dumps(dict(request.facts))
            connection.execute(insert(DEVICES).values(device=name, public_key=request.public_key, facts=facts, enrolled_at=now))
            self.database.touch(connection, [name])
        record(connection, self.database, name, "enrol", name, {"token": key[:16]})
        return name

    def device(self, name: str) -> Known | None:
        """What is needed to verify a device's signature, or None for one that never enrolled."""
        with self.database.reading() as connection:
            row = connection.execute(select(DEVICES.c.public_key, DEVICES.c.revoked_at).where(DEVICES.c.device == name)).first()
        return None if row is None else Known(row.public_key, row.revoked_at is not None)

    def replace_key(self, name: str, public_key: bytes) -> None:
        """From now on `public_key` signs for the device."""
        with self.database.transaction() as connection:
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(public_key=public_key))
            self.database.touch(connection, [name])
            record(connection, self.database, name, "replace-key", name, {"public_key": public_key.hex()})

    def revoke(self, name: str, actor: str) -> None:
        """Refuse the device from now on; raises UsageError for one that is unknown."""
        with self.database.transaction() as connection:
            assignments.check_known(connection, name)
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(revoked_at=self._clock.now()))
            self.database.touch(connection, [name])
            record(connection, self.database, actor, "revoke-device", name, {})

    def set_attributes(self, name: str, attributes: Mapping[str, str], actor: str) -> None:
        """Put these in place of what operators set before; raises UsageError for an unknown device."""
        with self.database.transaction() as connection:
            assignments.check_known(connection, name)
            told = json.dumps(dict(attributes), sort_keys=True)
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(attributes=told))
            self.database.touch(connection, [name])
            record(connection, self.database, actor, "set-attributes", name, {"attributes": dict(attributes)})

    def note_seen(self, seen: Mapping[str, float]) -> None:
        """Write down when devices asked last, seconds since 1970 by name; unknown names are ignored."""
        if not seen:
            return
        # The driver's own statement: SQLAlchemy would look at each of thousands of rows, and requests wait for the interpreter.
        mark = "?" if self.database.is_sqlite else "%s"
        with self.database.transaction() as connection:
            connection.exec_driver_sql(
                f"UPDATE devices SET seen_at = {mark} WHERE device = {mark}",  # noqa: S608
                [(seen[name], name) for name in sorted(seen)],
            )

    def devices(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every device, or the one of that name, with its facts and its models: what is assigned, what the device says."""
        which = DEVICES.c.device == name if name is not None else true()
        with self.database.reading() as connection:
            found = connection.execute(select(DEVICES).where(which).order_by(DEVICES.c.enrolled_at, DEVICES.c.device)).all()
            assigned, states = (
                _by_device(connection.execute(select(table).where(table.c.device == name if name is not None else true())))
                for table in (ASSIGNMENTS, STATES)
            )
        return [_told(row, assigned.get(row.device, ()), states.get(row.device, ())) for row in found]

    # Assignments

    def assign(self, name: str, wanted: Wanted, actor: str) -> None:
        """Assign a model; a repeat raises the attempt, so that what failed is tried again. Raises UsageError, ProtocolError."""
        with self.database.transaction() as connection:
            told = assignments.assign(connection, self.database, name, wanted)
            record(connection, self.database, actor, "assign", name, told.to_json())

    def abort(self, name: str, model: str, actor: str) -> None:
        """Take the deployment of a model back, wherever it is before its commit; raises UsageError for an unknown one."""
        with self.database.transaction() as connection:
            assignments.abort(connection, self.database, name, model)
            record(connection, self.database, actor, "take-back", name, {"model": model})

    def assignment(self, name: str) -> Assignment:
        """What a device that asks shall run."""
        now, seen = self._clock.now(), DEVICES.c.seen_at
        is_due = or_(seen.is_(None), seen <= now - _SEEN_S, seen > now)
        with self.database.transaction() as connection:
            connection.execute(update(DEVICES).where(DEVICES.c.device == name, is_due).values(seen_at=now))
        return self.assignment_of(name)

    def assignment_of(self, name: str) -> Assignment:
        """What a device shall run; what was taken back is not in it."""
        with self.database.reading() as connection:
            return assignments.of_device(connection, name)

    # Reports

    def take(self, report: Report) -> bool:
        """Take a report, once; whether the deployment that it is about was taken back."""
        return self.database.together(lambda connection: self.take_in(connection, report))

    def take_in(self, connection: Connection, report: Report) -> bool:
        """`take` within a transaction of who calls."""
        now = self._clock.now()
        values = {
            "model": report.model,
            "running": report.running,
            "target": report.target,
            "state": report.state,
            "result": report.result,
            "why": report.why.replace("\0", "\ufffd"),  # no text of PostgreSQL holds it
        }
        said = {**values, "device": report.device, "boot": report.boot, "sequence": report.sequence, "received_at": now}
        connection.execute(self._add_report, {**said, "at": report.at})
        note_start(connection, report.device, report.boot, now)
        mine = place_of(connection, report.device, report.boot, report.sequence)
        which = {"of_device": report.device, "of_model": report.model}
        known = connection.execute(_SAID, which).first()
        if known is None or place_of(connection, report.device, known.boot, known.sequence) < mine:
            connection.execute(self._put_state, said)
        assigned = connection.execute(_TAKEN_BACK, which).first()
        return bool(assigned is not None and assigned.is_aborted)

    # Telemetry

    def take_windows(self, name: str, batch: Batch) -> int:
        """Keep what of a batch is new; the highest sequence of its model and stream that there is now. Raises ProtocolError."""
        return self.database.together_as_one(self.keep_windows, (name, batch)).highest

    def windows(self, name: str) -> list[Window]:
        """All windows of a device, in the order of their time."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(WINDOWS.c.data).where(WINDOWS.c.device == name).order_by(WINDOWS.c.start, WINDOWS.c.sequence)
            ).all()
        return [Window.decode(row.data) for row in rows]


def _put(database: Database, table: Table) -> Executable:
    """A statement that adds a row, or puts it in place of the one of its primary key."""
    add = database.upsert(table)
    key = [column.name for column in table.primary_key]
    fresh = {column.name: add.excluded[column.name] for column in table.columns if column.name not in key}
    return add.on_conflict_do_update(index_elements=key, set_=fresh)


def _by_device(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.device, []).append(row)
    return found


def _told(row: Row[Any], assigned: Iterable[Row[Any]], states: Iterable[Row[Any]]) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {}
    for item in assigned:
        wanted = {key: item._mapping[key] for key in ("sha256", "name", "attempt", "deadline_s", "is_aborted", "rollout")}
        models.setdefault(item.model, {})["wanted"] = wanted
    for item in states:
        said = {key: item._mapping[key] for key in ("running", "target", "state", "result", "why", "received_at")}
        models.setdefault(item.model, {})["said"] = said
    return {
        "device": row.device,
        "facts": json.loads(row.facts),
        "attributes": json.loads(row.attributes),
        "enrolled_at": row.enrolled_at,
        "seen_at": row.seen_at,
        "is_revoked": row.revoked_at is not None,
        "models": models,
    }
