"""What a rollout does to devices: assign the version to members, and give back what they had."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from ....core.canonical import dumps
from ...protocol.assignment import MAX_MODELS, Wanted
from ..database import Database, in_parts
from ..tables import ASSIGNMENTS, DEVICES, MEMBERS, STATES
from .records import Rollout
from .shelf import names_of

MOST_AT_ONCE = 1000  # devices that one transaction assigns
MINUTE_S = 60.0


def may_assign(connection: Connection, rollout: Rollout, now: float) -> tuple[int, float]:
    """How many members may be assigned now by the plan's rate, and where that is none, in how many seconds one more may."""
    rate = rollout.plan.rate
    if rate is None:
        return MOST_AT_ONCE, 0.0
    recent = MEMBERS.c.rollout == rollout.id, MEMBERS.c.assigned_at > now - MINUTE_S
    count, oldest = connection.execute(select(func.count(), func.min(MEMBERS.c.assigned_at)).where(*recent)).one()
    left = min(MOST_AT_ONCE, rate - int(count))
    return (left, 0.0) if left > 0 else (0, max(0.1, oldest + MINUTE_S - now))


def assign_next(connection: Connection, database: Database, rollout: Rollout, most: int) -> int:
    """Assign the version to the next members, in the order of stages and places; how many they are.

    Who was revoked since, or has no room, is not assigned and counts as silent.
    """
    chosen = connection.execute(
        select(MEMBERS.c.device, MEMBERS.c.wanted)
        .where(MEMBERS.c.rollout == rollout.id, MEMBERS.c.assigned_at.is_(None))
        .order_by(MEMBERS.c.stage, MEMBERS.c.place, MEMBERS.c.device)
        .limit(most)
    ).all()
    if not chosen:
        return 0
    names = [row.device for row in chosen]
    now = database.clock.now()
    assigned, said = (_by_device(connection, table, rollout.model, names) for table in (ASSIGNMENTS, STATES))
    barred, known = _barred(connection, rollout.model, names), names_of(connection, rollout.model)
    members, values = [], []
    for row in chosen:
        device, old = row.device, assigned.get(row.device)
        wanted = Wanted.from_json(json.loads(row.wanted))
        told: dict[str, Any] = {"key": device, "assigned_at": now, "ran": None, "before": None, "outcome": None, "why": None}
        if device in barred:
            members.append({**told, "outcome": "silent", "why": barred[device]})
            continue
        running = None if device not in said else said[device].running
        before = _before(old, running, wanted, known)
        members.append({**told, "ran": running, "before": None if before is None else dumps(before.to_json()).decode()})
        attempt = 0 if old is None else old.attempt + 1
        values.append(_assignment(device, wanted, attempt, rollout.id, is_aborted=False))
    connection.execute(_update_member(rollout, "assigned_at", "ran", "before", "outcome", "why"), members)
    _write(connection, database, values)
    return len(chosen)


def give_back(connection: Connection, database: Database, rollout: Rollout) -> tuple[int, int]:
    """Let every assigned member have again what it had: how many got something back, and from how many it was only taken.

    What somebody else assigned to a member since stays.
    """
    rows = connection.execute(
        select(MEMBERS.c.device, MEMBERS.c.before, ASSIGNMENTS)
        .join(ASSIGNMENTS, (ASSIGNMENTS.c.device == MEMBERS.c.device) & (ASSIGNMENTS.c.model == rollout.model))
        .where(
            MEMBERS.c.rollout == rollout.id,
            MEMBERS.c.assigned_at.is_not(None),
            ASSIGNMENTS.c.rollout == rollout.id,
            ASSIGNMENTS.c.is_aborted.is_(False),
        )
    ).all()
    values = []
    for row in rows:
        old = Wanted(rollout.model, row.sha256, row.name, row.attempt, row.deadline_s)
        back = None if row.before is None else Wanted.from_json(json.loads(row.before))
        attempt = row.attempt + (back is not None)
        values.append(_assignment(row.device, back or old, attempt, rollout.id, is_aborted=back is None))
    _write(connection, database, values)
    returned = sum(not value["is_aborted"] for value in values)
    return returned, len(values) - returned


def _before(old: Row[Any] | None, running: str | None, wanted: Wanted, known: Mapping[str, str]) -> Wanted | None:
    """What a member is given back: what was assigned, else what ran, where the repository still has it.

    "The newest that fits" is no such thing: that is what the rollout brings.
    """
    if old is not None and not old.is_aborted and old.sha256 not in (None, wanted.sha256):
        return Wanted(wanted.model, old.sha256, old.name, old.attempt, old.deadline_s)
    if running is None or running == wanted.sha256 or running not in known:
        return None
    return Wanted(wanted.model, running, known[running])


def _barred(connection: Connection, model: str, names: Sequence[str]) -> dict[str, str]:
    """Why devices cannot be assigned anything, in one clause."""
    revoked = select(DEVICES.c.device).where(DEVICES.c.device.in_(names), DEVICES.c.revoked_at.is_not(None))
    found = dict.fromkeys(connection.execute(revoked).scalars(), "it was revoked")
    others = (
        select(ASSIGNMENTS.c.device)
        .where(ASSIGNMENTS.c.device.in_(names), ASSIGNMENTS.c.model != model, ASSIGNMENTS.c.is_aborted.is_(False))
        .group_by(ASSIGNMENTS.c.device)
        .having(func.count() >= MAX_MODELS)
    )
    return found | dict.fromkeys(connection.execute(others).scalars(), f"it has {MAX_MODELS} other models, and no room")


def _by_device(connection: Connection, table: Any, model: str, names: Sequence[str]) -> dict[str, Row[Any]]:
    rows = connection.execute(select(table).where(table.c.device.in_(names), table.c.model == model))
    return {row.device: row for row in rows}


def _assignment(device: str, wanted: Wanted, attempt: int, rollout: int, is_aborted: bool) -> dict[str, Any]:
    return {
        "device": device,
        "model": wanted.model,
        "sha256": wanted.sha256,
        "name": wanted.name,
        "attempt": attempt,
        "deadline_s": wanted.deadline_s,
        "is_aborted": is_aborted,
        "rollout": rollout,
    }


def _write(connection: Connection, database: Database, values: Sequence[dict[str, Any]]) -> None:
    if not values:
        return
    made = database.upsert(ASSIGNMENTS)
    columns = [name for name in values[0] if name not in ("device", "model")]
    made = made.on_conflict_do_update(index_elements=["device", "model"], set_={name: made.excluded[name] for name in columns})
    for part in in_parts(values):
        connection.execute(made, part)
    database.touch(connection, [value["device"] for value in values])


def _update_member(rollout: Rollout, *columns: str) -> Any:
    which = MEMBERS.c.rollout == rollout.id, MEMBERS.c.device == bindparam("key")
    return update(MEMBERS).where(*which).values({name: bindparam(name) for name in columns})
