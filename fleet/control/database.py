"""The control plane's database: SQLite in a folder, or PostgreSQL by its address, so used that both behave alike.

One writer at a time, in SQLite by its lock and in PostgreSQL by an advisory lock of the transaction: who reads within a
transaction and then writes what follows from it is never refused and never wrong. Readers see one moment and wait for nobody. A
commit is on the disk when it returns, since devices were told by then what it says.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event, make_url, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from ...core.clock import Clock
from ...core.errors import StoreError, UsageError
from .migrations.migrate import migrate
from .tables import DEVICES, REVISION
from .turns import Item, Turns, Work

FILE = "control.sqlite"
MEMORY = ":memory:"  # in place of a folder: SQLite in this process's memory, gone with it
_LOCK = 0x45444745  # of PostgreSQL's advisory locks; any number that no other program of the database uses
_WAIT_S = 30.0

T = TypeVar("T")


class Database:
    """Safe for several threads, and several processes on one database. Methods raise StoreError where it cannot be used."""

    def __init__(self, where: str, clock: Clock) -> None:
        """Open the database in the folder `where`, or at that address (postgresql://...), and bring its tables up to date.

        Raises UsageError for an address of another kind and a database of a newer version, StoreError where it cannot be used.
        """
        self.clock = clock
        self._turns = Turns()
        self._is_in_memory = where == MEMORY
        if self._is_in_memory:
            self.place, self._help, self._engine = "memory", "its memory", _in_memory()
        elif "://" in where:
            url = _address(where)
            self.place = url.set(drivername="postgresql").render_as_string(hide_password=True)
            self._help = "its server and your rights there"
            self._engine = _postgresql(url)
        else:
            self.place, self._help, self._engine = where, "its folder and its disk", _in_folder(Path(where))
        event.listen(self._engine, "handle_error", _tell_what_does_not_fit)
        # Readers are told apart by an option of their connections; they share the pool.
        self._reader = self._engine.execution_options(**{_READS: True})
        try:
            with self.transaction() as connection:
                migrate(connection)
        except BaseException:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that writes; all of it is kept, or after an exception nothing. None may be begun within another."""
        with self._told(), self._turns.alone(), self._engine.begin() as connection:
            yield connection

    def together(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, done in a transaction that it may share with others that wait at the same moment.

        They wait for the disk once for all of them. An exception takes back what its own work did, and nothing of the others'.
        """

        def alone(connection: Connection, _: list[None]) -> list[T | Exception]:
            return [work(connection)]

        return self.together_as_one(alone, None)

    def together_as_one(self, work: Work[Item, T], item: Item) -> T:
        """Like `together`; and `work` is given the items of all who wait with the same one, to do them as one.

        An exception among its results is raised for its item alone, of which then it must have kept nothing.
        """
        with self._told():
            return self._turns.together(self._engine, work, item)

    def all_together(self, asked: Sequence[tuple[Work[Any, Any], Any]]) -> list[Any]:
        """What each of these works gives for its item, or the exception that it met; done as `together_as_one` does them."""
        found = self._turns.all_together(self._engine, asked)
        return [self._translated(result) if isinstance(result, SQLAlchemyError) else result for result in found]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees the database at one moment, and does not wait for who writes."""
        with self._told(), self._turn_of_readers(), self._reader.begin() as connection:
            yield connection

    def upsert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert with `on_conflict_do_update` and `on_conflict_do_nothing`."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def touch(self, connection: Connection, devices: Collection[str] | None = None) -> None:
        """Note that what these devices are told changed, or whether they may speak; without names, of any device.

        The revision rises by one, and DEVICES.changed of the devices is the new one.
        """
        self._turns.note()
        connection.execute(update(REVISION).values(number=REVISION.c.number + 1))
        number = connection.execute(select(REVISION.c.number)).scalar_one()
        if devices is None:
            connection.execute(update(DEVICES).values(changed=number))
            return
        for names in in_parts(sorted(devices)):
            connection.execute(update(DEVICES).where(DEVICES.c.device.in_(names)).values(changed=number))

    @property
    def touched(self) -> int:
        """Rises with every transaction of this process in which `touch` was called, once it has ended; asks no database."""
        return self._turns.noted

    def revision(self) -> int:
        """How often `touch` was called since the database was made."""
        with self.reading() as connection:
            return int(connection.execute(select(REVISION.c.number)).scalar_one())

    def copy_into(self, target: sqlite3.Connection) -> None:
        """Everything as it is at one moment into an empty SQLite database; only where this one `is_sqlite`."""
        with self._told(), self._turn_of_readers(), contextlib.closing(self._engine.raw_connection()) as connection:
            cast(sqlite3.Connection, connection.driver_connection).backup(target)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _turn_of_readers(self) -> AbstractContextManager[None]:
        """In memory there is one connection for all, so that its readers take turns with its writers; else none is needed."""
        return self._turns.alone() if self._is_in_memory else contextlib.nullcontext()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def _translated(self, error: SQLAlchemyError) -> StoreError:
        cause = str(getattr(error, "orig", None) or error).strip().replace("\n", " ")
        return StoreError(f"the control plane's database {self.place} cannot be used ({cause}); look at {self._help}.")


def in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many of these at once as a statement may hold; databases bound them."""
    return (values[at : at + _MANY] for at in range(0, len(values), _MANY))


_READS = "edgewright_reads"
_MANY = 500  # names of a statement


def _in_folder(folder: Path) -> Engine:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot use {folder} for the control plane: {error.strerror}; choose a writable folder.") from error
    return _sqlite(create_engine(f"sqlite:///{folder / FILE}", connect_args={"timeout": _WAIT_S}, pool_size=20))


def _in_memory() -> Engine:
    return _sqlite(create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool))


def _sqlite(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up(connection: Any, record: object) -> None:
    """Readers beside a writer, and a commit that no power cut takes back; transactions: `_begin_sqlite`."""
    connection.isolation_level = None
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    """Who reads first and writes then must hold the lock from the start, or SQLite refuses the write."""
    connection.exec_driver_sql("BEGIN" if _reads(connection) else "BEGIN IMMEDIATE")


def _address(where: str) -> URL:
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise UsageError("the database's address cannot be read; give postgresql://USER@HOST/NAME, or a folder.") from error
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise UsageError(
            f"{url.drivername} is no kind of database that is known; give postgresql://USER@HOST/NAME, or a folder for SQLite."
        )
    return url.set(drivername="postgresql+psycopg")


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True, pool_size=20, connect_args={"connect_timeout": int(_WAIT_S)})
    except ModuleNotFoundError as error:
        raise UsageError("PostgreSQL needs the package psycopg; install edgewright[postgres].") from error
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    if _reads(connection):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _tell_what_does_not_fit(context: ExceptionContext) -> UsageError | None:
    """The error in place of the one that a statement met: values that no row can hold are no fault of the database."""
    error = context.original_exception
    if isinstance(context.sqlalchemy_exception, DataError) or isinstance(error, (OverflowError, UnicodeEncodeError)):
        cause = str(error).strip().replace("\n", " ").encode("utf-8", "replace").decode()
        return UsageError(f"this cannot be kept ({cause}); give shorter texts, of whole characters, and smaller numbers.")
    return None


def _reads(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_READS))
