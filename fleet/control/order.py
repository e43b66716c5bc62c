"""Which of a device's reports is the later one, whatever order they come in.

Starts of an agent are ordered by the count that their names begin with; of two with one count the later is the one whose first
report came later. A device whose data folder was lost or brought back from a copy begins with a lower count again. That it did,
and that its reports are not just late ones of an earlier start, is known by time: no report is taken that was signed longer ago
than a signature holds. Such a start begins an era, and later eras are later whatever they count.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, bindparam, func, insert, select, update

from ..protocol.signature import MAX_SKEW_S
from .tables import REPORTS, STARTS

# A signature's time lies within MAX_SKEW_S of the server's, before or behind: from signing to arrival it is twice that at most.
LATE_S = 2 * MAX_SKEW_S
_COUNT = re.compile(r"[0-9]{1,18}")

Place = tuple[int, int, int, int]

# Statements are made once: to make one costs more than to ask the database.
_OF_DEVICE = STARTS.c.device == bindparam("of_device")
_OF_START = _OF_DEVICE, STARTS.c.boot == bindparam("of_boot")
_LATEST = select(STARTS).where(_OF_DEVICE).order_by(STARTS.c.era.desc(), STARTS.c.number.desc(), STARTS.c.place.desc()).limit(1)
_START = select(STARTS.c.era, STARTS.c.number, STARTS.c.place).where(*_OF_START)
_FIRST = select(func.min(REPORTS.c.place)).where(
    REPORTS.c.device == bindparam("of_device"), REPORTS.c.boot == bindparam("of_boot")
)
_ERA = update(STARTS).where(*_OF_START).values(era=bindparam("new_era"))


def note_start(connection: Connection, device: str, boot: str, now: float) -> None:
    """Remember the start that a report is of, which is in REPORTS already, and where it stands among the device's others."""
    mine = {"of_device": device, "of_boot": boot}
    latest = connection.execute(_LATEST, {"of_device": device}).first()
    if latest is not None and latest.boot == boot:
        return
    if connection.execute(_START, mine).first() is None:
        count = boot.partition("-")[0]
        connection.execute(
            insert(STARTS).values(
                device=device,
                boot=boot,
                era=0 if latest is None else latest.era,
                number=int(count) if _COUNT.fullmatch(count) else 0,
                place=connection.execute(_FIRST, mine).scalar_one(),
                first_at=now,
            )
        )
    if latest is None or now - latest.first_at <= LATE_S:
        return
    if _start(connection, device, boot) < (latest.era, latest.number, latest.place):
        connection.execute(_ERA, {**mine, "new_era": latest.era + 1})


def place_of(connection: Connection, device: str, boot: str, sequence: int) -> Place:
    """Where a report of a start that was noted stands: later ones are greater."""
    return *_start(connection, device, boot), sequence


def _start(connection: Connection, device: str, boot: str) -> tuple[int, int, int]:
    row = connection.execute(_START, {"of_device": device, "of_boot": boot}).one()
    return row.era, row.number, row.place
