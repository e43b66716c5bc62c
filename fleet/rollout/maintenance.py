"""Maintenance windows: when devices may be assigned something, as "Sat,Sun 02:00-05:00 UTC", or without days, every day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import UsageError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_S, _WEEK_S = 86_400, 604_800
_MONDAY_S = 4 * _DAY_S  # 1970 began on a Thursday; its first Monday was the 5th
_TEXT = re.compile(r"(?:((?:\w{3})(?:,\w{3})*)\s+)?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})\s+UTC", re.ASCII)


@dataclass(frozen=True)
class MaintenanceWindow:
    """On `days` (0 is Monday) from `start` to `end`, minutes after midnight UTC; an end before the start is of the next day."""

    days: tuple[int, ...]
    start: int
    end: int

    @staticmethod
    def parse(text: str) -> MaintenanceWindow:
        """Inverse of `str`; raises UsageError."""
        found = _TEXT.fullmatch(text.strip())
        wrong = UsageError(
            f"the maintenance window {text[:100]!r} cannot be read; write for example 'Sat,Sun 02:00-05:00 UTC'."
        )
        if found is None:
            raise wrong
        names, *numbers = found.groups()
        named = names.split(",") if names else list(DAYS)
        if any(name not in DAYS for name in named):
            raise wrong
        hours, minutes = [int(number) for number in numbers[::2]], [int(number) for number in numbers[1::2]]
        start, end = (60 * hour + minute for hour, minute in zip(hours, minutes, strict=True))
        if max(minutes) > 59 or start >= 24 * 60 or end > 24 * 60 or start == end:
            raise wrong
        return MaintenanceWindow(tuple(sorted({DAYS.index(name) for name in named})), start, end)

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else ",".join(DAYS[day] for day in self.days) + " "
        return f"{days}{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02} UTC"

    def spans(self) -> list[tuple[int, int]]:
        """Its times as seconds from the begin of a week, Monday 00:00 UTC; an end may lie behind the week's."""
        length = 60 * ((self.end - self.start) % (24 * 60) or 24 * 60)
        begins = [day * _DAY_S + 60 * self.start for day in self.days]
        return [(begin, begin + length) for begin in begins]


def opens_in(windows: Sequence[MaintenanceWindow], now: float) -> float:
    """Seconds until the next of the windows opens, 0 while one is open and where there is none; `now` is seconds since 1970."""
    if not windows:
        return 0.0
    place = (now - _MONDAY_S) % _WEEK_S
    waits = []
    for begin, end in (span for window in windows for span in window.spans()):
        if begin <= place < end or begin <= place + _WEEK_S < end:
            return 0.0
        waits.append((begin - place) % _WEEK_S)
    return min(waits)
