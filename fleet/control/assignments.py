"""What each device shall run, within a transaction of who changes it: a person through the store, or a rollout."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from ...core.errors import UsageError
from ..protocol.assignment import MAX_MODELS, Assignment, Wanted
from ..protocol.offer import check_model
from .database import Database
from .tables import ASSIGNMENTS, DEVICES


def assign(connection: Connection, database: Database, name: str, wanted: Wanted, rollout: int | None = None) -> Wanted:
    """Assign a model, and give what stands now: a repeat raises the attempt, so that what failed is tried again.

    Raises UsageError for an unknown device and one that has no room, ProtocolError for a model of no name.
    """
    check_model(wanted.model)
    check_known(connection, name)
    before = connection.execute(
        select(ASSIGNMENTS).where(ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.model == wanted.model)
    ).first()
    if before is None or before.is_aborted:
        _check_room(connection, name)
    attempt = wanted.attempt if before is None else max(before.attempt + 1, wanted.attempt)
    values = {
        "sha256": wanted.sha256,
        "name": wanted.name,
        "attempt": attempt,
        "deadline_s": wanted.deadline_s,
        "is_aborted": False,
        "rollout": rollout,
    }
    connection.execute(
        database.upsert(ASSIGNMENTS)
        .values(device=name, model=wanted.model, **values)
        .on_conflict_do_update(index_elements=["device", "model"], set_=values)
    )
    database.touch(connection, [name])
    return Wanted(wanted.model, wanted.sha256, wanted.name, attempt, wanted.deadline_s)


def abort(connection: Connection, database: Database, name: str, model: str) -> None:
    """Take the deployment of a model back, wherever it is before its commit; raises UsageError for an unknown one."""
    which = ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.model == model
    if connection.execute(update(ASSIGNMENTS).where(*which).values(is_aborted=True)).rowcount == 0:
        raise UsageError(f"nothing of {model!r} is assigned to {name!r}; `edgewright devices show` lists what is.")
    database.touch(connection, [name])


def of_device(connection: Connection, name: str) -> Assignment:
    """What a device shall run; what was taken back is not in it."""
    which = ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.is_aborted.is_(False)
    rows = connection.execute(select(ASSIGNMENTS).where(*which)).all()
    return Assignment({row.model: Wanted(row.model, row.sha256, row.name, row.attempt, row.deadline_s) for row in rows})


def check_known(connection: Connection, name: str) -> None:
    """Raise UsageError for a device that never enrolled."""
    if connection.execute(select(DEVICES.c.device).where(DEVICES.c.device == name)).first() is None:
        raise UsageError(f"no device is called {name!r}; `edgewright devices list` lists them.")


def _check_room(connection: Connection, name: str) -> None:
    of_device = ASSIGNMENTS.c.device == name, ASSIGNMENTS.c.is_aborted.is_(False)
    count = connection.execute(select(func.count()).select_from(ASSIGNMENTS).where(*of_device)).scalar_one()
    if count >= MAX_MODELS:
        raise UsageError(
            f"{count} models are assigned to {name!r}, and a device runs no more; take one back with "
            "`edgewright devices take-back`."
        )
