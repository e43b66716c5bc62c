"""Alerts: opened by what the tests convict, one at a time of a measure and scope, and closed when it is over.

An alert closes after so many windows in a row (`Settings.quiet_windows`, a day of hours) that were quiet: the lower bound of
the distance stayed below the least severity, and the test's wealth below the highest that the alert has seen of it, so that
neither a window by itself nor all together say that the drift goes on. Its tests then start anew with what is left of alpha.
It closes too when nothing was heard from its scope for seven times as long, or its device was revoked. A narrower alert ends
in a wider one of its measure that is found. Severity rises as what is found does, and does not fall while it is open.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ...drift.judge import Finding, Judgement
from ...drift.scope import FLEET, Scope
from ...drift.settings import Settings
from ...drift.verdict import SEVERITIES, Compared, Severity
from ..audit import record
from ..database import Database
from ..tables import ALERTS, DEVICES
from .views import ACKNOWLEDGED, CLOSED, OPEN, Alert, to_alert

ENGINE = "drift engine"
_MOST_NAMES = 20
_SLACK = 0.1  # below the highest logarithm of the wealth at which it is taken for that: at its cap a wealth only trembles
_UNHEARD = 7  # times `Settings.quiet_windows` without a word end an alert too: a week of hours
_NARROW: Mapping[str, int] = {"device": 0, "attribute": 1, "fleet": 2}


@dataclass(frozen=True)
class Closed:
    """An alert that ended by itself: its tests start anew."""

    measure: str
    scope: Scope


def open_alerts(connection: Connection, model: str) -> list[Alert]:
    """Alerts of a model that are not closed, by number."""
    rows = connection.execute(
        select(ALERTS).where(ALERTS.c.model == model, ALERTS.c.state.in_((OPEN, ACKNOWLEDGED))).order_by(ALERTS.c.id)
    )
    return [to_alert(row) for row in rows]


def apply(
    connection: Connection,
    database: Database,
    model: str,
    judged: Mapping[str, Judgement],
    settings: Settings,
    at: float,
) -> list[Closed]:
    """Bring a model's alerts up to what was judged of its artifacts, by digest, in the window that ended `at`.

    Returns what closed because it was quiet for long enough.
    """
    found = _widest(judged)
    before = {(item.measure, item.scope): item for item in open_alerts(connection, model)}
    closed: list[Closed] = []
    for key, (sha256, finding) in found.items():
        if key not in before:
            _open(connection, database, model, sha256, finding, at)
    for key, alert in before.items():
        wider = (
            None if key in found else next((it for it in found if it[0] == key[0] and _is_within(alert, found[it][1])), None)
        )
        if wider is not None:
            _close(connection, database, alert, f"it is part of what drifts in {wider[1]}.", at, alert.evidence)
            continue
        seen = _seen(alert, judged, settings)
        if seen is None:
            _wait(connection, database, alert, settings, at)
            continue
        sha256, compared = seen
        if compared is not None and _goes_on(alert, sha256, compared, settings):
            named = found.get(key)
            evidence = _evidence(named[1]) if named is not None and named[0] == sha256 else {}
            _go_on(connection, database, alert, sha256, compared, evidence, at)
            continue
        quiet = int(alert.evidence.get("quiet", 0)) + 1
        evidence = {**alert.evidence, "quiet": quiet, "unheard": 0, "in_a_row": _in_a_row({}, None)}
        if quiet >= settings.quiet_windows:
            _close(connection, database, alert, f"{quiet} windows in a row were without drift.", at, evidence)
            closed.append(Closed(alert.measure, alert.scope))
        else:
            connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(evidence=_text(evidence)))
    return closed


def _wait(connection: Connection, database: Database, alert: Alert, settings: Settings, at: float) -> None:
    """Count a window in which nothing was heard from an alert's scope; after too many of them it ends.

    Its tests stand as they did: nothing says that the drift is over, and a device that comes back with it opens another.
    """
    unheard = int(alert.evidence.get("unheard", 0)) + 1
    evidence = {**alert.evidence, "unheard": unheard, "in_a_row": _in_a_row({}, None)}
    if _is_gone(connection, alert.scope):
        _close(connection, database, alert, "its device was revoked.", at, evidence)
    elif unheard >= _UNHEARD * settings.quiet_windows:
        _close(connection, database, alert, f"nothing was heard from there in {unheard} windows in a row.", at, evidence)
    else:
        connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(evidence=_text(evidence)))


def _is_gone(connection: Connection, scope: Scope) -> bool:
    """Whether a scope is one device, and that is revoked."""
    if scope.kind != "device":
        return False
    query = select(DEVICES.c.device).where(DEVICES.c.device == scope.name, DEVICES.c.revoked_at.is_not(None))
    return connection.execute(query).first() is not None


def _widest(judged: Mapping[str, Judgement]) -> dict[tuple[str, Scope], tuple[str, Finding]]:
    """Of each measure and scope the finding with the largest distance; none that lies within a wider one of its measure."""
    found: dict[tuple[str, Scope], tuple[str, Finding]] = {}
    for sha256, judgement in judged.items():
        for item in judgement.findings:
            key = item.measure, item.scope
            if key not in found or item.compared.distance > found[key][1].compared.distance:
                found[key] = sha256, item
    worlds = {measure for measure, scope in found if scope == FLEET}
    return {key: value for key, value in found.items() if key[1] == FLEET or key[0] not in worlds}


def _is_within(alert: Alert, wider: Finding) -> bool:
    if _NARROW[wider.scope.kind] <= _NARROW[alert.scope.kind]:
        return False
    return wider.scope == FLEET or alert.scope.name in wider.devices


def _seen(alert: Alert, judged: Mapping[str, Judgement], settings: Settings) -> tuple[str, Compared | None] | None:
    """The artifact and comparison that say most of an alert in this window; None where nothing was heard from its scope.

    Without a comparison the scope was heard from, by artifacts that have no such measure.
    """

    def rank(sha256: str, compared: Compared | None) -> tuple[int, int, float]:
        if compared is None:
            return -1, -1, 0.0
        severity = -1 if compared.severity is None else SEVERITIES.index(compared.severity)
        return int(_goes_on(alert, sha256, compared, settings)), severity, compared.distance

    heard: tuple[str, Compared | None] | None = None
    for sha256, judgement in judged.items():
        if alert.scope not in judgement.windows:
            continue
        measures = judgement.windows[alert.scope][1].measures
        compared = next((item for item in measures if item.measure == alert.measure and item.count), None)
        if heard is None or rank(sha256, compared) > rank(*heard):
            heard = sha256, compared
    return heard


def _goes_on(alert: Alert, sha256: str, compared: Compared, settings: Settings) -> bool:
    """Whether a window shows that an alert's drift goes on: by itself, or as one of many that keep the test as sure as ever."""
    if compared.severity is None:
        return False
    return compared.low >= settings.minor or compared.log_e >= _surest(alert.evidence, sha256) - _SLACK


