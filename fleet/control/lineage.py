"""Where what ran on a device came from: reports and counts, assignment and rollout, signatures, gates, data, retraining, alert.

Everything is read from what was written down when it happened. What ran at a time is what the device said last by then: by its
own clock where that fits the time of arrival, else by the server's. Windows of counts say of which artifact requests were
answered around that time, which a device cannot have said too late.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from ...core.errors import UsageError
from .retrain.records import Retraining, load_all
from .tables import ALERTS, ARTIFACTS, AUDIT, DEVICES, MEMBERS, REPORTS, ROLLOUTS, WINDOWS

_LATE_S = 7 * 86_400.0  # that a report may take to arrive
_AHEAD_S = 300.0  # that a device's clock may be ahead of the server's
_APPROVING = ("approve-rollout", "promote-rollout", "resume-rollout", "pause-rollout", "abort-rollout")


@dataclass(frozen=True)
class Event:
    """Something that was done: when, by whom, what, and what the audit log tells of it; `place` is its place there."""

    at: float
    actor: str
    action: str
    details: dict[str, Any]
    place: int | None = None


@dataclass(frozen=True)
class Explained:
    """What ran of a model on a device at a time, and why.

    `sha256` is None where nothing ran, or nothing was known; `sentence` says all in short. `windows`: artifacts that requests
    were counted of around then. `artifact` is the signed offer, `provenance` what it was made from; `signed` and `assigned` are
    events, `rollout` is the one that assigned it, with `decisions` about it; `retrainings` are those that led to it, the newest
    first, `alert` what the newest was opened on.
    """

    device: str
    model: str
    at: float
    sha256: str | None
    said_at: float | None
    sentence: str
    windows: tuple[dict[str, Any], ...] = ()
    artifact: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None
    signed: tuple[Event, ...] = ()
    assigned: Event | None = None
    rollout: dict[str, Any] | None = None
    decisions: tuple[Event, ...] = ()
    retrainings: tuple[dict[str, Any], ...] = ()
    alert: dict[str, Any] | None = None


def explain(connection: Connection, device: str, at: float, model: str | None = None) -> list[Explained]:
    """What ran there then, of every model that the device ever spoke of, or of one; raises UsageError for an unknown device."""
    known = connection.execute(select(DEVICES).where(DEVICES.c.device == device)).first()
    if known is None:
        raise UsageError(f"no device is called {device[:100]!r}; `edgewright devices list` lists them.")
    models = [model] if model is not None else _models(connection, device)
    return [_explained(connection, device, at, name, known) for name in models]


def _models(connection: Connection, device: str) -> list[str]:
    return sorted(connection.execute(select(REPORTS.c.model).where(REPORTS.c.device == device).distinct()).scalars())


def _explained(connection: Connection, device: str, at: float, model: str, known: Row[Any]) -> Explained:
    said = _said(connection, device, model, at)
    windows = tuple(_windows(connection, device, model, at))
    if said is None:
        why = "it had not enrolled yet" if at < known.enrolled_at else "it had said nothing, or what it said was pruned since"
        return Explained(device, model, at, None, None, f"what ran of {model} is not known: {why}.", windows)
    if said.running is None:
        return Explained(device, model, at, None, _moment(said), f"nothing of {model} ran.", windows)
    sha256 = said.running
    row = _artifact(connection, model, sha256, at)
    rollout, assigned = _assigned(connection, device, model, sha256, at)
    retrainings = _retrainings(connection, model, sha256)
    alert = None if not retrainings or retrainings[0].alert is None else _alert(connection, retrainings[0].alert)
    provenance = None if row is None or row.provenance is None else json.loads(row.provenance)
    version = "an artifact that the repository never offered" if row is None else f"version {row.version} for {row.profile}"
    sentence = f"{model} ran as {version} ({sha256[:12]})"
    sentence += f", brought by rollout {rollout.id}" if rollout is not None else ""
    sentence += f", made by retraining {retrainings[0].id}" if retrainings else ""
    return Explained(
        device=device,
        model=model,
        at=at,
        sha256=sha256,
        said_at=_moment(said),
        sentence=f"{sentence}.",
        windows=windows,
        artifact=None if row is None else _shown_artifact(row),
        provenance=provenance,
        signed=tuple(_signed(connection, model, sha256)),
        assigned=assigned,
        rollout=None if rollout is None else _shown_rollout(rollout),
        decisions=() if rollout is None else tuple(_events(connection, f"rollout {rollout.id}", _APPROVING)),
        retrainings=tuple(item.to_json() for item in retrainings),
        alert=alert,
    )


def _moment(row: Row[Any]) -> float:
    """When a report was made: by the device's clock where that can be, else when it came."""
    fits = row.received_at - _LATE_S <= row.at <= row.received_at + _AHEAD_S
    return float(row.at if fits else row.received_at)


