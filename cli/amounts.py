"""Shares and times as people write them: 5%, 10m, 2026-11-26T08:00:00Z."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

from ..core.errors import UsageError

_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")


def seconds(text: str, option: str) -> float:
    """Seconds of a time such as 90s, 10m, 2h or 1.5d; raises UsageError."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option} {text[:40]!r} is no time; give a number and s, m, h or d, for example 10m.")
    return float(found[1]) * _UNITS[found[2]]


def share(text: str, option: str) -> float:
    """A share of 1 from a percentage above 0 % and up to 100 %; raises UsageError."""
    found = _PERCENT.fullmatch(text.strip())
    value = float(found[1]) / 100 if found is not None else 0.0
    if not 0 < value <= 1:
        raise UsageError(f"{option} {text[:40]!r} is no share; give a percentage above 0% and up to 100%, for example 5%.")
    return value


def moment(text: str, what: str) -> float:
    """Seconds since 1970 of a number of them, or of a date and time (UTC where it names no zone); raises UsageError."""
    try:
        found = float(text)
    except ValueError:
        try:
            read = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            found = math.nan
        else:
            found = (read if read.tzinfo is not None else read.replace(tzinfo=timezone.utc)).timestamp()
    if not math.isfinite(found):
        raise UsageError(f"{what} {text[:40]!r} is no time; give seconds since 1970, or for example 2026-11-26T08:00:00Z.")
    return found
