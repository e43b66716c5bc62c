"""The pages of devices: those that a query means, and one with all that is known of it."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from ....core.errors import UsageError
from ...protocol.window import Window
from ...rollout.query import parse
from ..attributes import Described, described
from ..groups import groups
from ..tables import DEVICES, MEMBERS, REPORTS, ROLLOUTS, TALLIES
from .models import running, version_text, versions_of
from .rollouts import stage_name
from .traffic import traffic_of
from .views import DeviceRow, DevicesView, DeviceView, Membership, Traffic
from .words import Pill, ago, outcome_pill, stamp, update_pill

PAGE = 50
_REPORTS = 12
_SHOWN = ("site", "profile", "arch", "group")


def alive_pill(seen_at: float | None, revoked_at: float | None, now: float, late_s: float) -> Pill:
    """Whether a device asks, as far as the server heard: it is silent after `late_s` seconds."""
    if revoked_at is not None:
        return Pill("revoked", "bad", "✕")
    if seen_at is None:
        return Pill("never asked", "quiet", "○")
    return Pill("alive", "good", "✓") if now - seen_at <= late_s else Pill("silent", "open", "?")


def devices_view(connection: Connection, now: float, late_s: float, where: str, after: str) -> DevicesView:
    """A page of the devices that `where` means, from behind the name `after`."""
    known = list(groups(connection).items())
    try:
        query = parse(where)
    except UsageError as error:
        return DevicesView(where, str(error), known, (), None, "")
    versions = versions_of(connection)
    found: list[Described] = []
    for item in described(connection, now, after=after):
        if query.matches(item.attributes):
            found.append(item)
            if len(found) > PAGE:
                break
    rows = [
        DeviceRow(
            device=item.device,
            pill=alive_pill(item.seen_at, item.revoked_at, now, late_s),
            seen_at=item.seen_at,
            attributes=[(name, _text(item.attributes[name])) for name in _shown(item)],
            models=running(item, versions),
        )
        for item in found[:PAGE]
    ]
    is_more = len(found) > PAGE
    matched = None
    if not where.strip():
        matched = connection.execute(select(func.count()).select_from(DEVICES)).scalar_one()
    elif not is_more and not after:
        matched = len(rows)
    return DevicesView(where, "", known, rows, matched, rows[-1].device if is_more else "")


def device_view(connection: Connection, now: float, late_s: float, device: str) -> DeviceView | None:
    """All that is known of a device, or None for one that is not."""
    item = next(iter(described(connection, now, only={device})), None)
    if item is None:
        return None
    versions = versions_of(connection)
    facts = [("Seen", ago(item.seen_at, now)), ("Enrolled", stamp(item.enrolled_at))]
    if item.revoked_at is not None:
        facts.append(("Revoked", stamp(item.revoked_at)))
    if "group" in item.attributes:
        facts.append(("Groups", _text(item.attributes["group"])))
    return DeviceView(
        device=device,
        pill=alive_pill(item.seen_at, item.revoked_at, now, late_s),
        facts=facts,
        attributes=sorted(item.given.items()),
        told=sorted(item.facts.items()),
        models=running(item, versions),
        memberships=_memberships(connection, device),
        traffic=_traffic(connection, device, versions),
        reports=_reports(connection, device),
    )


def _shown(item: Described) -> list[str]:
    """The attributes of a row: the usual ones, and what operators set."""
    own = [name for name in sorted(item.given) if name not in _SHOWN and name in item.attributes]
    return [*(name for name in _SHOWN if name in item.attributes), *own[:3]]


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _memberships(connection: Connection, device: str) -> list[Membership]:
    rows = connection.execute(
        select(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.assigned_at, MEMBERS.c.outcome, MEMBERS.c.why, ROLLOUTS.c.model)
        .add_columns(ROLLOUTS.c.version)
        .join(ROLLOUTS, ROLLOUTS.c.id == MEMBERS.c.rollout)
        .where(MEMBERS.c.device == device)
        .order_by(MEMBERS.c.rollout.desc())
        .limit(PAGE)
    )
    return [
        Membership(
            rollout=row.rollout,
            title=f"{row.model} {row.version}",
            stage=stage_name(row.stage),
            pill=outcome_pill(row.outcome, row.assigned_at is not None),
            why=row.why or "",
        )
        for row in rows
    ]


def _traffic(connection: Connection, device: str, versions: dict[str, int]) -> list[Traffic]:
    rows = connection.execute(
        select(TALLIES).where(TALLIES.c.device == device).order_by(TALLIES.c.updated_at.desc()).limit(PAGE)
    )
    return [
        traffic_of(f"{row.model} {version_text(row.sha256, versions)}", Window.decode(row.data), 1, row.updated_at)
        for row in rows
    ]


def _reports(connection: Connection, device: str) -> list[tuple[float, str, Pill, str]]:
    rows = connection.execute(
        select(REPORTS).where(REPORTS.c.device == device).order_by(REPORTS.c.place.desc()).limit(_REPORTS)
    )
    return [(row.received_at, row.model, update_pill(row.state, row.result), row.why) for row in rows]