def _said(connection: Connection, device: str, model: str, at: float) -> Row[Any] | None:
    """The last report by then; late ones that came in another order are put in theirs."""
    which = REPORTS.c.device == device, REPORTS.c.model == model, REPORTS.c.received_at <= at + _LATE_S
    rows = connection.execute(select(REPORTS).where(*which).order_by(REPORTS.c.place))
    return max((row for row in rows if _moment(row) <= at), key=lambda row: (_moment(row), row.place), default=None)


def _windows(connection: Connection, device: str, model: str, at: float) -> Iterator[dict[str, Any]]:
    columns = WINDOWS.c.sha256, WINDOWS.c.start, WINDOWS.c.end
    which = WINDOWS.c.device == device, WINDOWS.c.model == model, WINDOWS.c.start <= at, WINDOWS.c.end >= at
    for row in connection.execute(select(*columns).where(*which).order_by(WINDOWS.c.start, WINDOWS.c.sequence)):
        yield {"sha256": row.sha256, "start": float(row.start), "end": float(row.end)}


def _artifact(connection: Connection, model: str, sha256: str, at: float) -> Row[Any] | None:
    """What the repository offered under this digest: what was signed for all where it was by then, else the canary."""
    rows = connection.execute(
        select(ARTIFACTS)
        .where(ARTIFACTS.c.model == model, ARTIFACTS.c.sha256 == sha256)
        .order_by(ARTIFACTS.c.is_canary, ARTIFACTS.c.first_seen_at)
    ).all()
    return next((row for row in rows if row.first_seen_at <= at), rows[0] if rows else None)


def _signed(connection: Connection, model: str, sha256: str) -> Iterator[Event]:
    """When the server saw it signed, by which role and keys."""
    names = select(ARTIFACTS.c.name).where(ARTIFACTS.c.model == model, ARTIFACTS.c.sha256 == sha256)
    for name in sorted(connection.execute(names).scalars()):
        yield from (event for event in _events(connection, name, ("learn-artifact",)) if event.details["sha256"] == sha256)


def _assigned(connection: Connection, device: str, model: str, sha256: str, at: float) -> tuple[Row[Any] | None, Event | None]:
    """How it was assigned last by then, and the rollout that did it, if one did."""
    member = connection.execute(
        select(MEMBERS.c.rollout, MEMBERS.c.assigned_at, MEMBERS.c.wanted)
        .join(ROLLOUTS, ROLLOUTS.c.id == MEMBERS.c.rollout)
        .where(MEMBERS.c.device == device, ROLLOUTS.c.model == model, MEMBERS.c.assigned_at <= at)
        .order_by(MEMBERS.c.assigned_at.desc())
    ).all()
    brought = next((row for row in member if json.loads(row.wanted)["sha256"] == sha256), None)
    by_hand = [
        event for event in _events(connection, device, ("assign",)) if event.at <= at and event.details["model"] == model
    ]
    fits = [event for event in by_hand if event.details["sha256"] in (None, sha256)]
    if brought is not None and (not fits or fits[-1].at <= brought.assigned_at):
        rollout = connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == brought.rollout)).one()
        told = {"rollout": rollout.id, "model": model, "sha256": sha256}
        return rollout, Event(brought.assigned_at, f"rollout {rollout.id}", "assign-members", told)
    return None, fits[-1] if fits else None


def _events(connection: Connection, subject: str, actions: tuple[str, ...]) -> Iterator[Event]:
    rows = connection.execute(
        select(AUDIT).where(AUDIT.c.subject == subject, AUDIT.c.action.in_(actions)).order_by(AUDIT.c.place)
    )
    for row in rows:
        yield Event(row.at, row.actor, row.action, json.loads(row.details), row.place)


def _retrainings(connection: Connection, model: str, sha256: str) -> list[Retraining]:
    """The retraining that made it, and before it those that made the sources that each began with."""
    every = load_all(connection, model)
    found = [item for item in every if sha256 in item.artifacts.values()][-1:]
    while found:
        train = found[-1].step("train")
        source = None if train is None else train.details.get("source_before")
        before = [item for item in every if item.id < found[-1].id and _source(item) == source]
        if source is None or not before:
            break
        found.append(before[-1])
    return found


def _source(item: Retraining) -> Any:
    train = item.step("train")
    return None if train is None else train.details.get("source")


def _alert(connection: Connection, number: int) -> dict[str, Any] | None:
    row = connection.execute(select(ALERTS).where(ALERTS.c.id == number)).first()
    if row is None:
        return None
    names = ("id", "sha256", "measure", "scope", "severity", "state", "first_at", "last_at", "windows", "acknowledged_by")
    return {**{name: getattr(row, name) for name in names}, "evidence": json.loads(row.evidence)}


def _shown_artifact(row: Row[Any]) -> dict[str, Any]:
    names = ("name", "version", "profile", "is_canary", "sha256", "length", "first_seen_at", "gone_at")
    return {**{name: getattr(row, name) for name in names}, "offer": json.loads(row.offer)}


def _shown_rollout(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "version", "state", "stage", "why", "made_at", "made_by", "changed_at")
    return {**{name: getattr(row, name) for name in names}, "plan": json.loads(row.plan)}
