"""What goes on beside the requests: the memory of polls follows the database, and what it gathered is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from ...core.errors import EdgewrightError
from .polls import Polls

log = logging.getLogger("edgewright.control")

_LOOK_S = 1.0  # between two looks for what other processes changed
_FLUSH_S = 30.0  # between two writings of when devices asked last
_WAIT_S = 0.25  # that a request waits at most for what this process changed
_NEWCOMER_S = 5.0  # and where it is refused otherwise: this process may have enrolled its device just now
_STRANGER_S = 0.1  # between two looks for devices that are not known


class Keeper:
    """Works in threads of its own, so that the event loop waits for none of it and requests take none of its threads."""

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="polls")
        self._looking: asyncio.Future[None] | None = None
        self._stranger_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look and write until the block ends, and write once more then."""
        tasks = [
            asyncio.create_task(self._every(_LOOK_S, self._look)),
            asyncio.create_task(self._every(_FLUSH_S, self._flush)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._in_thread(self._flush)
            self._threads.shutdown()

    async def catch_up(self, wait_s: float = _WAIT_S) -> None:
        """Wait until what this process changed is known, at most so long, and for two looks: one may have begun before it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        for _ in range(2):
            if self._polls.is_behind:
                await asyncio.wait([self._look_once()], timeout=until - loop.time())

    async def look_for_stranger(self) -> None:
        """Look for a device that is not known: it may have enrolled just now, here or in another process.

        Many strangers share a look.
        """
        if self._polls.is_behind:
            await self.catch_up(_NEWCOMER_S)
            return
        loop = asyncio.get_running_loop()
        if self._looking is None and loop.time() - self._stranger_at < _STRANGER_S:
            return
        self._stranger_at = loop.time()
        await asyncio.wait([self._look_once()], timeout=_WAIT_S)

    def _look_once(self) -> asyncio.Future[None]:
        """The look that is under way, or a new one."""
        if self._looking is None:
            self._looking = self._in_thread(self._look)
            self._looking.add_done_callback(self._looked)
        return self._looking

    def _looked(self, done: asyncio.Future[None]) -> None:
        self._looking = None

    def _in_thread(self, work: Callable[[], None]) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._in_thread(work)

    def _look(self) -> None:
        _tried(self._polls.look, "what changed cannot be read")

    def _flush(self) -> None:
        _tried(self._polls.flush, "when devices asked last cannot be written")


def _tried(work: Callable[[], object], failing: str) -> None:
    """Nothing that fails here stops devices from being answered; it is tried again."""
    try:
        work()
    except EdgewrightError as error:
        log.warning("%s: %s", failing, error)
    except Exception:
        log.exception("%s, by a mistake of Edgewright's own", failing)
