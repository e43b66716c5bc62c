"""When one device polls next: in the slot that its server told it, or, where none did, by chance."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..protocol.poll import PollSlot, next_slot
from .effects import Patience, jittered


@dataclass(frozen=True)
class Rhythm:
    """Seconds between polls of a device that was told no slot, on average; the first comes within `first_s`; after failures
    the waits grow to `longest_s`."""

    poll_s: float = 300.0
    first_s: float = 10.0
    longest_s: float = 3600.0


class Pace:
    """The polls of one device; moments are of its monotonic clock, in seconds.

    A slot holds until another is told, whatever fails meanwhile: the server is asked no more often in an outage than without,
    and no device has to make up for anything when it ends.
    """

    def __init__(self, rhythm: Rhythm, chance: random.Random) -> None:
        self._rhythm, self._chance = rhythm, chance
        self._due: float | None = None
        self._period_s = 0.0
        self._failures = 0  # in a row

    def first(self) -> float:
        """Seconds from the start to the first poll."""
        return self._chance.uniform(0.0, self._rhythm.first_s)

    def told(self, slot: PollSlot | None, now: float) -> None:
        """The server answered now, with this slot or none."""
        self._due, self._period_s = (None, 0.0) if slot is None else (now + slot.after_s, slot.period_s)

    def wait(self, now: float, is_well: bool) -> float:
        """Seconds to the next poll after one that went well, or did not."""
        self._failures = 0 if is_well else self._failures + 1
        if self._due is not None:
            self._due = next_slot(self._due, self._period_s, now)
            return self._due - now
        rhythm = self._rhythm
        if self._failures:
            return jittered(Patience(base_s=rhythm.poll_s / 2, longest_s=rhythm.longest_s), self._chance, self._failures)
        return self._chance.uniform(0.0, 2 * rhythm.poll_s)
