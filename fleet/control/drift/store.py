"""Drift as people see it: what the engine judged, read from the database, and the word that somebody has seen an alert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from ....core.errors import UsageError
from ....core.manifest import HistogramBins
from ...drift.scope import FLEET, Scope
from ...drift.settings import Settings
from ...drift.verdict import Compared
from ...drift.watched import watched_measures
from ...protocol.bins import decode_bins
from ...protocol.window import Window, merge_all
from ..audit import record
from ..database import Database
from ..tables import ALERTS, ARTIFACTS, DRIFT_WINDOWS, WINDOWS
from .labelled import accuracy_view
from .reading import points_of, windows_of
from .states import first_day
from .views import (
    ACKNOWLEDGED,
    CLOSED,
    OPEN,
    AccuracyView,
    Alert,
    Histogram,
    Overview,
    Point,
    Trend,
    Watched,
    to_alert,
)

_DAY_S = 86_400.0
_MOST_ALERTS = 1000


class Drift:
    """What drifts. Safe for several threads; every method raises StoreError when the database cannot be used.

    `since_s` is how far back windows are looked at, in seconds; of more than 2,000 the newest are. Where no `sha256` is given
    the artifact is meant whose windows are the newest, of several the one with the most requests.
    """

    def __init__(self, database: Database, settings: Settings | None = None) -> None:
        """`settings` as the engine has them."""
        self.database = database
        self._first_windows = (settings or Settings()).first_windows

    def models(self) -> list[str]:
        """Models of which something was judged or alerted, by name."""
        with self.database.reading() as connection:
            found = {row.model for row in connection.execute(select(DRIFT_WINDOWS.c.model).distinct())}
            return sorted(found | {row.model for row in connection.execute(select(ALERTS.c.model).distinct())})

    def overview(self, model: str, since_s: float = 7 * _DAY_S) -> Overview:
        """The model's artifacts and alerts that are not closed; without artifacts where nothing was judged."""
        since = self._since(since_s)
        with self.database.reading() as connection:
            offered = {
                row.sha256: row
                for row in connection.execute(
                    select(
                        ARTIFACTS.c.sha256, ARTIFACTS.c.version, ARTIFACTS.c.profile, ARTIFACTS.c.bins.is_not(None).label("has")
                    ).where(ARTIFACTS.c.model == model)
                )
            }  # fmt: skip
            judged = _artifacts(connection, model, since)
            counted = connection.execute(
                select(WINDOWS.c.sha256).where(WINDOWS.c.model == model, WINDOWS.c.received_at >= since).distinct()
            ).scalars()
            watched = []
            for sha256 in [*judged, *sorted(set(counted) - set(judged))]:
                points = points_of(connection, model, sha256, FLEET, since)
                known = offered.get(sha256)
                watched.append(
                    Watched(
                        sha256,
                        None if known is None else known.version,
                        None if known is None else known.profile,
                        points[-1] if points else None,
                        accuracy_view(connection, model, sha256, points),
                        "" if points else _why_not(known),
                    )
                )
            alerts = _alerts(connection, model, (OPEN, ACKNOWLEDGED))
        return Overview(model, since, tuple(sorted(watched, key=lambda item: -(item.version or 0))), tuple(alerts))

    def points(self, model: str, since_s: float = 7 * _DAY_S, sha256: str | None = None, scope: Scope = FLEET) -> list[Point]:
        """Windows of an artifact in a scope, the oldest first."""
        since = self._since(since_s)
        with self.database.reading() as connection:
            sha256 = sha256 or _newest(connection, model, since)
            return [] if sha256 is None else points_of(connection, model, sha256, scope, since)

    def measures(self, model: str, since_s: float = 7 * _DAY_S, sha256: str | None = None, scope: Scope = FLEET) -> list[Trend]:
        """What is watched of an artifact, each measure over its windows, those that drift farthest now first."""
        found: dict[str, list[tuple[int, Compared]]] = {}
        for point in self.points(model, since_s, sha256, scope):
            for item in point.judged.measures:
                found.setdefault(item.measure, []).append((point.start, item))
        trends = [Trend(name, points[-1][1].kind, tuple(points)) for name, points in found.items()]
        return sorted(trends, key=lambda item: (-item.newest.low, -item.newest.distance, item.measure))

    def histograms(
        self, model: str, since_s: float = _DAY_S, sha256: str | None = None, scope: Scope = FLEET
    ) -> list[Histogram]:
        """Each measure's counts over the windows of a scope beside its reference, in the artifact's order."""
        since = self._since(since_s)
        with self.database.reading() as connection:
            sha256 = sha256 or _newest(connection, model, since)
            if sha256 is None:
                return []
            windows = [Window.decode(row.data) for row in connection.execute(windows_of(model, sha256, scope, since))]
            bins = connection.execute(
                select(ARTIFACTS.c.bins).where(ARTIFACTS.c.sha256 == sha256, ARTIFACTS.c.bins.is_not(None)).limit(1)
            ).scalar()
            reference = first_day(connection, model, sha256, self._first_windows)
        if not windows or bins is None:
            return []
        merged = merge_all(windows)
        return [
            Histogram(item.name, item.kind, item.edges, item.reference, item.of_window(merged))
            for item in watched_measures(decode_bins(bins), reference)
        ]

    def windows(self, model: str, since_s: float, sha256: str) -> tuple[list[tuple[int, Window]], tuple[HistogramBins, ...]]:
        """The fleet's windows of an artifact with their starts, the oldest first, and its bins."""
        with self.database.reading() as connection:
            rows = connection.execute(windows_of(model, sha256, FLEET, self._since(since_s))).all()
            query = select(ARTIFACTS.c.bins).where(ARTIFACTS.c.sha256 == sha256, ARTIFACTS.c.bins.is_not(None)).limit(1)
            bins = connection.execute(query).scalar()
        return [(row.start, Window.decode(row.data)) for row in rows], () if bins is None else decode_bins(bins)

    def scopes(self, model: str, since_s: float = 7 * _DAY_S, sha256: str | None = None) -> list[Scope]:
        """Scopes of which windows are kept, the fleet first."""
        since = self._since(since_s)
        with self.database.reading() as connection:
            sha256 = sha256 or _newest(connection, model, since)
            which = (DRIFT_WINDOWS.c.model == model, DRIFT_WINDOWS.c.sha256 == sha256, DRIFT_WINDOWS.c.start >= since)
            names = set(connection.execute(select(DRIFT_WINDOWS.c.scope).where(*which).distinct()).scalars())
        return sorted(map(Scope.parse, names), key=lambda item: (item.kind != "fleet", str(item)))

    def accuracy(self, model: str, since_s: float = 7 * _DAY_S, sha256: str | None = None) -> AccuracyView | None:
        """Accuracy of an artifact over its windows, estimated and counted; None where nothing was judged."""
        since = self._since(since_s)
        with self.database.reading() as connection:
            sha256 = sha256 or _newest(connection, model, since)
            if sha256 is None:
                return None
            return accuracy_view(connection, model, sha256, points_of(connection, model, sha256, FLEET, since))

    def alerts(self, model: str | None = None, states: Sequence[str] = (OPEN, ACKNOWLEDGED)) -> list[Alert]:
        """Alerts in these states, of one model or all, the newest first, at most 1,000."""
        with self.database.reading() as connection:
            return _alerts(connection, model, states)

    def alert(self, number: int) -> Alert:
        """One alert; raises UsageError for one that there is not."""
        with self.database.reading() as connection:
            return _one(connection, number)

    def acknowledge(self, number: int, actor: str) -> Alert:
        """Note that somebody has seen an alert; again by the same or another changes nothing. Raises UsageError if closed."""
        with self.database.transaction() as connection:
            found = _one(connection, number)
            if found.state == CLOSED:
                raise UsageError(f"alert {number} is closed already; there is nothing to acknowledge.")
            if found.state == OPEN:
                connection.execute(
                    update(ALERTS).where(ALERTS.c.id == number).values(state=ACKNOWLEDGED, acknowledged_by=actor)
                )
                told = {"measure": found.measure, "scope": str(found.scope), "severity": found.severity}
                record(connection, self.database, actor, "acknowledge-alert", f"{found.model}/{number}", told)
            return _one(connection, number)

    def _since(self, since_s: float) -> float:
        if not (math.isfinite(since_s) and since_s > 0):
            raise UsageError(f"{since_s:g} seconds is no time to look back; give a positive number, for example 604800.")
        return self.database.clock.now() - since_s


