"""The clock as a seam: what waits, times or dates something is given one, so that a test can let days pass in no time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, which may be wrong and may jump, and time that only rises."""

    def now(self) -> float:
        """Seconds since 1970 by the wall clock; a device without a battery may tell 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unknown moment of this boot; never falls."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since 1970 by the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an unknown moment of this boot."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(max(0.0, seconds))
