"""One writer at a time within a process, and works that wait at the same moment done in one transaction.

Who comes first takes all works that wait, does them one after the other, each with a savepoint, and commits once; those who
brought the others find theirs done. So the more wait, the less each costs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

T = TypeVar("T")


class _Work:
    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Turns:
    """Turns of the threads of this process at a database."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: int | None = None
        self._waiting: list[_Work] = []
        self._is_noted = False
        self.noted = 0  # turns that ended after `note`

    def note(self) -> None:
        """Count this turn in `noted` once it has ended; for who holds it."""
        self._is_noted = True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the turn; raises RuntimeError in a thread that holds it already, which would wait for itself for ever."""
        with self._changed:
            self._check_not_mine()
            while self._holder is not None:
                self._changed.wait()
            self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._end()

    def together(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        """What `work` gives, after its commit; raises what it raised, or what the commit did."""
        mine = _Work(work)
        with self._changed:
            self._check_not_mine()
            self._waiting.append(mine)
            while not mine.is_done and self._holder is not None:
                self._changed.wait()
            if not mine.is_done:
                self._holder = threading.get_ident()
                works, self._waiting = self._waiting, []
        if not mine.is_done:
            try:
                _commit(engine, works)
            finally:
                self._end(works)
        if mine.error is not None:
            raise mine.error
        return cast(T, mine.result)

    def _check_not_mine(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError("a transaction was begun within another of the same thread")

    def _end(self, works: list[_Work] | None = None) -> None:
        with self._changed:
            for work in works or ():
                work.is_done = True
            self.noted += self._is_noted
            self._is_noted, self._holder = False, None
            self._changed.notify_all()


def _commit(engine: Engine, works: list[_Work]) -> None:
    """Do all works and commit; an error of one is its own, an error of the transaction is everyone's."""
    try:
        with engine.begin() as connection:
            for work in works:
                try:
                    if len(works) == 1:
                        work.result = work.work(connection)
                    else:
                        with connection.begin_nested():
                            work.result = work.work(connection)
                except Exception as error:
                    work.error = error
                    if len(works) == 1:
                        raise
    except BaseException as error:
        for work in works:
            work.error = work.error or error
        if not isinstance(error, Exception):
            raise
