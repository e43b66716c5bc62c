"""The page of telemetry: requests of one model by version, how their latencies spread, and how they went over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from ....core.errors import UsageError
from ...protocol.window import LATENCY_EDGES_MS, Window
from ...rollout.query import parse
from ..attributes import attributes_of
from ..database import Database
from ..rollouts.shelf import bins_of
from ..tables import TALLIES, WINDOWS
from ..telemetry import Tally, tallies
from .models import version_text, versions_of
from .series_picture import MOST, Axis, Series, log_axis, series_picture, time_axis
from .traffic import latency_quantile, traffic_of
from .views import Figure, TelemetryView
from .words import count, digest, number, percent

_SIZES = ((760.0, 290.0), (360.0, 270.0))
_MOST_WINDOWS = 5000
_PERIODS = (60, 300, 900, 3600, 6 * 3600, 86400)  # seconds of a point on the pictures over time
_POINTS = 72


def telemetry_view(database: Database, now: float, model: str, where: str) -> TelemetryView:
    """Traffic of `model`, or of the first that there is, on the devices that `where` means."""
    with database.reading() as connection:
        names = [row.model for row in connection.execute(select(TALLIES.c.model).distinct().order_by(TALLIES.c.model))]
    model = model or (names[0] if names else "")
    try:
        found = tallies(database, model, where=where)
    except UsageError as error:
        return TelemetryView(names, model, where, str(error), (), (), "")
    with database.reading() as connection:
        windows, is_cut = _windows(connection, now, model, where)
        versions, bins = versions_of(connection), bins_of(connection, model)
    cohorts = [
        traffic_of(_title(item), item.window, item.devices, float(item.window.end), bins.get(item.window.sha256))
        for item in found
    ]
    figures = [_spread(found), *_over_time(windows, versions)] if found else []
    note = f"The pictures over time show the last {count(_MOST_WINDOWS)} windows." if is_cut else ""
    return TelemetryView(names, model, where, "", cohorts, [item for item in figures if item is not None], note)


def _title(item: Tally) -> str:
    if item.version is None:
        return f"unknown {digest(item.window.sha256)[:8]}"
    return f"version {item.version}" + (f", {item.profile}" if item.profile else "")


def _windows(connection: Connection, now: float, model: str, where: str) -> tuple[list[Window], bool]:
    """The last windows of a model on the devices that are meant, and whether there were more."""
    rows = connection.execute(
        select(WINDOWS.c.device, WINDOWS.c.data)
        .where(WINDOWS.c.model == model)
        .order_by(WINDOWS.c.received_at.desc())
        .limit(_MOST_WINDOWS + 1)
    ).all()
    is_cut, rows = len(rows) > _MOST_WINDOWS, rows[:_MOST_WINDOWS]
    if where.strip():
        query, known = parse(where), attributes_of(connection, now, {row.device for row in rows})
        rows = [row for row in rows if query.matches(known.get(row.device, {}))]
    return [Window.decode(row.data) for row in rows], is_cut


def _spread(found: Sequence[Tally]) -> Figure:
    """Shares of requests by bin of latency, between the first and the last bin that any version fills."""
    shown = [item for item in found if item.window.requests][:MOST]
    filled = [place for item in shown for place, number_ in enumerate(item.window.latency) if number_]
    low, high = max(min(filled, default=0) - 1, 0), min(max(filled, default=8) + 1, len(LATENCY_EDGES_MS) - 1)
    edges = [math.log10(edge) for edge in LATENCY_EDGES_MS]
    series = [
        Series(
            _title(item),
            [(edges[place], item.window.latency[place] / sum(item.window.latency)) for place in range(low, high + 1)],
        )
        for item in shown
        if sum(item.window.latency)
    ]
    axis = log_axis(LATENCY_EDGES_MS[low], LATENCY_EDGES_MS[high], "milliseconds a request")
    return _figure(
        "How latencies spread",
        "Share of a version's requests in each bin of latency, eight bins to a decade. A line further to the right is slower.",
        series,
        axis,
        percent,
    )


def _over_time(windows: Sequence[Window], versions: dict[str, int]) -> list[Figure]:
    """p90 and failures by period and artifact; nothing where all windows lie in one period."""
    if not windows:
        return []
    first, last = min(window.start for window in windows), max(window.end for window in windows)
    period = next((step for step in _PERIODS if (last - first) / step <= _POINTS), (last - first) // _POINTS)
    merged: dict[str, dict[int, Window]] = {}
    for window in windows:
        of_artifact, at = merged.setdefault(window.sha256, {}), window.start // period
        of_artifact[at] = of_artifact[at].merge(window) if at in of_artifact else window
    if max(len(of_artifact) for of_artifact in merged.values()) < 2:
        return []
    ordered = sorted(merged, key=lambda sha256: (-versions.get(sha256, 0), sha256))[:MOST]
    axis = time_axis(first // period * period, last // period * period)
    every = f"A point for every {_period_text(period)}, by the devices' clocks."
    kinds: tuple[tuple[str, str, Callable[[Window], float | None], Callable[[float], str]], ...] = (
        ("90 % of requests are answered within", every, _p90, lambda value: f"{number(value)} ms"),
        ("Requests that failed", every, _failed, lambda share: f"{number(100 * share)} %"),
    )
    figures = []
    for title, caption, measure, text in kinds:
        series = []
        for sha256 in ordered:
            values = [(at * period, measure(window)) for at, window in sorted(merged[sha256].items())]
            points = [(float(at), value) for at, value in values if value is not None and value < float("inf")]
            series.append(Series(f"version {version_text(sha256, versions)}" if sha256 in versions else sha256[:8], points))
        figures.append(_figure(title, caption, series, axis, text))
    return figures


def _p90(window: Window) -> float | None:
    return latency_quantile(window.latency, 0.9)


def _failed(window: Window) -> float | None:
    total = window.requests + sum(window.errors)
    return sum(window.errors) / total if total else None


def _period_text(seconds: int) -> str:
    for factor, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= factor:
            return word if round(seconds / factor) == 1 else f"{round(seconds / factor)} {word}s"
    return f"{seconds} seconds"


def _figure(title: str, caption: str, series: Sequence[Series], axis: Axis, text: Callable[[float], str]) -> Figure:
    label = f"{title}: " + "; ".join(
        f"{item.name} up to {text(max(value for _, value in item.points))}" for item in series if item.points
    )
    wide, narrow = (series_picture(series, axis, text, *size, label) for size in _SIZES)
    return Figure(title, "", [caption], wide, narrow)
