"""Whose word an artifact runs by: the last one's, a rollout's or a person's."""

from __future__ import annotations

import json

import pytest
from control.rows import fill
from edgewright.fleet.control.audit import record
from edgewright.fleet.control.lineage import explain
from edgewright.fleet.control.tables import MEMBERS, REPORTS, ROLLOUTS

ONE, TWO = "aa" * 32, "bb" * 32


@pytest.mark.parametrize(("hands", "by"), [([], "rollout 1"), ([TWO, ONE], "carol"), ([TWO], "rollout 1")])
def test_an_assignment_by_hand_after_a_rollout_is_what_brought_it(database, clock, hands, by):
    device = fill(database, 1)[0][0]
    begun = clock.now()
    with database.transaction() as connection:
        connection.execute(ROLLOUTS.insert().values(
            id=1, model="m", version=1, plan="{}", state="completed", stage=0, why="", made_at=begun, made_by="bob",
            changed_at=begun, stage_since=begun,
        ))  # fmt: skip
        connection.execute(
            MEMBERS.insert().values(rollout=1, device=device, stage=0, assigned_at=begun, wanted=json.dumps({"sha256": ONE}))
        )
    for sha256 in hands:
        clock.advance(100.0)
        with database.transaction() as connection:
            record(connection, database, "carol", "assign", device, {"model": "m", "sha256": sha256})
    clock.advance(100.0)
    with database.transaction() as connection:
        connection.execute(REPORTS.insert().values(
            device=device, boot="b", sequence=1, model="m", running=ONE, state="Idle", why="", at=clock.now(),
            received_at=clock.now(),
        ))  # fmt: skip
    with database.reading() as connection:
        (found,) = explain(connection, device, clock.now(), "m")
    assert found.assigned.actor == by
    assert (found.rollout is not None) == (by == "rollout 1") == ("brought by rollout 1" in found.sentence)
