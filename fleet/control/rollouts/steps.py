"""Steps of a rollout: each is one transaction's work, with its effects on devices and its entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from ...rollout.state import RolloutState
from ..audit import record
from ..database import Database
from .assigning import assign_next, give_back
from .population import Population, join_late, join_stage, population
from .records import Rollout, save

ENGINE = "engine"  # who is written down in the audit log where no person acts


def begin_stage(
    connection: Connection,
    database: Database,
    rollout: Rollout,
    stage: int,
    why: str,
    actor: str,
    found: Population | None = None,
) -> None:
    """Let a stage begin, or where nobody joins it the next one that somebody joins; the last one begins in any case.

    `found` are the devices where they were looked up a moment ago, which takes long in a large fleet.
    """
    found = found or population(connection, database.clock.now(), rollout.plan)
    joined = join_stage(connection, rollout, stage, found)
    while joined == 0 and stage + 1 < len(rollout.plan.stages):
        stage += 1
        joined = join_stage(connection, rollout, stage, found)
    fewest = rollout.plan.fewest_to_promote
    told = f"{stage_name(rollout, stage)} began with {joined} {'device' if joined == 1 else 'devices'}"
    if stage == 0 and joined < fewest and len(rollout.plan.stages) > 1:
        told += f", which cannot prove the version good enough (that takes at least {fewest})"
    told += f": {why}" if why else "."
    values = {"state": "running", "stage": stage, "stage_since": database.clock.now(), "why": told}
    save(connection, database, rollout, **values)
    note(connection, database, rollout, actor, "begin-stage", {"stage": stage, "devices": joined, "why": told})


def move(
    connection: Connection, database: Database, rollout: Rollout, state: RolloutState, why: str, actor: str, action: str
) -> None:
    """Change the state and nothing else."""
    save(connection, database, rollout, state=state, why=why)
    note(connection, database, rollout, actor, action, {"state": state, "why": why})


def abort(connection: Connection, database: Database, rollout: Rollout, why: str, actor: str) -> None:
    """End a rollout; every member gets back what it had."""
    returned, taken = give_back(connection, database, rollout)
    told = f"{why.rstrip('.')}; {_devices(returned, 'what it had', 'what they had')}"
    told += (
        f", and {_devices(taken, 'nothing', 'nothing')}, since nothing was there: the version runs on where it runs."
        if taken
        else "."
    )
    save(connection, database, rollout, state="aborted", why=told)
    note(connection, database, rollout, actor, "abort-rollout", {"why": told, "returned": returned, "taken_back": taken})


def assign(connection: Connection, database: Database, rollout: Rollout, most: int) -> int:
    """Assign the version to the next members; how many they are."""
    count = assign_next(connection, database, rollout, most)
    if count:
        note(connection, database, rollout, ENGINE, "assign-members", {"devices": count, "stage": rollout.stage})
    return count


def let_join(connection: Connection, database: Database, rollout: Rollout, found: Population) -> int:
    """Let devices that came later join; how many they are."""
    count = join_late(connection, rollout, found)
    if count:
        note(connection, database, rollout, ENGINE, "join-late", {"devices": count, "stage": rollout.stage})
    return count


def note(
    connection: Connection, database: Database, rollout: Rollout, actor: str, action: str, details: Mapping[str, Any]
) -> None:
    """Write an entry about a rollout into the audit log."""
    told = {"model": rollout.model, "version": rollout.version, **details}
    record(connection, database, actor, action, f"rollout {rollout.id}", told)


def _devices(count: int, one: str, several: str) -> str:
    return f"1 device gets back {one}" if count == 1 else f"{count} devices get back {several}"


def stage_name(rollout: Rollout, stage: int) -> str:
    """A stage in words, to begin a sentence with."""
    return "the canary" if stage == 0 else f"stage {stage + 1} of {len(rollout.plan.stages)}"
