"""Windows that were judged, read from the table DRIFT_WINDOWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, select

from ...drift.scope import Scope
from ...drift.verdict import Judged
from ...protocol.window import Window
from ..tables import DRIFT_WINDOWS
from .views import Point

MOST_WINDOWS = 2000  # looked at together: twelve weeks of hours


def windows_of(model: str, sha256: str, scope: Scope, since: float, most: int = MOST_WINDOWS) -> Select[Any]:
    """Rows (data, judged, start, seconds) of an artifact's windows in a scope that began at `since` or later, the oldest first.

    Where there are more than `most`, the newest of them.
    """
    windows = DRIFT_WINDOWS.c
    newest = (
        select(windows.data, windows.judged, windows.start, windows.seconds)
        .where(windows.model == model, windows.sha256 == sha256, windows.scope == str(scope), windows.start >= since)
        .order_by(windows.start.desc())
        .limit(most)
        .subquery()
    )
    return select(newest).order_by(newest.c.start)


def points_of(
    connection: Connection, model: str, sha256: str, scope: Scope, since: float, most: int = MOST_WINDOWS
) -> list[Point]:
    """These windows and what was judged of them; the newest `most` where there are more."""
    return list(_points(connection, windows_of(model, sha256, scope, since, most)))


def _points(connection: Connection, query: Select[Any]) -> Iterator[Point]:
    for row in connection.execute(query):
        if row.judged is not None:
            window, judged = Window.decode(row.data), Judged.from_json(json.loads(row.judged))
            yield Point(row.start, row.seconds, window.requests, window.samples, judged)
