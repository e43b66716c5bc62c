"""What devices tell, written by one thread: all that waits at the same moment goes into one transaction.

A request waits for the disk, and for no thread: the event loop keeps it as a future. So thousands may wait while one thread
writes, and the busier the server is the fewer times it waits for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from sqlalchemy import Connection

from ...core.errors import StoreError
from .database import Database
from .turns import Item, T, Work

MOST_WAITING = 20_000  # requests
_AT_ONCE = 200  # works of a transaction
_GATHER_S = 0.02  # that the first waits for others: a transaction costs more than what is in it


class Writer:
    """For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting: list[tuple[Work[Any, Any], Any, asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, once it is on the disk; see `do_as_one`."""

        def alone(connection: Connection, _: list[None]) -> list[T | Exception]:
            return [work(connection)]

        return await self.do_as_one(alone, None)

    async def do_as_one(self, work: Work[Item, T], item: Item) -> T:
        """What `work` gives for `item`, once it is on the disk; see `Database.together_as_one`.

        Raises what it raised, and StoreError where the database cannot be used or too much waits.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise StoreError("more waits to be written than the database keeps up with; try again later.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        return cast(T, await future)

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(_GATHER_S)
            some, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            asked = [(work, item) for work, item, _ in some]
            try:
                found = await loop.run_in_executor(self._thread, self._database.all_together, asked)
            except BaseException as error:
                found = [error] * len(some)
            for (_, _, future), result in zip(some, found, strict=True):
                if future.done():  # who asked is gone
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        self._task = None