def _one(connection: Connection, number: int) -> Alert:
    row = connection.execute(select(ALERTS).where(ALERTS.c.id == number)).first()
    if row is None:
        raise UsageError(f"there is no alert {number}; `edgewright drift list` shows those that there are.")
    return to_alert(row)


def _alerts(connection: Connection, model: str | None, states: Sequence[str]) -> list[Alert]:
    which = [ALERTS.c.state.in_(states), *([] if model is None else [ALERTS.c.model == model])]
    rows = connection.execute(select(ALERTS).where(*which).order_by(ALERTS.c.id.desc()).limit(_MOST_ALERTS))
    return [to_alert(row) for row in rows]


def _artifacts(connection: Connection, model: str, since: float) -> list[str]:
    which = (DRIFT_WINDOWS.c.model == model, DRIFT_WINDOWS.c.start >= since)
    return list(connection.execute(select(DRIFT_WINDOWS.c.sha256).where(*which).distinct()).scalars())


def _newest(connection: Connection, model: str, since: float) -> str | None:
    newest = (
        select(func.max(DRIFT_WINDOWS.c.start)).where(DRIFT_WINDOWS.c.model == model, DRIFT_WINDOWS.c.scope == str(FLEET))
    ).scalar_subquery()
    rows = connection.execute(
        select(DRIFT_WINDOWS.c.sha256, DRIFT_WINDOWS.c.data).where(
            DRIFT_WINDOWS.c.model == model,
            DRIFT_WINDOWS.c.scope == str(FLEET),
            DRIFT_WINDOWS.c.start == newest,
            DRIFT_WINDOWS.c.start >= since,
        )
    ).all()
    return max(rows, key=lambda row: (Window.decode(row.data).requests, row.sha256)).sha256 if rows else None


def _why_not(known: Row[Any] | None) -> str:
    if known is None:
        return "the repository never offered this artifact, so that its bins are not known."
    if not known.has:
        return "the artifact was published without bins; publish it with those that `edgewright compile` writes."
    return "its first window is not over yet."
