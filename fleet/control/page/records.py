"""The pages of artifacts and of the audit log."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from ....core.errors import EdgewrightError
from ...protocol.offer import Offer
from .. import audit
from ..tables import ARTIFACTS, DEVICES, STATES
from .views import ArtifactRow, ArtifactsView, AuditRow, AuditView
from .words import Pill, gate_pill, number, shorten, size

PAGE = 100
_DETAIL = 160  # characters
_DEVICE = re.compile(r"[0-9a-f]{32}")
_ROLLOUT = re.compile(r"rollout ([0-9]{1,15})", re.ASCII)
_MEASURED = {
    "target": "p50, measured on the target",
    "emulated": "p50, under emulation",
    "reference": "p50, on another machine",
}


def artifacts_view(connection: Connection) -> ArtifactsView:
    """What the signed repository offers and offered, by model, the newest version first."""
    order = ARTIFACTS.c.model, ARTIFACTS.c.version.desc(), ARTIFACTS.c.profile
    columns = [column for column in ARTIFACTS.c if column.name not in ("bins", "provenance")]
    running = running_counts(connection)
    models: dict[str, list[ArtifactRow]] = defaultdict(list)
    for row in connection.execute(select(*columns).order_by(*order)).mappings():
        models[row["model"]].append(_artifact(row, running.get(row["sha256"], 0)))
    return ArtifactsView(list(models.items()))


def running_counts(connection: Connection) -> dict[str, int]:
    """How many devices that may speak say that they run an artifact, by its SHA-256."""
    found = connection.execute(
        select(STATES.c.running, func.count())
        .join(DEVICES, DEVICES.c.device == STATES.c.device)
        .where(STATES.c.running.is_not(None), DEVICES.c.revoked_at.is_(None))
        .group_by(STATES.c.running)
    )
    return {str(sha256): int(devices) for sha256, devices in found}


def _artifact(row: RowMapping, running: int) -> ArtifactRow:
    offer = _offer(row["offer"])
    latency = None if offer is None else offer.latency
    gates: Sequence[tuple[str, Pill]] = ()
    if offer is not None:
        gates = [(gate.gate + (f" on {gate.slice}" if gate.slice else ""), gate_pill(gate.status)) for gate in offer.gates]
    return ArtifactRow(
        name=row["name"],
        version=row["version"],
        profile=row["profile"],
        runtime="" if offer is None else f"{offer.runtime} {offer.runtime_version}",
        precision="" if offer is None else offer.precision,
        size=size(row["length"]),
        latency="not measured" if latency is None else f"{number(latency.p50_ms)} ms",
        latency_note="" if latency is None else _MEASURED[latency.measured_on],
        gates=gates,
        is_canary=row["is_canary"],
        is_gone=row["gone_at"] is not None,
        sha256=row["sha256"],
        first_seen_at=row["first_seen_at"],
        running=running,
    )


def _offer(text: str) -> Offer | None:
    """What was signed, or None where this version of the program cannot read it."""
    try:
        return Offer.from_json(json.loads(text))
    except EdgewrightError:
        return None


def audit_view(connection: Connection, before: int | None) -> AuditView:
    """A page of the log, the newest first, from below the place `before`; and whether the chain holds."""
    verified = audit.verify(connection)
    if before is None:
        found = audit.latest(connection, PAGE)
    else:
        found = audit.entries(connection, max(before - 1 - PAGE, 0), min(PAGE, max(before - 1, 0)))[::-1]
    older = found[-1].place if found and found[-1].place > 1 else None
    return AuditView([audit_row(entry) for entry in found], verified.count, verified.head, verified.broken or "", older)


def audit_row(entry: audit.Entry) -> AuditRow:
    """An entry as it is shown: long values cut, and a link to what it is about where that has a page."""
    details = [
        (name, shorten(_text(value), _DETAIL)) for name, value in sorted(entry.details.items()) if value not in (None, "")
    ]
    return AuditRow(entry.place, entry.at, entry.actor, entry.action, entry.subject, _href(entry), details, entry.digest)


def _href(entry: audit.Entry) -> str:
    if _DEVICE.fullmatch(entry.subject):
        return f"/devices/{entry.subject}"
    rollout = _ROLLOUT.fullmatch(entry.subject)
    return "" if rollout is None else f"/rollouts/{rollout[1]}"


def _text(value: Any) -> str:
    """Texts and numbers as they are; an object as its names and values, without those that say nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in sorted(value.items()) if item not in (None, "", [], {}))
    return json.dumps(value, ensure_ascii=False)
