"""Whose a request is, by what is known in memory, and by the database where that may be newer."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from ...core.clock import Clock
from .auth import NotSigned, authenticate
from .keeper import Keeper
from .polls import Polls


class Door:
    """Verifies signatures."""

    def __init__(self, polls: Polls, keeper: Keeper, clock: Clock) -> None:
        self._polls, self._keeper, self._clock = polls, keeper, clock

    async def device(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> str:
        """Name of the device that signed a request with these fields (names in lower case); raises NotSigned or NotAllowed."""
        method, query = scope["method"], scope["query_string"].decode("ascii", "replace")
        path = scope.get("raw_path", scope["path"].encode()).decode("ascii", "replace").partition("?")[0]
        if self._polls.is_behind:
            await self._keeper.catch_up()
        before = self._polls.revision  # what is learnt while the signature is verified counts as news
        try:
            return authenticate(self._polls, self._clock, method, path, query, headers, body)
        except NotSigned:
            # The device may have been enrolled, or its new key taken, a moment ago.
            await self._keeper.look_for_stranger()
            if self._polls.revision == before:
                raise
        return authenticate(self._polls, self._clock, method, path, query, headers, body)
