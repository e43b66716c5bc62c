"""From what the engine judged to a report of one model."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from ....core.errors import UsageError
from ....stats.paired import proportion_bounds
from ...drift.scope import FLEET, Scope
from ...drift.settings import Settings
from ...drift.verdict import SEVERITIES, Severity
from ...protocol.bins import decode_bins
from ...protocol.measures import measures
from ..drift.store import Drift
from ..drift.views import CLOSED, STATES, AccuracyView, Histogram, Point, Trend, Watched
from ..drift.views import Alert as Found
from ..tables import ARTIFACTS
from .records import (
    Accuracy,
    AccuracyStep,
    Alert,
    Artifact,
    Bounds,
    Comparison,
    Counted,
    Estimate,
    Measure,
    ModelDrift,
    Report,
    Spread,
    Step,
)
from .seeing import changes, sights
from .sentences import ASSUMPTION, BLIND, change_of, summary

MAX_SINCE_S = 92 * 86400.0
_DAY_S = 86400.0
_MOST_STEPS = 336  # of a measure: hourly windows of two weeks
_MOST_DRIFTING = 12
_ALPHA = 0.05
_BOUNDS = Bounds(minor=Settings.minor, moderate=Settings.moderate, severe=Settings.severe)


def report_of(drift: Drift, model: str, since_s: float = 7 * _DAY_S, sha256: str | None = None) -> Report | None:
    """What is known of a model's drift in the last `since_s` seconds, or None where nothing was judged or counted of it.

    Windows and measures are of the artifact `sha256`, or without it of the one with the gravest alert, else with most requests.
    Raises UsageError for an artifact that was not counted, and StoreError.
    """
    overview = drift.overview(model, since_s)
    alerts = [alert_of(item) for item in drift.alerts(model, STATES) if item.state != CLOSED or item.last_at >= overview.since]
    alerts.sort(key=_gravity)
    if not overview.watched and not alerts:
        return None
    waiting = [item for item in alerts if item.state != CLOSED]
    chosen = _chosen(overview.watched, waiting, sha256)
    artifacts = [_artifact(item) for item in overview.watched]
    report = Report(
        model=model,
        at=drift.database.clock.now(),
        since=overview.since,
        severity=waiting[0].severity if waiting else None,
        summary=[],
        artifact=None if chosen is None else _artifact(chosen),
        artifacts=artifacts,
        window_s=0,
        windows=0,
        newest_start=None,
        devices=0,
        bounds=_BOUNDS,
        alerts=alerts,
        drifting=[],
        measures=[],
        accuracy=None,
    )
    if chosen is not None and chosen.newest is not None:
        _fill(drift, report, chosen, chosen.newest, [item for item in waiting if item.sha256 == chosen.sha256], since_s)
    changes = {item.id: _change(report.drifting, item) for item in waiting}
    farthest = report.measures[0].newest if report.measures else None
    report.summary = summary(waiting, changes, farthest, report.accuracy, report.window_s)
    return report


def models_of(drift: Drift, since_s: float = 7 * _DAY_S) -> list[ModelDrift]:
    """All models, those with the gravest alert first."""
    found = []
    for model in drift.models():
        overview = drift.overview(model, since_s)
        judged = [item for item in overview.watched if item.newest is not None]
        accuracy = max(judged, key=_requests).accuracy if judged else None
        newest = None if accuracy is None else accuracy.newest
        counted = {severity: sum(item.severity == severity for item in overview.alerts) for severity in SEVERITIES}
        found.append(
            ModelDrift(
                model=model,
                severity=_worst([item.severity for item in overview.alerts]),
                alerts={severity: count for severity, count in counted.items() if count},
                estimate=None if newest is None else Estimate.model_validate(newest.estimate),
                withdrawn=None if accuracy is None else accuracy.withdrawn,
                last_at=max((float(item.newest.start + item.newest.seconds) for item in judged if item.newest), default=None),
            )
        )
    return sorted(found, key=lambda item: (-_rank(item.severity), item.model))


def alert_of(found: Found) -> Alert:
    """An alert as it is told."""
    evidence = found.evidence
    compared = evidence.get("compared") or {}
    return Alert(
        id=found.id,
        model=found.model,
        sha256=found.sha256,
        measure=found.measure,
        scope=str(found.scope),
        severity=found.severity,
        state=found.state,  # type: ignore[arg-type]
        first_at=found.first_at,
        last_at=found.last_at,
        windows=found.windows,
        acknowledged_by=found.acknowledged_by,
        sentence=evidence.get("sentence", ""),
        distance=compared.get("distance"),
        low=compared.get("low"),
        high=compared.get("high"),
        drifting=evidence.get("drifting"),
        reach=evidence.get("reach"),
        devices=list(evidence.get("devices", ())),
        ended=evidence.get("closed", ""),
    )


def _fill(drift: Drift, report: Report, chosen: Watched, newest: Point, waiting: Sequence[Alert], since_s: float) -> None:
    """Put what is known of one artifact into the report."""
    trends = drift.measures(report.model, since_s, chosen.sha256)
    recent = min(since_s, _DAY_S)
    spreads = {item.measure: item for item in drift.histograms(report.model, recent, chosen.sha256)}
    report.measures = [_measure(FLEET, item, spreads.get(item.measure), report.at - recent) for item in trends]
    report.drifting = _drifting(drift, report, chosen.sha256, waiting, since_s)
    report.accuracy = _accuracy(drift, chosen.accuracy)
    report.window_s, report.newest_start, report.devices = newest.seconds, newest.start, newest.judged.devices
    report.windows = len(chosen.accuracy.points)
    report.sights = sights(report.measures, Settings())
    report.changes = changes(*drift.windows(report.model, since_s, chosen.sha256))


def _drifting(drift: Drift, report: Report, sha256: str, waiting: Sequence[Alert], since_s: float) -> list[Measure]:
    """The measures of the gravest alerts, each in its scope, counted since it began to drift."""
    found = []
    trends: dict[str, dict[str, Trend]] = {}
    for alert in waiting[:_MOST_DRIFTING]:
        scope = Scope.parse(alert.scope)
        if alert.scope not in trends:
            trends[alert.scope] = {item.measure: item for item in drift.measures(report.model, since_s, sha256, scope)}
        trend = trends[alert.scope].get(alert.measure)
        if trend is None:
            continue
        begin = max(alert.first_at, report.since)
        looked = max(report.at - begin, report.window_s, 1.0)
        spread = next(
            (item for item in drift.histograms(report.model, looked, sha256, scope) if item.measure == alert.measure), None
        )
        found.append(_measure(scope, trend, spread, begin))
    return found


def _measure(scope: Scope, trend: Trend, spread: Histogram | None, since: float) -> Measure:
    return Measure(
        scope=str(scope),
        newest=Comparison.model_validate(trend.newest),
        steps=_steps(trend),
        spread=None
        if spread is None
        else Spread(edges=list(spread.edges), reference=list(spread.reference), counts=list(spread.counts), since=since),
        change="" if spread is None else change_of(trend.kind, spread.edges, spread.reference, spread.counts).sentence,
    )


def _steps(trend: Trend) -> list[Step]:
    """The windows; of many, the farthest of each group of neighbours, and the newest."""
    points = trend.points
    size = -(-len(points) // _MOST_STEPS)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    chosen = [max(group, key=lambda point: point[1].low) for group in groups[:-1]] + [points[-1]]
    return [
        Step(start=start, distance=item.distance, low=item.low, high=item.high, severity=item.severity)
        for start, item in chosen
    ]


def _accuracy(drift: Drift, view: AccuracyView) -> Accuracy:
    steps = [
        AccuracyStep(
            start=item.start,
            seconds=item.seconds,
            estimate=None if item.estimate is None else Estimate.model_validate(item.estimate),
            counted=_counted(item.right, item.labelled),
        )
        for item in view.points
    ]
    newest, labelled = view.newest, [item for item in view.points if item.labelled]
    until = labelled[-1].start + labelled[-1].seconds if labelled else None
    of_day = [item for item in labelled if until is not None and item.start + item.seconds > until - _DAY_S]
    return Accuracy(
        steps=steps,
        estimate=None if newest is None else Estimate.model_validate(newest.estimate),
        counted=_counted(sum(item.right for item in of_day), sum(item.labelled for item in of_day)),
        counted_until=until,
        reference=_reference(drift, view.sha256),
        withdrawn=view.withdrawn,
        assumption=ASSUMPTION,
        blind=BLIND,
    )


def _reference(drift: Drift, sha256: str) -> float | None:
    """How many of the labelled samples were right at compile time, or None where the bins do not say."""
    with drift.database.reading() as connection:
        query = select(ARTIFACTS.c.bins).where(ARTIFACTS.c.sha256 == sha256, ARTIFACTS.c.bins.is_not(None)).limit(1)
        data = connection.execute(query).scalar()
    for item in () if data is None else measures(decode_bins(data)):
        if item.correct is not None and item.of_class is None and any(item.counts):
            return sum(item.correct) / sum(item.counts)
    return None


def _counted(right: int, labelled: int) -> Counted | None:
    if not labelled:
        return None
    low, high = proportion_bounds(right, labelled, _ALPHA / 2)
    return Counted(accuracy=right / labelled, low=float(low), high=float(high), right=right, labelled=labelled)


def _chosen(watched: Sequence[Watched], waiting: Sequence[Alert], sha256: str | None) -> Watched | None:
    known = {item.sha256: item for item in watched}
    if sha256 is not None:
        if sha256 not in known:
            raise UsageError(f"no device counted the artifact {sha256[:12]} in that time; look further back, or leave it away.")
        return known[sha256]
    alarmed = next((known[item.sha256] for item in waiting if item.sha256 in known and known[item.sha256].newest), None)
    return alarmed or max(watched, key=_requests, default=None)


def _requests(item: Watched) -> tuple[bool, int, str]:
    return item.newest is not None, 0 if item.newest is None else item.newest.requests, item.sha256


def _artifact(item: Watched) -> Artifact:
    requests = 0 if item.newest is None else item.newest.requests
    return Artifact(sha256=item.sha256, version=item.version, profile=item.profile, requests=requests, why_not=item.why_not)


def _change(drifting: Sequence[Measure], alert: Alert) -> str:
    return next((item.change for item in drifting if (item.scope, item.newest.measure) == (alert.scope, alert.measure)), "")


def _gravity(item: Alert) -> tuple[bool, int, float, float, int]:
    """Sorts what waits before what is closed, the gravest first, then what reaches most devices, then the farthest."""
    return item.state == CLOSED, -_rank(item.severity), -(item.reach or 0.0), -(item.low or 0.0), item.id


def _worst(severities: Sequence[Severity]) -> Severity | None:
    return max(severities, key=SEVERITIES.index, default=None)


def _rank(severity: Severity | None) -> int:
    return -1 if severity is None else SEVERITIES.index(severity)
