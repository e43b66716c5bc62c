"""What every device is told when it polls, in memory: a poll that brings no news asks no database and waits for no thread.

The memory follows the database: `look` reads the revision, and anew only the devices that changed since (DEVICES.changed). Who
serves calls it once a second, for what other processes change, and at once when `is_behind` tells that this process changed
something. When devices asked last is gathered and written in batches by `flush`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection, and_, bindparam, select

from ...core.canonical import digest
from ...core.errors import StoreError
from ..protocol.assignment import Assignment, Wanted
from ..protocol.poll import place_of, seconds_until
from .database import Database
from .store import Store
from .tables import ASSIGNMENTS, BENCH_RUNS, BENCHES, DEVICES, MEMBERS, REVISION

_BATCH = 500  # devices of a transaction in which is written when they asked last
_PAUSE_S = 0.02  # between two of them, for others who write
_IN_PIECES = {"yield_per": 1000}  # rows that are read at once
_NOBODY = -1  # a revision before every change

_COLUMNS = [ASSIGNMENTS.c[name] for name in ("device", "model", "sha256", "name", "attempt", "deadline_s", "rollout")]
_ASSIGNED = (
    select(*_COLUMNS, MEMBERS.c.stage)
    .join(MEMBERS, and_(MEMBERS.c.rollout == ASSIGNMENTS.c.rollout, MEMBERS.c.device == ASSIGNMENTS.c.device), isouter=True)
    .where(ASSIGNMENTS.c.device.in_(bindparam("devices", expanding=True)), ASSIGNMENTS.c.is_aborted.is_(False))
    .order_by(ASSIGNMENTS.c.model)
)

_TO_MEASURE = (
    select(BENCH_RUNS.c.device, BENCH_RUNS.c.id, BENCHES.c.expires_at)
    .join(BENCHES, BENCHES.c.id == BENCH_RUNS.c.bench)
    .where(
        BENCH_RUNS.c.device.in_(bindparam("devices", expanding=True)),
        BENCH_RUNS.c.ended_at.is_(None),
        BENCHES.c.cancelled_at.is_(None),
    )
    .order_by(BENCH_RUNS.c.id)
)


class Told:
    """An encoded assignment and its ETag, shared by all devices that are told the same; `cohorts`: see `Polls.cohort`."""

    __slots__ = ("__weakref__", "body", "cohorts", "etag")

    def __init__(self, body: bytes, cohorts: Mapping[str, Cohort]) -> None:
        self.body, self.etag, self.cohorts = body, f'"{digest(body)[:32]}"'.encode(), cohorts


@dataclass(frozen=True)
class Cohort:
    """The rollout that assigned a model, and its stage; None where a person did."""

    rollout: int | None = None
    stage: int | None = None


class Known:
    """A device in memory: its key [32 bytes] that signs now, whether it may not speak any more, what it is told.

    `runs` are the measurings that wait for it, each with the time (seconds since 1970) from which on it does not any more.
    """

    __slots__ = ("is_revoked", "public_key", "runs", "told")

    def __init__(self, public_key: bytes, is_revoked: bool, told: Told, runs: tuple[tuple[int, float], ...] = ()) -> None:
        self.public_key, self.is_revoked, self.told, self.runs = public_key, is_revoked, told, runs


@dataclass(frozen=True)
class PollAnswer:
    """`body` is None where the device has it already; `after_s`: seconds until it shall ask again; `run`: the next to time."""

    etag: bytes
    body: bytes | None
    after_s: float
    run: int | None = None


_NOT_ASSIGNED = Cohort()
_NOTHING = Told(Assignment().encode(), MappingProxyType({}))


class Polls:
    """All devices of a database. Safe for several threads; `answer` and `device` ask no database."""

    def __init__(self, database: Database, store: Store, period_s: float = 300.0) -> None:
        """Read every device; each shall poll once in `period_s`. Raises StoreError."""
        self.period_s = period_s
        self._database, self._store, self._clock = database, store, database.clock
        self._devices: dict[str, Known] = {}
        self._seen: dict[str, float] = {}
        self._same: WeakValueDictionary[tuple[Any, ...], Told] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._revision, self._touched = _NOBODY, -1
        self.look()

    @property
    def is_behind(self) -> bool:
        """Whether this process changed something since `look`."""
        return self._database.touched != self._touched

    @property
    def revision(self) -> int:
        """The database's at the last look that read anything."""
        return self._revision

    def device(self, name: str) -> Known | None:
        """What is known of a device, or None of one that never enrolled."""
        return self._devices.get(name)

    def answer(self, name: str, etag: bytes | None) -> PollAnswer:
        """What a device that is known is told, which has the assignment of `etag`; that it asked is noted."""
        now, known = self._clock.now(), self._devices[name]
        self._seen[name] = now
        told = known.told
        body = None if etag == told.etag else told.body
        run = next((run for run, expires_at in known.runs if expires_at > now), None)
        return PollAnswer(told.etag, body, seconds_until(place_of(name), self.period_s, now), run)

    def cohort(self, name: str, model: str) -> Cohort:
        """Who assigned a model to a device; where nobody did, as where a person did."""
        known = self._devices.get(name)
        return _NOT_ASSIGNED if known is None else known.told.cohorts.get(model, _NOT_ASSIGNED)

    def look(self) -> None:
        """Read what changed since the last look; raises StoreError and then knows what it knew before."""
        with self._lock:
            touched = self._database.touched
            with self._database.reading() as connection:
                revision = int(connection.execute(select(REVISION.c.number)).scalar_one())
                if revision != self._revision:
                    # A revision that falls is another database's: all of it is new.
                    since = self._revision if revision > self._revision else _NOBODY
                    self._read(connection, since)
            self._revision, self._touched = revision, touched

    def flush(self) -> int:
        """Write when devices asked last, and say of how many; raises StoreError, and then keeps what was not written."""
        count = 0
        seen, self._seen = self._seen, {}
        names = sorted(seen)
        try:
            while names:
                batch = names[:_BATCH]
                self._store.note_seen({name: seen[name] for name in batch})
                count, names = count + len(batch), names[_BATCH:]
                if names:
                    self._clock.sleep(_PAUSE_S)
        except StoreError:
            self._seen = {**{name: seen[name] for name in names}, **self._seen}
            raise
        return count

    def _read(self, connection: Connection, since: int) -> None:
        devices = select(DEVICES.c.device, DEVICES.c.public_key, DEVICES.c.revoked_at).where(DEVICES.c.changed > since)
        for some in connection.execute(devices, execution_options=_IN_PIECES).partitions():
            assigned: dict[str, list[Any]] = {row.device: [] for row in some}
            for item in connection.execute(_ASSIGNED, {"devices": list(assigned)}):
                assigned[item.device].append(item)
            runs: dict[str, list[tuple[int, float]]] = {}
            for device, run, expires_at in connection.execute(_TO_MEASURE, {"devices": list(assigned)}):
                runs.setdefault(device, []).append((run, expires_at))
            for row in some:
                told, to_measure = self._told(assigned[row.device]), tuple(runs.get(row.device, ()))
                self._devices[row.device] = Known(row.public_key, row.revoked_at is not None, told, to_measure)

    def _told(self, rows: Sequence[Any]) -> Told:
        """What these assignments say, made once for all devices that have the same."""
        if not rows:
            return _NOTHING
        key = tuple(tuple(row)[1:] for row in rows)
        found = self._same.get(key)
        if found is None:
            wanted = {row.model: Wanted(row.model, row.sha256, row.name, row.attempt, row.deadline_s) for row in rows}
            cohorts = {row.model: Cohort(row.rollout, row.stage) for row in rows}
            found = self._same[key] = Told(Assignment(wanted).encode(), cohorts)
        return found
