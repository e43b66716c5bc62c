"""Telemetry by cohort: the tallies of the devices that a query means, merged by artifact."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from ..protocol.window import ERROR_KINDS, Window
from ..rollout.query import parse
from .attributes import attributes_of
from .database import Database
from .tables import ARTIFACTS, TALLIES


@dataclass(frozen=True)
class Tally:
    """Counts of one artifact over `devices`; version and profile are None where the repository never offered it."""

    window: Window
    version: int | None
    profile: str | None
    devices: int

    @property
    def errors(self) -> dict[str, int]:
        """Errors by kind."""
        return dict(zip(ERROR_KINDS, self.window.errors, strict=True))


def tallies(database: Database, model: str, version: int | None = None, where: str = "") -> list[Tally]:
    """Of each artifact of a model that was counted, the newest version first; raises UsageError for a query that is none."""
    query = parse(where)
    with database.reading() as connection:
        offered = {
            row.sha256: row
            for row in connection.execute(
                select(ARTIFACTS.c.sha256, ARTIFACTS.c.version, ARTIFACTS.c.profile).where(ARTIFACTS.c.model == model)
            )
        }
        rows = connection.execute(
            select(TALLIES.c.device, TALLIES.c.sha256, TALLIES.c.data)
            .where(TALLIES.c.model == model)
            .order_by(TALLIES.c.device)
        ).all()
        meant = attributes_of(connection, database.clock.now(), {row.device for row in rows}) if where.strip() else None
    merged: dict[str, Window] = {}
    counts: dict[str, int] = {}
    for row in rows:
        known = offered.get(row.sha256)
        if version is not None and (known is None or known.version != version):
            continue
        if meant is not None and not query.matches(meant.get(row.device, {})):
            continue
        window = Window.decode(row.data)
        merged[row.sha256] = merged[row.sha256].merge(window) if row.sha256 in merged else window
        counts[row.sha256] = counts.get(row.sha256, 0) + 1
    found = [
        Tally(
            window,
            None if sha256 not in offered else offered[sha256].version,
            None if sha256 not in offered else offered[sha256].profile,
            counts[sha256],
        )
        for sha256, window in merged.items()
    ]
    return sorted(found, key=lambda item: (-(item.version or 0), item.window.sha256))