def _surest(evidence: Mapping[str, Any], sha256: str) -> float:
    """Highest logarithm of the wealth that an alert has seen of an artifact's test; each artifact has one of its own."""
    return float(evidence.get("surest", {}).get(sha256, -math.inf))


def _evidence(finding: Finding) -> dict[str, Any]:
    told: dict[str, Any] = {
        "by": "the fleet's test" if finding.scope == FLEET else "devices' tests",
        "reach": finding.reach,
        "devices": list(finding.devices[:_MOST_NAMES]),
        "drifting": len(finding.devices),
        "precision": finding.precision,
        "recall": finding.recall,
        "log_e": finding.log_e,
    }
    return told if finding.to_others is None else {**told, "to_others": finding.to_others}


def _sentence(compared: Compared, scope: Scope, reach: float | None) -> str:
    where = {"fleet": "in the whole fleet", "device": f"on the device {scope.name}"}.get(
        scope.kind, f"where {scope.name} = {scope.value}"
    )
    share = "" if reach is None or scope.kind == "device" else f"; {100 * reach:.3g} % of the devices drift"
    return (
        f"{compared.measure} drifts {where}: its distance to the reference is {compared.distance:.2f} "
        f"({compared.low:.2f} to {compared.high:.2f}, of at most 1){share}."
    )


def _in_a_row(before: Mapping[str, Any], severity: Severity | None) -> dict[str, int]:
    rank = -1 if severity is None else SEVERITIES.index(severity)
    return {name: int(before.get(name, 0)) + 1 if place <= rank else 0 for place, name in enumerate(SEVERITIES)}


def _open(connection: Connection, database: Database, model: str, sha256: str, finding: Finding, at: float) -> None:
    severity, scope = finding.severity, str(finding.scope)
    evidence = {
        "sentence": _sentence(finding.compared, finding.scope, finding.reach),
        "compared": asdict(finding.compared),
        "surest": {sha256: finding.compared.log_e},
        "in_a_row": _in_a_row({}, severity),
        "quiet": 0,
        **_evidence(finding),
    }
    values = {
        "key": f"{model}|{finding.measure}|{scope}", "model": model, "sha256": sha256, "measure": finding.measure,
        "scope": scope, "severity": severity, "state": OPEN, "first_at": at, "last_at": at, "windows": 1,
        "evidence": _text(evidence),
    }  # fmt: skip
    number = connection.execute(insert(ALERTS).values(**values).returning(ALERTS.c.id)).scalar_one()
    told = {"measure": finding.measure, "scope": scope, "severity": severity, "sha256": sha256, "why": evidence["sentence"]}
    record(connection, database, ENGINE, "open-alert", f"{model}/{number}", told)


def _go_on(
    connection: Connection,
    database: Database,
    alert: Alert,
    sha256: str,
    compared: Compared,
    evidence: Mapping[str, Any],
    at: float,
) -> None:
    severity = compared.severity
    worst = max(alert.severity, severity, key=SEVERITIES.index)
    told = {
        **alert.evidence,
        **evidence,
        "sentence": _sentence(compared, alert.scope, evidence.get("reach", alert.evidence.get("reach"))),
        "compared": asdict(compared),
        "surest": {**alert.evidence.get("surest", {}), sha256: max(_surest(alert.evidence, sha256), compared.log_e)},
        "in_a_row": _in_a_row(alert.evidence.get("in_a_row", {}), severity),
        "quiet": 0,
        "unheard": 0,
    }
    values = {
        "sha256": sha256, "severity": worst, "last_at": at, "windows": alert.windows + 1, "evidence": _text(told)
    }  # fmt: skip
    connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(**values))
    if worst != alert.severity:
        record(
            connection, database, ENGINE, "raise-alert", f"{alert.model}/{alert.id}",
            {"from": alert.severity, "severity": worst, "why": told["sentence"]},
        )  # fmt: skip


def _close(connection: Connection, database: Database, alert: Alert, why: str, at: float, evidence: Mapping[str, Any]) -> None:
    values = {"state": CLOSED, "evidence": _text({**evidence, "closed": why, "closed_at": at})}
    connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(**values))
    record(connection, database, ENGINE, "close-alert", f"{alert.model}/{alert.id}", {"why": why})


def _text(evidence: Mapping[str, Any]) -> str:
    return json.dumps(evidence, sort_keys=True, separators=(",", ":"))


def scopes_of(alerts: Sequence[Alert]) -> list[Scope]:
    """Scopes of alerts, each once."""
    return list(dict.fromkeys(item.scope for item in alerts))
