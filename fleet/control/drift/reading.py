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


def windows_of(model: str, sha256: str, scope: Scope, since: float) -> Select[Any]:
    """Rows of an artifact's windows in a scope that began at `since` or later, the oldest first."""
    windows = DRIFT_WINDOWS.c
    return (
        select(DRIFT_WINDOWS)
        .where(windows.model == model, windows.sha256 == sha256, windows.scope == str(scope), windows.start >= since)
        .order_by(windows.start)
    )


def points_of(connection: Connection, model: str, sha256: str, scope: Scope, since: float) -> list[Point]:
    """These windows and what was judged of them."""
    return list(_points(connection, windows_of(model, sha256, scope, since)))


def _points(connection: Connection, query: Select[Any]) -> Iterator[Point]:
    for row in connection.execute(query):
        if row.judged is not None:
            window, judged = Window.decode(row.data), Judged.from_json(json.loads(row.judged))
            yield Point(row.start, row.seconds, window.requests, window.samples, judged)
