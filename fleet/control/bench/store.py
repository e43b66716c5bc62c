"""What people and devices do with measurings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, select, update

from ....core.canonical import dumps
from ....core.errors import UsageError
from ...protocol.bench_job import (
    MAX_BATCH,
    MAX_DEADLINE_S,
    MAX_THREADS,
    MAX_WINDOWS,
    MIN_WINDOWS,
    BenchJob,
    Next,
    Outcome,
    Told,
)
from ...rollout.query import parse
from ..attributes import attributes_of
from ..audit import record
from ..auth import NotAllowed
from ..database import Database
from ..tables import ARTIFACTS, BENCH_RUNS, BENCHES
from .records import Bench, load, load_all

MOST_RUNS = 2000  # of one measuring
MOST_OPEN = 256  # runs of one device
MOST_CASES = 16  # numbers of threads, and batches
_MINUTE_S = 60.0


class Benches:
    """Measurings in the database. Safe for several threads; every method raises StoreError when it cannot be used."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # People

    def ask(
        self,
        artifact: str,
        query: str,
        actor: str,
        *,
        threads: Sequence[int] = (1,),
        batches: Sequence[int] = (1,),
        windows: int = 5,
        deadline_s: float = 3600.0,
    ) -> Bench:
        """Ask every device that `query` means to measure the signed artifact of that SHA-256, within `deadline_s` from now.

        Raises UsageError where nothing of that digest is signed, no device is meant, or more is asked than may be.
        """
        _check(threads, batches, windows, deadline_s)
        wanted, now = parse(query), self.database.clock.now()
        with self.database.transaction() as connection:
            name, offer = _signed(connection, artifact)
            described = attributes_of(connection, now)
            devices = [device for device, told in described.items() if "revoked" not in told and wanted.matches(told)]
            _check_room(connection, now, query, devices, len(threads) * len(batches))
            made = connection.execute(
                insert(BENCHES).values(
                    name=name, sha256=artifact, offer=offer, query=query, threads=dumps(list(threads)).decode(),
                    batches=dumps(list(batches)).decode(), windows=windows, made_at=now, made_by=actor,
                    expires_at=now + deadline_s,
                ).returning(BENCHES.c.id)
            )  # fmt: skip
            number = int(made.scalar_one())
            cases = [(device, count, batch) for count in threads for batch in batches for device in devices]
            rows = [{"bench": number, "device": device, "threads": count, "batch": batch} for device, count, batch in cases]
            connection.execute(insert(BENCH_RUNS), rows)
            self.database.touch(connection, devices)
            told = {"artifact": name, "sha256": artifact, "query": query, "devices": len(devices), "runs": len(rows)}
            record(connection, self.database, actor, "ask-bench", str(number), told)
            return _known(connection, number, now)

    def cancel(self, number: int, actor: str) -> Bench:
        """Take back what is open of a measuring; raises UsageError where nothing is."""
        now = self.database.clock.now()
        with self.database.transaction() as connection:
            found = _known(connection, number, now)
            if found.is_ended:
                raise UsageError(f"the measuring {number} has ended, and there is nothing to cancel.")
            values = {"cancelled_at": now, "cancelled_by": actor}
            connection.execute(update(BENCHES).where(BENCHES.c.id == number).values(**values))
            self.database.touch(connection, sorted({run.device for run in found.runs}))
            record(connection, self.database, actor, "cancel-bench", str(number), {})
            return _known(connection, number, now)

    def get(self, number: int) -> Bench | None:
        """The measuring of that number, or None."""
        with self.database.reading() as connection:
            return load(connection, number, self.database.clock.now())

    def list(self, sha256: str | None = None, limit: int = 100) -> list[Bench]:
        """Measurings, the newest first, of all artifacts or of one."""
        with self.database.reading() as connection:
            return load_all(connection, self.database.clock.now(), sha256, limit)

    # Devices

    def hear(self, connection: Connection, device: str, told: Told) -> Next:
        """Take what a device tells, once, and give it its next job; raises NotAllowed for a run that is another device's."""
        now = self.database.clock.now()
        if told.outcome is not None:
            self._keep(connection, device, told.outcome, now)
        while True:
            row = connection.execute(_open(now).where(BENCH_RUNS.c.device == device).order_by(BENCH_RUNS.c.id).limit(1)).first()
            if row is None:
                return Next()
            which = update(BENCH_RUNS).where(BENCH_RUNS.c.id == row.id)
            if row.gone_at is not None or row.sha256 != row.signed:
                connection.execute(which.values(ended_at=now, result="refused"))
                self.database.touch(connection, [device])
                continue
            if row.taken_at is None:
                connection.execute(which.values(taken_at=now))
            left = min(MAX_DEADLINE_S, row.expires_at - now)
            return Next(BenchJob(row.id, row.sha256, row.name, row.threads, row.batch, row.windows, float(left)))

    def _keep(self, connection: Connection, device: str, outcome: Outcome, now: float) -> None:
        """The first outcome of a run that is open; one that comes again, too late or after a cancellation changes nothing.

        Nor does one of a run that nobody knows, as after a database was brought back from a copy.
        """
        row = connection.execute(select(BENCH_RUNS.c.device).where(BENCH_RUNS.c.id == outcome.run)).first()
        if row is not None and row.device != device:
            raise NotAllowed("a device tells of its own measurings only.")
        if connection.execute(_open(now).where(BENCH_RUNS.c.id == outcome.run)).first() is None:
            return
        values = {"ended_at": now, "result": outcome.end, "outcome": dumps(outcome.to_json()).decode()}
        connection.execute(update(BENCH_RUNS).where(BENCH_RUNS.c.id == outcome.run).values(**values))
        self.database.touch(connection, [device])


