"""Rows of rollouts and their members, as what `fleet.rollout` judges."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, func, select, update

from ...rollout.guard import GuardKind
from ...rollout.judge import Decision, Evidence, Outcome, Pair, Word, judge
from ...rollout.plan import Plan
from ...rollout.state import ACTIVE, RolloutState
from ..database import Database
from ..tables import MEMBERS, ROLLOUTS


@dataclass(frozen=True)
class Rollout:
    """A plan that is followed: `stage` counts from 0 and is -1 before the first, `why` tells the last change in a sentence."""

    id: int
    model: str
    version: int
    plan: Plan
    state: RolloutState
    stage: int
    why: str
    made_at: float
    made_by: str
    changed_at: float
    stage_since: float

    @property
    def is_last_stage(self) -> bool:
        """Whether no stage follows."""
        return self.stage + 1 >= len(self.plan.stages)


def load(connection: Connection, number: int) -> Rollout | None:
    """The rollout of that number, or None."""
    row = connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == number)).first()
    return None if row is None else _rollout(row)


def load_all(connection: Connection) -> list[Rollout]:
    """All rollouts, in the order in which they were made."""
    return [_rollout(row) for row in connection.execute(select(ROLLOUTS).order_by(ROLLOUTS.c.id))]


def alive(connection: Connection) -> list[int]:
    """Numbers of the rollouts that the engine looks after: active ones, and the completed that are their models' newest."""
    rows = connection.execute(
        select(ROLLOUTS.c.id, ROLLOUTS.c.model, ROLLOUTS.c.state).where(ROLLOUTS.c.state != "aborted").order_by(ROLLOUTS.c.id)
    ).all()
    newest = {row.model: row.id for row in rows}
    return [row.id for row in rows if row.state in ACTIVE or newest[row.model] == row.id]


def save(connection: Connection, database: Database, rollout: Rollout, **changes: Any) -> None:
    """Write changed columns of a rollout, and when it was."""
    values = {**changes, "changed_at": database.clock.now()}
    connection.execute(update(ROLLOUTS).where(ROLLOUTS.c.id == rollout.id).values(**values))


def judged(connection: Connection, rollout: Rollout) -> tuple[Evidence, Decision]:
    """Evidence and decision of the rollout's stage, of the first before it begins."""
    rows = connection.execute(
        select(MEMBERS.c.device, MEMBERS.c.stage, MEMBERS.c.outcome, MEMBERS.c.compared)
        .where(MEMBERS.c.rollout == rollout.id, MEMBERS.c.assigned_at.is_not(None))
        .order_by(MEMBERS.c.assigned_at, MEMBERS.c.stage, MEMBERS.c.place, MEMBERS.c.device)
    ).all()
    outcomes = [Outcome(row.device, row.stage, cast("Word | None", row.outcome)) for row in rows]
    return judge(rollout.plan, max(rollout.stage, 0), outcomes, _pairs(rows), to_assign(connection, rollout))


def heard_of(connection: Connection, rollout: Rollout) -> tuple[object, ...]:
    """What a judgement follows from, in short: as long as this is the same, so is the judgement."""
    row = connection.execute(
        select(
            func.count(MEMBERS.c.outcome), func.max(MEMBERS.c.outcome_place), func.count(MEMBERS.c.compared), func.count()
        ).where(MEMBERS.c.rollout == rollout.id)
    ).one()
    return (rollout.stage, *row, to_assign(connection, rollout) > 0)


def to_assign(connection: Connection, rollout: Rollout) -> int:
    """How many members were not assigned yet."""
    which = MEMBERS.c.rollout == rollout.id, MEMBERS.c.assigned_at.is_(None)
    return int(connection.execute(select(func.count()).select_from(MEMBERS).where(*which)).scalar_one())


def _pairs(rows: Iterable[Any]) -> list[Pair]:
    settled = []
    for row in rows:
        if row.compared is not None:
            told = json.loads(row.compared)
            settled.append((told["place"], Pair(row.stage, cast("dict[GuardKind, float]", told["values"]))))
    return [pair for _, pair in sorted(settled, key=lambda item: item[0])]


def _rollout(row: Row[Any]) -> Rollout:
    return Rollout(
        id=row.id,
        model=row.model,
        version=row.version,
        plan=Plan.from_json(json.loads(row.plan)),
        state=row.state,
        stage=row.stage,
        why=row.why,
        made_at=row.made_at,
        made_by=row.made_by,
        changed_at=row.changed_at,
        stage_since=row.stage_since,
    )
