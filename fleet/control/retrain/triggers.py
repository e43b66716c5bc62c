"""Where policies meet what is seen: open alerts, the accuracy that confidence makes likely, the accuracy that labels tell."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, func, select

from ....core.errors import UsageError
from ....stats.paired import proportion_bounds
from ...drift.scope import FLEET
from ...drift.verdict import Severity
from ...retrain.policy import Cause, Drift, Policy, Seen, Window, cause
from ..database import Database
from ..drift.gauges import LABELS_S
from ..drift.labelled import accuracy_view
from ..drift.reading import MOST_WINDOWS, points_of
from ..drift.store import Drift as SeenDrift
from ..drift.views import AccuracyView, Alert
from ..tables import DRIFT_WINDOWS, OUTCOMES, POLICIES, RETRAININGS
from .deployed import deployed
from .records import POLICY, open_one, policy_of

log = logging.getLogger("edgewright.control")

_ALPHA = 0.05  # of the interval of an accuracy by labels
_HOUR_S = 3600  # labels are counted by it


def fired(database: Database) -> list[int]:
    """Open a retraining of each model whose policy says so; their numbers. Safe to call at any time, by several servers."""
    with database.reading() as connection:
        texts = {row.model: row.text for row in connection.execute(select(POLICIES.c.model, POLICIES.c.text))}
        policies = {model: policy for model, text in texts.items() if (policy := readable(model, text)) is not None}
        now = database.clock.now()
        ready = {model: policy for model, policy in policies.items() if _may(connection, model, policy, now)}
    opened = []
    for model, policy in ready.items():
        found = cause(policy, seen(database, model, policy))
        if found is not None and (number := _open(database, model, policy, found)) is not None:
            opened.append(number)
    return opened


def readable(model: str, text: str) -> Policy | None:
    """The policy that is kept of a model; None, and a line in the log, where it cannot be read: it stops no other model."""
    try:
        return Policy.parse(text)
    except UsageError as error:
        log.warning("the policy of %s starts nothing, since it cannot be read; set it again, or remove it: %s", model, error)
        return None


def seen(database: Database, model: str, policy: Policy) -> Seen:
    """What the policy is held against now: alerts of what runs, since what a newer version replaced needs no teaching."""
    drift = SeenDrift(database)
    alerts = drift.alerts(model)
    with database.reading() as connection:
        running = {item.sha256 for item in deployed(connection, model)} if alerts else set()
    drifts = [item for alert in alerts if alert.sha256 in running for item in _drifts(alert)]
    counted = [item.windows for item in policy.conditions if item.kind != "drift"]
    view = drift.accuracy(model, LABELS_S) if counted else None
    if view is None or not view.points:
        return Seen(drifts)
    with database.reading() as connection:
        far = _far(connection, model, view, max(counted))
    return Seen(drifts, [] if view.withdrawn is not None else _estimates(far), _accuracies(far))


def _far(connection: Connection, model: str, view: AccuracyView, count: int) -> AccuracyView:
    """The view, as far back as the newest `count` windows, and the newest `count` that labels came for, however late."""
    windows, hours = DRIFT_WINDOWS.c, OUTCOMES.c
    which = windows.model == model, windows.sha256 == view.sha256, windows.scope == str(FLEET), windows.judged.is_not(None)
    of_model = hours.model == model, hours.sha256 == view.sha256
    longest = max(item.seconds for item in view.points)
    newest = select(windows.start).where(*which).order_by(windows.start.desc()).limit(count).subquery()
    told = (
        select(hours.start).where(*of_model).distinct().order_by(hours.start.desc())
        .limit(count * max(1, -(-longest // _HOUR_S))).subquery()
    )  # fmt: skip
    first = connection.execute(select(func.min(newest.c.start))).scalar()
    labelled = connection.execute(select(func.min(told.c.start))).scalar()
    starts = [item for item in (first, None if labelled is None else labelled - longest) if item is not None]
    if min(starts) >= view.points[0].start:
        return view
    points = points_of(connection, model, view.sha256, FLEET, min(starts), max(count, MOST_WINDOWS))
    return accuracy_view(connection, model, view.sha256, points)


def _may(connection: Connection, model: str, policy: Policy, now: float) -> bool:
    """Whether none goes on, and fewer were opened in the period than the policy allows."""
    if connection.execute(select(RETRAININGS.c.id).where(RETRAININGS.c.key == model)).first() is not None:
        return False
    recent = RETRAININGS.c.model == model, RETRAININGS.c.made_at > now - policy.period_s
    return int(connection.execute(select(func.count()).select_from(RETRAININGS).where(*recent)).scalar_one()) < policy.times


def _open(database: Database, model: str, policy: Policy, found: Cause) -> int | None:
    """Open it where it still may be: another server, or a person, may have been faster."""
    with database.transaction() as connection:
        if policy_of(connection, model) != policy or not _may(connection, model, policy, database.clock.now()):
            return None
        return open_one(connection, database, model, found.why, found.alert, POLICY, {"policy": str(policy)})


def _drifts(alert: Alert) -> list[Drift]:
    """What an alert says: for each severity, in how many windows in a row up to now it was at least that."""
    in_a_row = alert.evidence.get("in_a_row")
    told: dict[Severity, int] = in_a_row if isinstance(in_a_row, dict) else {alert.severity: alert.windows}
    return [Drift(alert.id, alert.measure, str(alert.scope), severity, int(count)) for severity, count in told.items() if count]


def _estimates(view: AccuracyView) -> list[Window]:
    return [Window(item.estimate.accuracy, item.estimate.high) for item in view.points if item.estimate is not None]


def _accuracies(view: AccuracyView) -> list[Window]:
    told = [(item.right, item.labelled) for item in view.points if item.labelled]
    return [Window(right / count, float(proportion_bounds(right, count, _ALPHA)[1])) for right, count in told]
