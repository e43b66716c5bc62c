"""Rollouts in lists: where each stands, and its members by what came of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select

from ..tables import MEMBERS, ROLLOUTS
from .marks import outcome_bar
from .views import Counts, RolloutRow
from .words import rollout_pill

MOST = 100


def rollout_rows(connection: Connection, *where: ColumnElement[bool]) -> list[RolloutRow]:
    """The rollouts that `where` means, the newest first, at most a hundred."""
    rows = connection.execute(select(ROLLOUTS).where(*where).order_by(ROLLOUTS.c.id.desc()).limit(MOST)).mappings().all()
    counted = stage_counts(connection, [row["id"] for row in rows])
    return [rollout_row(row, counted.get(row["id"], {}).values()) for row in rows]


def rollout_row(row: RowMapping, stages: Iterable[Counts]) -> RolloutRow:
    """A rollout with the counts of its stages."""
    counts = added(stages)
    return RolloutRow(
        id=row["id"],
        model=row["model"],
        version=row["version"],
        pill=rollout_pill(row["state"]),
        stage=_where(row),
        counts=counts,
        bar=outcome_bar(counts),
        why=row["why"],
        made_by=row["made_by"],
        made_at=row["made_at"],
        changed_at=row["changed_at"],
    )


def stage_counts(connection: Connection, rollouts: Iterable[int]) -> dict[int, dict[int, Counts]]:
    """Members by what came of them, by rollout and stage."""
    found: dict[int, dict[int, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    is_assigned = MEMBERS.c.assigned_at.is_not(None)
    rows = connection.execute(
        select(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.outcome, is_assigned.label("is_assigned"), func.count().label("n"))
        .where(MEMBERS.c.rollout.in_(list(rollouts)))
        .group_by(MEMBERS.c.rollout, MEMBERS.c.stage, MEMBERS.c.outcome, is_assigned)
    )
    for row in rows:
        kind = row.outcome if row.outcome in ("good", "bad", "silent") else "waiting" if row.is_assigned else "left"
        found[row.rollout][row.stage][kind] += row.n
    return {rollout: {stage: Counts(**kinds) for stage, kinds in sorted(stages.items())} for rollout, stages in found.items()}


def added(counts: Iterable[Counts]) -> Counts:
    """The counts of several stages together."""
    total = Counts()
    for item in counts:
        total = Counts(
            total.good + item.good,
            total.bad + item.bad,
            total.silent + item.silent,
            total.waiting + item.waiting,
            total.left + item.left,
        )
    return total


def stage_name(place: int) -> str:
    """What a stage is called; the first is the canary."""
    return "canary" if place == 0 else f"stage {place + 1}"


def _where(row: RowMapping) -> str:
    """ "canary, stage 1 of 3"."""
    total = len(json.loads(row["plan"])["stages"])
    if row["state"] == "completed":
        return "all stages"
    place = min(max(row["stage"], 0), total - 1)
    return f"{stage_name(place)}, stage 1 of {total}" if place == 0 else f"stage {place + 1} of {total}"
