"""Where policies meet what is seen: open alerts, the accuracy that confidence makes likely, the accuracy that labels tell."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, func, select

from ....core.errors import UsageError
from ....stats.paired import proportion_bounds
from ...drift.verdict import Severity
from ...retrain.policy import PERIODS, Cause, Drift, Policy, Seen, Window, cause
from ..database import Database
from ..drift.store import Drift as SeenDrift
from ..drift.views import AccuracyView, Alert
from ..tables import POLICIES, RETRAININGS
from .deployed import deployed
from .records import POLICY, open_one, policy_of

log = logging.getLogger("edgewright.control")

_ALPHA = 0.05  # of the interval of an accuracy by labels
_BACK_S = 86_400.0  # that windows are looked at, beside those that the policy counts


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
    view = None
    if any(item.kind != "drift" for item in policy.conditions):
        view = drift.accuracy(model, _BACK_S + PERIODS["hour"] * max(item.windows for item in policy.conditions))
    return Seen(drifts, _estimates(view), _accuracies(view))


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


def _estimates(view: AccuracyView | None) -> list[Window]:
    if view is None or view.withdrawn is not None:
        return []  # labels contradict it
    return [Window(item.estimate.accuracy, item.estimate.high) for item in view.points if item.estimate is not None]


def _accuracies(view: AccuracyView | None) -> list[Window]:
    if view is None:
        return []
    told = [(item.right, item.labelled) for item in view.points if item.labelled]
    return [Window(right / count, float(proportion_bounds(right, count, _ALPHA)[1])) for right, count in told]