def _open(now: float) -> Select[Any]:
    """Runs that a device may still take or tell of, with what it needs to know."""
    columns = [BENCHES.c[name] for name in ("sha256", "name", "windows", "expires_at")]
    runs = [BENCH_RUNS.c[name] for name in ("id", "threads", "batch", "taken_at")]
    is_open = and_(BENCH_RUNS.c.ended_at.is_(None), BENCHES.c.cancelled_at.is_(None), BENCHES.c.expires_at > now)
    return (
        select(*columns, *runs, ARTIFACTS.c.gone_at, ARTIFACTS.c.sha256.label("signed"))
        .join(BENCHES, BENCHES.c.id == BENCH_RUNS.c.bench)
        .join(ARTIFACTS, ARTIFACTS.c.name == BENCHES.c.name)
        .where(is_open)
    )


def _known(connection: Connection, number: int, now: float) -> Bench:
    found = load(connection, number, now)
    if found is None:
        raise UsageError(f"no measuring has the number {number}.")
    return found


def _signed(connection: Connection, sha256: str) -> tuple[str, str]:
    """Name and offer of the artifact, of two the one that every device takes; raises UsageError where none is signed."""
    asked = select(ARTIFACTS.c.name, ARTIFACTS.c.offer).where(ARTIFACTS.c.sha256 == sha256, ARTIFACTS.c.gone_at.is_(None))
    row = connection.execute(asked.order_by(ARTIFACTS.c.is_canary, ARTIFACTS.c.name)).first()
    if row is None:
        raise UsageError(
            f"no artifact of the SHA-256 {sha256[:12]}... is signed in the server's repository; publish it, and wait until the "
            "server has seen it."
        )
    return row.name, row.offer


def _check(threads: Sequence[int], batches: Sequence[int], windows: int, deadline_s: float) -> None:
    """Raise UsageError for what no device would take."""
    for name, values, most in (("threads", threads, MAX_THREADS), ("batches", batches, MAX_BATCH)):
        if not 1 <= len(values) <= MOST_CASES or len(set(values)) != len(values) or not all(1 <= one <= most for one in values):
            raise UsageError(f"{name} are 1 to {MOST_CASES} different numbers from 1 to {most}.")
    if not MIN_WINDOWS <= windows <= MAX_WINDOWS:
        raise UsageError(f"a measuring has {MIN_WINDOWS} to {MAX_WINDOWS} windows, not {windows}.")
    if not _MINUTE_S <= deadline_s <= MAX_DEADLINE_S:
        raise UsageError(f"a measuring has a minute to a week, not {deadline_s:g} s.")


def _check_room(connection: Connection, now: float, query: str, devices: Sequence[str], cases: int) -> None:
    """Raise UsageError where no device is meant, and where this is more than the server or a device shall do."""
    if not devices:
        raise UsageError(f"no device that may speak is meant by {query!r}; `edgewright devices list --where` shows who is.")
    if len(devices) * cases > MOST_RUNS:
        raise UsageError(f"{len(devices)} devices with {cases} cases each are more than {MOST_RUNS} runs; name fewer of them.")
    counted = _open(now).with_only_columns(BENCH_RUNS.c.device, func.count()).group_by(BENCH_RUNS.c.device)
    for device, count in connection.execute(counted).all():
        if device in devices and count + cases > MOST_OPEN:
            raise UsageError(f"{device} has {count} runs to do already, and takes {MOST_OPEN}; wait for them, or cancel some.")
