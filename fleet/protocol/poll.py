"""When a device polls: in its own slot of every period, so that any number of devices ask at an even rate.

A device's slot is a place in the period that its name alone decides, by a hash: the server keeps nothing, two servers agree,
and a change of the period moves everybody at once without a crowd. The server answers each poll with the seconds until the
slot, and the period; the device keeps to it by its monotonic clock, also when a poll fails. So an outage changes no device's
slot: there is no crowd at its end, and no echo of one (Floyd and Jacobson, "The synchronization of periodic routing messages",
1994, on how waits that begin at the answer bring devices together).

    Edgewright-Poll-After: SECONDS      until this device shall ask again
    Edgewright-Poll-Period: SECONDS     between its slots
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

AFTER, PERIOD = "edgewright-poll-after", "edgewright-poll-period"
LEAST_S, MOST_S = 1.0, 86400.0  # of a wait and of a period that a device follows
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True)
class PollSlot:
    """What the server told: ask again `after_s` seconds from now, and every `period_s` seconds from then on."""

    after_s: float
    period_s: float

    def headers(self) -> dict[str, str]:
        """The header fields of an answer."""
        return {AFTER: f"{self.after_s:.3f}", PERIOD: f"{self.period_s:.3f}"}

    @staticmethod
    def told(headers: Mapping[str, str]) -> PollSlot | None:
        """What an answer's fields, by names in lower case, tell, within 1 s to a day; None where they tell nothing of it."""
        after, period = (_seconds(headers.get(name, "")) for name in (AFTER, PERIOD))
        return None if after is None or period is None else PollSlot(after, period)


def place_of(device: str) -> float:
    """Where in the period a device's slot is, in [0, 1)."""
    return int.from_bytes(hashlib.sha256(b"edgewright poll " + device.encode()).digest()[:6], "big") / 2**48


def seconds_until(place: float, period_s: float, now: float) -> float:
    """Seconds from `now` (since 1970) to the slot that is nearest to a period away: half a period to one and a half.

    Who asks a little early, or late, is thereby back in its slot with the next poll, and asks neither twice nor never.
    """
    ahead = (place * period_s - now) % period_s
    return ahead if ahead >= period_s / 2 else ahead + period_s


def _seconds(text: str) -> float | None:
    if not _SECONDS.fullmatch(text):
        return None
    return min(max(float(text), LEAST_S), MOST_S)


def next_slot(due: float, period_s: float, now: float) -> float:
    """The first moment after `now` that is whole periods from `due`, both of one clock: a slot that was missed stays missed."""
    if due > now:
        return due
    following = due + period_s * (math.floor((now - due) / period_s) + 1)
    # What floating point rounded away between two large moments is a period at most.
    return following if following > now else following + period_s
