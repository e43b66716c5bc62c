"""The first page: the fleet at a glance, and what a person should look at."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import quote

from sqlalchemy import Connection, func, select

from ...drift.verdict import SEVERITIES
from ...rollout.state import ACTIVE
from .. import audit
from ..drift.gauges import withdrawn_estimates
from ..tables import ALERTS, ARTIFACTS, DEVICES, ROLLOUTS, STATES
from .marks import share_bar
from .records import audit_row
from .rollouts import rollout_rows
from .views import FleetView, ModelRow, Notice, Pairs, RolloutRow, Share
from .words import Pill, ago, count, digest, duration, plural, severity_pill

_DAY_S = 86400.0
_ABORTED_S = 2 * _DAY_S  # for how long an aborted rollout is something to look at
_RECENT = 6


def fleet_view(connection: Connection, now: float, late_s: float) -> FleetView:
    """The fleet, counted by the database: nothing is read device by device."""
    rollouts = rollout_rows(connection, ROLLOUTS.c.state.in_(ACTIVE))
    return FleetView(
        facts=_facts(connection, now, late_s, len(rollouts)),
        notices=_notices(connection, now, rollouts),
        rollouts=rollouts,
        models=_models(connection),
        recent=[audit_row(entry) for entry in audit.latest(connection, _RECENT)],
    )


def _facts(connection: Connection, now: float, late_s: float, rollouts: int) -> Pairs:
    alive = DEVICES.c.revoked_at.is_(None)
    total = _count(connection, alive)
    seen = _count(connection, alive, DEVICES.c.seen_at >= now - late_s)
    updating = connection.execute(
        select(func.count(STATES.c.device.distinct()))
        .join(DEVICES, DEVICES.c.device == STATES.c.device)
        .where(alive, STATES.c.state != "Idle")
    ).scalar_one()
    return [
        ("Devices", count(total)),
        (f"Seen in the last {duration(late_s)}", count(seen)),
        ("Updating now", count(updating)),
        ("Rollouts under way", count(rollouts)),
    ]


def _notices(connection: Connection, now: float, rollouts: list[RolloutRow]) -> list[Notice]:
    found = [
        Notice(
            row.pill,
            f"Rollout of {row.model} {row.version}: {row.why}",
            f"/rollouts/{row.id}",
        )
        for row in rollouts
        if row.pill.kind == "open"
    ]
    aborted = rollout_rows(connection, ROLLOUTS.c.state == "aborted", ROLLOUTS.c.changed_at >= now - _ABORTED_S)
    found += [
        Notice(row.pill, f"Rollout of {row.model} {row.version}, {ago(row.changed_at, now)}: {row.why}", f"/rollouts/{row.id}")
        for row in aborted
    ]
    found += _drifting(connection)
    found += [
        Notice(
            Pill("withdrawn", "bad", "✕"),
            f"The estimated accuracy of {model} is withdrawn: {why}",
            f"/drift/{quote(model, safe='')}",
        )
        for model, why in withdrawn_estimates(connection).items()
    ]
    alive = DEVICES.c.revoked_at.is_(None)
    if silent := _count(connection, alive, DEVICES.c.seen_at < now - _DAY_S):
        text = f"{plural(silent, 'device has', 'devices have')} not asked for more than a day."
        found.append(
            Notice(Pill("silent", "open", "?"), text, f"/devices?where={quote(f'seen_s > {_DAY_S:.0f} and not has revoked')}")
        )
    stuck = connection.execute(
        select(func.count(STATES.c.device.distinct()))
        .join(DEVICES, DEVICES.c.device == STATES.c.device)
        .where(alive, STATES.c.result == "FAILED_UNABLE_TO_ROLLBACK")
    ).scalar_one()
    if stuck:
        text = f"{plural(stuck, 'device')} could not go back to what ran before; look at each."
        found.append(Notice(Pill("stuck", "bad", "✕"), text, "/devices"))
    return found


def _drifting(connection: Connection) -> list[Notice]:
    """Models with alerts that nobody acknowledged, the gravest of each."""
    rows = connection.execute(
        select(ALERTS.c.model, ALERTS.c.severity, func.count().label("alerts"))
        .where(ALERTS.c.state == "open")
        .group_by(ALERTS.c.model, ALERTS.c.severity)
    ).all()
    found = []
    for model in sorted({row.model for row in rows}):
        of_model = {row.severity: row.alerts for row in rows if row.model == model}
        worst = max(of_model, key=SEVERITIES.index)
        text = f"Drift of {model}: {plural(sum(of_model.values()), 'open alert')}"
        found.append(Notice(severity_pill(worst), text, f"/drift/{quote(model, safe='')}"))
    return found


def _models(connection: Connection) -> list[ModelRow]:
    """What devices that may speak say they run, by model and version, most first."""
    offered = {
        row.sha256: (row.version, row.profile)
        for row in connection.execute(select(ARTIFACTS.c.sha256, ARTIFACTS.c.version, ARTIFACTS.c.profile))
    }
    rows = connection.execute(
        select(STATES.c.model, STATES.c.running, func.count().label("devices"))
        .join(DEVICES, DEVICES.c.device == STATES.c.device)
        .where(DEVICES.c.revoked_at.is_(None))
        .group_by(STATES.c.model, STATES.c.running)
    )
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    profiles: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.running is None:
            name = "nothing"
        elif row.running in offered:
            version, profile = offered[row.running]
            name = f"version {version}"
            profiles[row.model, name].add(profile)
        else:
            name = f"unknown {digest(row.running)[:8]}"
            profiles[row.model, name].add("the repository never offered it")
        counts[row.model][name] += row.devices
    return [_model(model, versions, profiles) for model, versions in sorted(counts.items())]


def _model(model: str, versions: dict[str, int], profiles: dict[tuple[str, str], set[str]]) -> ModelRow:
    total = sum(versions.values())
    shares = [
        Share(name, ", ".join(sorted(profiles.get((model, name), ()))), devices, devices / total, share_bar(devices / total))
        for name, devices in sorted(versions.items(), key=lambda item: (-item[1], item[0]))
    ]
    return ModelRow(model, total, shares)


def _count(connection: Connection, *where: object) -> int:
    return int(connection.execute(select(func.count()).select_from(DEVICES).where(*where)).scalar_one())  # type: ignore[arg-type]
