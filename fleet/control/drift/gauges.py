"""What the metrics tell of drift, by model and version and never by device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ...drift.scope import FLEET, Scope
from ...drift.verdict import Estimated
from ..tables import ALERTS, DRIFT_WINDOWS
from .labelled import accuracy_view
from .reading import points_of
from .states import judged_until
from .views import CLOSED, AccuracyView, Point

LABELS_S = 7 * 86_400.0  # that labels are looked back at to withdraw an estimate, as in the report: they come late
_FRESH_S = 86_400.0  # before the newest window that was judged: what has none since then is told of no more


@dataclass(frozen=True)
class Gauges:
    """By labels, in their order.

    `distances` by model, version and measure: the largest of the newest window of each artifact. `alerts` by model, severity
    and kind of scope: how many are not closed. `accuracy` by model and version: the newest estimate, of several artifacts the
    lowest; none that labels contradict. `judged_until` is seconds since 1970, None before the first window.
    """

    distances: Mapping[tuple[str, str, str], float]
    alerts: Mapping[tuple[str, str, str], int]
    accuracy: Mapping[tuple[str, str], Estimated]
    judged_until: float | None


def gauges(connection: Connection, versions: Mapping[str, str]) -> Gauges:
    """As they are now; `versions` by digest."""
    until = judged_until(connection)
    counted: Counter[tuple[str, str, str]] = Counter()
    rows = connection.execute(
        select(ALERTS.c.model, ALERTS.c.severity, ALERTS.c.scope, func.count())
        .where(ALERTS.c.state != CLOSED)
        .group_by(ALERTS.c.model, ALERTS.c.severity, ALERTS.c.scope)
    )
    for model, severity, scope, count in rows:
        counted[model, severity, Scope.parse(scope).kind] += count
    distances: dict[tuple[str, str, str], float] = {}
    accuracy: dict[tuple[str, str], Estimated] = {}
    for model, points, view in _fresh(connection, until):
        version = versions.get(view.sha256, "unknown")
        for item in points[-1].judged.measures:
            key = model, version, item.measure
            distances[key] = max(item.distance, distances.get(key, 0.0))
        newest = view.newest
        if view.withdrawn is None and newest is not None and newest.estimate is not None:
            found = accuracy.get((model, version))
            if found is None or newest.estimate.accuracy < found.accuracy:
                accuracy[model, version] = newest.estimate
    return Gauges(dict(sorted(distances.items())), dict(sorted(counted.items())), dict(sorted(accuracy.items())), until)


def withdrawn_estimates(connection: Connection) -> dict[str, str]:
    """Why estimates of accuracy are withdrawn now, by model."""
    found = {
        model: view.withdrawn for model, _, view in _fresh(connection, judged_until(connection)) if view.withdrawn is not None
    }
    return dict(sorted(found.items()))


def _fresh(connection: Connection, until: float | None) -> Iterator[tuple[str, list[Point], AccuracyView]]:
    """Model, windows of LABELS_S and accuracy of each artifact that was judged in the last day before `until`."""
    since = 0.0 if until is None else until - _FRESH_S
    artifacts = (
        select(DRIFT_WINDOWS.c.model, DRIFT_WINDOWS.c.sha256)
        .where(DRIFT_WINDOWS.c.scope == str(FLEET), DRIFT_WINDOWS.c.start >= since)
        .distinct()
    )
    for model, sha256 in connection.execute(artifacts).all():
        points = points_of(connection, model, sha256, FLEET, since - LABELS_S + _FRESH_S)
        if points:
            yield model, points, accuracy_view(connection, model, sha256, points)
