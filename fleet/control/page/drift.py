"""From a report of drift to what the page and the report's file show: rows, pictures and their words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from ....stats.paired import proportion_bounds
from ...drift.scope import FLEET, Scope
from ..drift_report.records import Accuracy, AccuracyStep, Alert, Bounds, Measure, ModelDrift, Report
from ..drift_report.sentences import accuracy_sentences, change_of, distance_text, scope_text, share_text
from ..people import Person
from .band_picture import Band, Bound, Estimate, Stretch, band_picture, levels_from
from .marks import effect_mark
from .matrix_picture import SIGNS, Row, matrix_picture
from .path_picture import times
from .series_picture import time_axis
from .session import may
from .spread_picture import Spread, spread_picture
from .views import AlertRow, DriftPage, DriftView, Figure, MeasureRow, ModelsDrift, Pair, Pairs
from .words import NONE, Pill, alert_pill, count, number, percent, plural, sentence, severity_pill

_SIZES = ((760.0, 300.0), (360.0, 290.0))
_PAIR_SIZES = ((560.0, 270.0), (360.0, 260.0))
_MOST_PAIRS = 6
_MOST_ROWS = 24  # of the matrix
_MOST_COUNTED = 24  # points of counted accuracy
_LEAST_P = 1e-4
_PERIODS = (("day", 86400), ("week", 7 * 86400), ("month", 30 * 86400), ("quarter", 92 * 86400))
_ALPHA = 0.05


def drifts_view(models: Sequence[ModelDrift]) -> ModelsDrift:
    """The list of models."""
    rows = []
    for item in models:
        told = NONE if item.estimate is None else share_text(item.estimate)
        rows.append((item, _pill(item.severity, item.withdrawn is not None), "withdrawn" if item.withdrawn else told))
    return ModelsDrift(rows)


def drift_page(report: Report, since_s: int, person: Person) -> DriftPage:
    """The page of a model for a person."""
    return DriftPage(drift_view(report), may(person, "operator"), since_s, _PERIODS)


def drift_view(report: Report) -> DriftView:
    """The report as it is shown."""
    alerts = {(item.scope, item.measure): item for item in report.alerts if item.state != "closed"}
    changes = {(item.scope, item.newest.measure): item.change for item in report.drifting}
    pairs = [_pair(report, item, alerts.get((item.scope, item.newest.measure))) for item in report.drifting[:_MOST_PAIRS]]
    return DriftView(
        report=report,
        pill=_pill(report.severity, report.accuracy is not None and report.accuracy.withdrawn is not None),
        facts=_facts(report),
        alerts=[_alert(item, report.bounds, changes.get((item.scope, item.measure), "")) for item in report.alerts],
        accuracy=None if report.accuracy is None else _accuracy(report, report.accuracy),
        matrix=_matrix(report),
        pairs=pairs,
        more_pairs=len(alerts) - len(pairs),
        measures=[_row(item, report.bounds) for item in report.measures],
    )


def _pill(severity: str | None, is_withdrawn: bool) -> Pill:
    """The verdict in a word: inputs that lie as they did are no comfort where accuracy is not known."""
    if severity is None and is_withdrawn:
        return Pill("the estimate is withdrawn", "bad", "✕")
    return severity_pill(severity)


def _facts(report: Report) -> Pairs:
    if report.artifact is None or not report.windows:
        return []
    accuracy = report.accuracy
    estimate = None if accuracy is None else accuracy.estimate
    is_withdrawn = accuracy is not None and accuracy.withdrawn is not None
    told = NONE if estimate is None else "withdrawn" if is_withdrawn else percent(estimate.accuracy)
    counted = None if accuracy is None else accuracy.counted
    return [
        ("Open alerts", count(sum(item.state == "open" for item in report.alerts))),
        ("Estimated accuracy", told),
        ("Accuracy by labels", NONE if counted is None else percent(counted.accuracy)),
        ("Devices in the last window", count(report.devices)),
        ("Requests in it", count(report.artifact.requests)),
    ]


def _alert(item: Alert, bounds: Bounds, change: str) -> AlertRow:
    scope = Scope.parse(item.scope)
    has_distance = item.distance is not None and item.low is not None and item.high is not None
    href = ""
    if scope.kind == "device":
        href = f"/devices/{quote(scope.name, safe='')}"
    elif scope.kind == "attribute":
        value = scope.value.replace("\\", "\\\\").replace('"', '\\"')
        where = f'{scope.name} = "{value}"'
        href = f"/devices?where={quote(where, safe='')}"
    return AlertRow(
        id=item.id,
        severity=severity_pill(item.severity),
        state=alert_pill(item.state),
        measure=item.measure,
        where=scope_text(item.scope),
        href=href,
        sentence=item.ended if item.state == "closed" else change,
        distance=distance_text(item.distance, item.low, item.high) if has_distance else NONE,  # type: ignore[arg-type]
        mark=effect_mark(item.distance or 0.0, item.low or 0.0, item.high or 0.0, _levels(bounds)),
        reach=_reach(item) if scope.kind != "device" else "",
        devices=[] if scope.kind == "device" else item.devices,
        first_at=item.first_at,
        last_at=item.last_at,
        windows=plural(item.windows, "window"),
        is_open=item.state == "open",
    )


def _reach(item: Alert) -> str:
    """ "49 devices drift, 5 % of all"."""
    if not item.drifting:
        return ""
    told = plural(item.drifting, "device drifts", "devices drift")
    return told if item.reach is None else f"{told}, {percent(item.reach, 0)} of all"


def _row(item: Measure, bounds: Bounds) -> MeasureRow:
    newest = item.newest
    seasons = [("the window before", newest.last), ("a day before", newest.day), ("a week before", newest.week)]
    return MeasureRow(
        name=newest.measure,
        pill=Pill("below minor", "quiet", "·") if newest.severity is None else severity_pill(newest.severity),
        mark=effect_mark(newest.distance, newest.low, newest.high, _levels(bounds)),
        distance=distance_text(newest.distance, newest.low, newest.high),
        change=item.change,
        values=count(newest.count),
        psi=NONE if newest.psi is None else f"{newest.psi:.3f}",
        p=NONE if newest.p is None else f"< {_LEAST_P:g}" if newest.p < _LEAST_P else number(newest.p, 2),
        evidence=_evidence(newest.log_e, newest.is_alarm),
        seasons=", ".join(f"{words} {distance:.2f}" for words, distance in seasons if distance is not None),
    )


def _evidence(log_e: float | None, is_alarm: bool) -> str:
    if log_e is None:
        return NONE
    return f"{times(log_e)}, alarm" if is_alarm else times(log_e)


def _levels(bounds: Bounds) -> tuple[float, float, float]:
    return bounds.minor, bounds.moderate, bounds.severe


def _matrix(report: Report) -> Figure | None:
    """Which measures moved when, over the fleet: those that drifted or are farthest first."""
    first, last = _span(report)
    half = report.window_s / 2
    ranked = sorted(report.measures, key=lambda item: -max(_level(step.severity) for step in item.steps))[:_MOST_ROWS]
    if not ranked or not report.windows:
        return None
    rows = [Row(item.newest.measure, {step.start + half: _level(step.severity) for step in item.steps}) for item in ranked]
    moved = [item for item in ranked if any(step.severity for step in item.steps)]
    told = (
        f"{plural(len(moved), 'measure')} of {len(report.measures)} drifted in some window, alone or by an alarm."
        if moved
        else f"No measure of {len(report.measures)} drifted in any window."
    )
    axis = time_axis(first, last)
    longest = max((len(item.steps) for item in ranked), default=1)
    period = max(report.window_s, (last - first) / max(longest, 1))
    wide, narrow = (matrix_picture(rows, axis, period, size[0], told) for size in _SIZES)
    captions = [
        "Counts of the whole fleet, a column a window. Severity is by the lower bound of the distance in that window, and "
        "minor at least for what has raised an alarm, which asks for evidence over all windows and measures together."
    ]
    if len(report.measures) > len(ranked):
        captions.append(f"{plural(len(report.measures) - len(ranked), 'measure')} that moved less are left out.")
    return Figure("What moved, and when", told, captions, wide, narrow)


def _level(severity: str | None) -> int:
    return 0 if severity is None else SIGNS.index(severity)


def _accuracy(report: Report, accuracy: Accuracy) -> Figure | None:
    estimates = [
        Estimate(item.start + item.seconds / 2, item.estimate.accuracy, item.estimate.low, item.estimate.high)
        for item in accuracy.steps
        if item.estimate is not None
    ]
    counted = _counted(accuracy.steps)
    if not estimates and not counted:
        return None
    first, last = _span(report)
    is_withdrawn = accuracy.withdrawn is not None
    band = Band(
        estimates=estimates,
        name="estimated, without labels",
        gap=1.6 * report.window_s,
        measured=counted,
        measured_name="counted, where labels came",
        withdrawn=[Stretch(_first_withdrawn(accuracy), estimates[-1].x)] if is_withdrawn and estimates else (),
        withdrawn_name="the estimate is withdrawn",
        bounds=[] if accuracy.reference is None else [Bound(accuracy.reference, "then")],
    )
    lowest = min([item.low for item in (*estimates, *counted)])
    levels = (min(int(lowest * 10) / 10, 0.8), 1.0)
    told = " ".join(accuracy_sentences(accuracy))
    axis = time_axis(first, last)
    wide, narrow = (
        band_picture(band, axis, levels, lambda value: percent(value, 0), *size, f"Accuracy. {told}") for size in _SIZES
    )
    captions = [accuracy.assumption, accuracy.blind]
    if accuracy.reference is not None:
        captions.append("The dotted line is the accuracy at compile time, on labelled data.")
    return Figure("Accuracy", told, captions, wide, narrow)


def _first_withdrawn(accuracy: Accuracy) -> float:
    """The middle of the first window that is withdrawn: of all, or of the newest ones that their own counts make doubtful."""
    told = [item for item in accuracy.steps if item.estimate is not None]
    first = told[0]
    if accuracy.estimate is not None and accuracy.withdrawn == accuracy.estimate.doubt:
        for before, item in itertools.pairwise(told):
            if item.estimate is not None and before.estimate is not None and item.estimate.doubt and not before.estimate.doubt:
                first = item
    return first.start + first.seconds / 2


def _counted(steps: Sequence[AccuracyStep]) -> list[Estimate]:
    """Labels of neighbouring windows together, so that there are not more points than one can tell apart."""
    labelled = [item for item in steps if item.counted is not None]
    size = -(-len(labelled) // _MOST_COUNTED) or 1
    found = []
    for at in range(0, len(labelled), size):
        group = labelled[at : at + size]
        counts = [item.counted for item in group if item.counted is not None]
        right, total = sum(item.right for item in counts), sum(item.labelled for item in counts)
        low, high = proportion_bounds(right, total, _ALPHA / 2)
        middle = (group[0].start + group[-1].start + group[-1].seconds) / 2
        found.append(Estimate(middle, right / total, float(low), float(high)))
    return found


def _pair(report: Report, item: Measure, alert: Alert | None) -> Pair:
    """A measure that drifts: its values now and before, and how its distance went."""
    name = item.newest.measure
    where = "" if item.scope == str(FLEET) else f", {scope_text(item.scope)}"
    pictures = []
    if item.spread is not None and item.newest.kind != "errors":
        told = change_of(item.newest.kind, item.spread.edges, item.spread.reference, item.spread.counts)
        is_classes = item.newest.kind == "prediction"
        spread = Spread(item.spread.edges, item.spread.reference, item.spread.counts, is_classes, told.cut)
        pictures.append([spread_picture(spread, *size, f"Values of {name}. {item.change}") for size in _PAIR_SIZES])
    pictures.append([_distances(report, item, alert, *size) for size in _PAIR_SIZES])
    newest = item.newest
    moved = distance_text(newest.distance, newest.low, newest.high)
    captions = [f"Distance in the last window: {moved}, of {count(newest.count)} values."]
    seasons = [("the window before", newest.last), ("that of a day before", newest.day), ("of a week before", newest.week)]
    apart = [f"{words} {distance:.2f}" for words, distance in seasons if distance is not None]
    if apart:
        season = ": a season comes again, a drift stays" if len(apart) > 1 else ""
        captions.append(f"Distance to {', '.join(apart)}{season}.")
    return Pair(sentence(f"{name}{where}"), item.change, captions, [(wide, narrow) for wide, narrow in pictures])


def _distances(report: Report, item: Measure, alert: Alert | None, width: float, height: float) -> Markup:
    half = report.window_s / 2
    first, last = _span(report)
    estimates = [Estimate(step.start + half, step.distance, step.low, step.high) for step in item.steps]
    bounds = [Bound(getattr(report.bounds, name), name) for name in SIGNS[1:]]
    shown = None if alert is None or not first <= alert.first_at <= last else alert.first_at
    period = (last - first) / max(len(item.steps), 1)
    band = Band(
        estimates=estimates,
        name="distance to the reference",
        gap=max(2.5 * report.window_s, 1.6 * period),
        bounds=bounds,
        alarm=shown,
        alarm_name="alert",
    )
    levels = levels_from([estimate.high for estimate in estimates], 0.0, 1.2 * report.bounds.severe)
    now = distance_text(item.newest.distance, item.newest.low, item.newest.high)
    label = f"Distance of {item.newest.measure} to its reference over time, now {now}."
    return band_picture(band, time_axis(first, last), levels, lambda value: f"{value:.2g}", width, height, label)


def _span(report: Report) -> tuple[int, int]:
    """From the first to behind the last window, seconds since 1970."""
    starts = [step.start for item in (*report.measures, *report.drifting) for step in item.steps]
    return min(starts, default=int(report.since)), max(starts, default=int(report.at)) + report.window_s
