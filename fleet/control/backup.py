"""All of the control plane in one file, back from it, and old telemetry removed.

A backup is a SQLite file with the same tables, whatever database it is of, so that it also moves a control plane from one kind
to the other. It shows one moment; devices and people are served meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, ColumnElement, Connection, Table, delete, func, insert, select, text, update

from ...core.errors import EdgewrightError, StoreError, UsageError
from .audit import Verified, record, verify
from .database import FILE, Database
from .tables import ALERTS, DRIFT_WINDOWS, METADATA, REPORTS, RETRAININGS, REVISION, ROLLOUTS, SAMPLES, WINDOWS

_PAGE = 1000  # rows that are copied at once
_MANY = 5000  # rows that are removed in one transaction: devices wait for it


@dataclass(frozen=True)
class Pruned:
    """Rows that were removed."""

    windows: int
    reports: int
    samples: int
    drift_windows: int


def backup(database: Database, file: Path) -> None:
    """Write everything into a new file that its owner alone may read; it is on the disk when this returns.

    Raises UsageError where there is a file already, StoreError where it cannot be written.
    """
    if file.exists():
        raise UsageError(f"there is a file {file} already; give the backup another name.")
    with _told(f"cannot write the backup {file}"), tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as folder:
        made = Path(folder) / "backup"
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if database.is_sqlite:
            _copy_file(database, made)
        else:
            with contextlib.closing(Database(folder, database.clock)) as copy:
                with database.reading() as source, copy.transaction() as target:
                    _copy(source, target)
                _copy_file(copy, made)
        _sync(made)
        made.replace(file)
        _sync(file.parent)


def restore(file: Path, database: Database, actor: str = "command line") -> Verified:
    """Fill an empty database from a backup, also from one of an older version; whether its audit log held together until then.

    The audit log goes on with an entry on the restoring. Raises UsageError for a database that is not empty and a file that is
    no backup; then nothing is changed.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}; give the file that `backup` wrote.")
    with _unpacked(file, database) as copy, copy.reading() as source, database.transaction() as target:
        full = [table.name for table in METADATA.sorted_tables if table is not REVISION and _count(target, table)]
        if full:
            raise UsageError(
                f"the database {database.place} is not empty (it has {', '.join(full)}); restore into a new folder or database."
            )
        _copy(source, target)
        found = verify(target)
        record(target, database, actor, "restore", file.name, {"entries": found.count, "head": found.head})
        database.touch(target, ())
    return found


def prune(database: Database, older_than_s: float, actor: str) -> Pruned:
    """Remove windows of telemetry and of drift, reports, and samples without a label older than so many seconds.

    Raises UsageError for no such time. What was learned from them stays: tallies, the states of devices, and how far each
    device's counts have come.
    """
    if not 0 < older_than_s < float("inf"):
        raise UsageError(f"{older_than_s:g} s is no age; give how old what is removed shall be at least.")
    before = database.clock.now() - older_than_s
    # Numbers of reports go on from the last, which therefore stays.
    with database.transaction() as connection:
        last = connection.execute(select(func.max(REPORTS.c.place))).scalar() or 0
        old = {table: _count(connection, table, before, last) for table in (WINDOWS, REPORTS, SAMPLES, DRIFT_WINDOWS)}
        told = {"before": before, **{table.name: count for table, count in old.items()}}
        record(connection, database, actor, "prune", "telemetry, reports and samples", told)
    for table in old:
        while _prune(database, table, before, last):
            pass
    return Pruned(old[WINDOWS], old[REPORTS], old[SAMPLES], old[DRIFT_WINDOWS])


def _prune(database: Database, table: Table, before: float, last: int) -> bool:
    """Remove the oldest rows; whether there may be more."""
    at = _time_of(table)
    with database.transaction() as connection:
        old = select(at).where(at < before, *_kept(table, last)).order_by(at).offset(_MANY).limit(1)
        limit = connection.execute(old).scalar()
        which = [at < before] if limit is None else [at <= limit]
        connection.execute(delete(table).where(*which, *_kept(table, last)))
    return limit is not None


def _count(connection: Connection, table: Table, before: float | None = None, last: int = 0) -> int:
    which = [] if before is None else [_time_of(table) < before, *_kept(table, last)]
    return int(connection.execute(select(func.count()).select_from(table).where(*which)).scalar_one())


def _time_of(table: Table) -> Column[float]:
    """By what rows are old."""
    found: Column[float] = table.c.start if table is DRIFT_WINDOWS else table.c.received_at
    return found


def _kept(table: Table, last: int) -> list[ColumnElement[bool]]:
    """What rows must be, beside old, to be removed."""
    if table is SAMPLES:
        return [table.c.label.is_(None)]
    return [table.c.place != last] if table is REPORTS else []


def _copy(source: Connection, target: Connection) -> None:
    """All rows into empty tables."""
    for table in METADATA.sorted_tables:
        keys = list(table.primary_key)
        rows = source.execute(select(table).order_by(*keys).execution_options(yield_per=_PAGE)).mappings()
        for page in rows.partitions(_PAGE):
            if table is REVISION:
                target.execute(update(REVISION).values(number=page[0]["number"]))
            else:
                target.execute(insert(table), [dict(row) for row in page])
    if target.dialect.name == "postgresql":
        for table, column in ((REPORTS, "place"), (ROLLOUTS, "id"), (ALERTS, "id"), (RETRAININGS, "id")):
            most = target.execute(select(func.max(table.c[column]))).scalar() or 0
            told = {"name": table.name, "column": column, "next": most + 1}
            target.execute(text("SELECT setval(pg_get_serial_sequence(:name, :column), :next, false)"), told)


@contextmanager
def _unpacked(file: Path, database: Database) -> Iterator[Database]:
    """A copy of the backup with the tables of today: the file itself stays as it is."""
    near = database.place if database.is_sqlite and Path(database.place).is_dir() else None
    with _told(f"cannot read the backup {file}"), tempfile.TemporaryDirectory(dir=near, prefix=".restore-") as folder:
        shutil.copyfile(file, Path(folder) / FILE)
        _check_backup(Path(folder) / FILE, file)
        with contextlib.closing(Database(folder, database.clock)) as copy:
            yield copy


def _check_backup(copy: Path, file: Path) -> None:
    wrong = UsageError(f"{file} is no backup of a control plane, or is damaged; give the file that `backup` wrote.")
    try:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            is_whole = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        raise wrong from error
    if not (is_whole and {"devices", "alembic_version"} <= names):
        raise wrong


def _copy_file(database: Database, file: Path) -> None:
    """SQLite's own way to copy a database that is in use (https://www.sqlite.org/backup.html)."""
    with contextlib.closing(sqlite3.connect(file)) as target:
        database.copy_into(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except EdgewrightError:
        raise
    except OSError as error:
        raise StoreError(f"{what}: {error.strerror or error}; choose a folder that can be written and has room.") from error
    except sqlite3.Error as error:
        raise StoreError(f"{what}: {error}; choose a folder that can be written and has room.") from error
