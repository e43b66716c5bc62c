"""Virtual time: what happens at which moment, in order, and a clock that stands still while something happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Happening = Callable[[], None]


class Timeline:
    """A `core.clock.Clock` that moves from one happening to the next; of two at one moment the one that was put in first."""

    def __init__(self, start: float) -> None:
        """Begin at `start`, seconds since 1970."""
        self.start = self._now = start
        self._queue: list[tuple[float, int, Happening]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._now - self.start

    def sleep(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        self._now += max(0.0, seconds)

    def after(self, seconds: float, happening: Happening) -> None:
        """Let it happen so many seconds from now."""
        self._count += 1
        heapq.heappush(self._queue, (self._now + max(0.0, seconds), self._count, happening))

    def step(self, until: float) -> bool:
        """Go to the next happening up to `until` and let it happen; False where there is none, and the time is `until` then."""
        if not self._queue or self._queue[0][0] > until:
            self._now = max(self._now, until)
            return False
        moment, _, happening = heapq.heappop(self._queue)
        self._now = max(self._now, moment)
        happening()
        return True
