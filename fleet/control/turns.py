"""One writer at a time within a process, and works that wait at the same moment done in one transaction.

Who comes first takes all works that wait, does them one after the other, each with a savepoint, and commits once; those who
brought the others find theirs done. Works of one kind are done as one, with as few statements. So the more wait, the less each
costs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

T = TypeVar("T")
Item = TypeVar("Item")
# Given the items of all who wait, the result of each in their order; an exception among them is raised for its item alone.
Work = Callable[[Connection, list[Item]], Sequence[T | Exception]]


class _Work:
    def __init__(self, work: Work[Any, Any], item: Any) -> None:
        self.work, self.item = work, item
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

    def together(self, engine: Engine, work: Work[Item, T], item: Item) -> T:
        """What `work` gives for `item`, after its commit; raises what it raised, or what the commit did."""
        mine = _Work(work, item)
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

    def all_together(self, engine: Engine, asked: Sequence[tuple[Work[Any, Any], Any]]) -> list[Any]:
        """What each work gives for its item, or the exception that it met, all in one transaction, as `together` does it."""
        works = [_Work(work, item) for work, item in asked]
        with self.alone():
            _commit(engine, works)
        return [work.result if work.error is None else work.error for work in works]

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
    groups: dict[Work[Any, Any], list[_Work]] = {}
    for work in works:
        groups.setdefault(work.work, []).append(work)
    try:
        with engine.begin() as connection:
            for group in groups.values():
                _do(connection, group, is_alone=len(groups) == 1)
    except BaseException as error:
        for work in works:
            work.error = work.error or error
        if not isinstance(error, Exception):
            raise


def _do(connection: Connection, group: list[_Work], is_alone: bool) -> None:
    """Do works that are one; without others a savepoint would save nothing."""
    try:
        with contextlib.nullcontext() if is_alone else connection.begin_nested():
            results = group[0].work(connection, [work.item for work in group])
    except Exception as error:
        for work in group:
            work.error = error
        if is_alone:
            raise
        return
    for work, result in zip(group, results, strict=True):
        if isinstance(result, Exception):
            work.error = result
        else:
            work.result = result
