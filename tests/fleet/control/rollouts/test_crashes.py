"""A process that dies at any statement of any step: nothing is assigned twice, nothing is forgotten, and it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from control.dying import Died, dying_at
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.control.audit import entries
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.tables import MEMBERS
from edgewright.fleet.rollout.plan import Stage
from rollout_world import PLAN, Fleet
from simulated import SimulatedClock
from simulated_repository import SimulatedRepository

TWO_STAGES = replace(PLAN, stages=(Stage(count=3), Stage()), when_undecided="promote")


def story(fleet: Fleet, is_bad: bool) -> Iterator[None]:
    """A rollout, with a pause of the story wherever the engine looks."""
    fleet.rollouts.create(TWO_STAGES, "ann")
    yield
    first = fleet.members()
    fleet.fails(first[:2]) if is_bad else fleet.runs(first)
    yield
    fleet.clock.advance(PLAN.observe_s)
    yield
    if not is_bad:
        fleet.runs(fleet.members(1))
        yield
        fleet.clock.advance(PLAN.observe_s)
        yield


def told(fleet: Fleet, is_bad: bool, moment: int) -> tuple[object, bool]:
    """What came of the story, and whether the process died in it; a new process goes on after that."""
    died = False
    for _ in story(fleet, is_bad):
        with dying_at(fleet.database, 0 if died else moment) as seen:
            try:
                fleet.engine.tick()
            except (Died, EdgewrightError):
                died = True
        moment -= seen[0]
        if died:
            fleet.check()
            fleet.engine = fleet.new_engine()
            fleet.engine.tick()
    fleet.check()
    with fleet.database.reading() as connection:
        steps = [entry.action for entry in entries(connection, limit=10_000) if entry.subject == "rollout 1"]
    members = sorted((row["device"], row["stage"], row["outcome"], row["outcome_place"]) for row in fleet.rows(MEMBERS))
    assigned = {device: (row["sha256"], row["attempt"], row["is_aborted"]) for device, row in fleet.assigned().items()}
    return (fleet.rollout().state, fleet.rollout().why, members, assigned, steps), died


def run(signed: SimulatedRepository, is_bad: bool, moment: int) -> tuple[object, bool]:
    clock = SimulatedClock()
    with contextlib.closing(Database(MEMORY, clock)) as database:
        fleet = Fleet(database, clock, signed)
        fleet.enrol(5)
        return told(fleet, is_bad, moment)


@pytest.mark.parametrize(("is_bad", "ends"), [(False, "completed"), (True, "aborted")])
def test_wherever_the_process_dies_the_story_ends_the_same(repository: SimulatedRepository, is_bad: bool, ends: str) -> None:
    wanted, died = run(repository, is_bad, 10_000)
    assert not died
    assert wanted[0] == ends  # type: ignore[index]
    moment = -1 if is_bad else 0  # odd moments of the bad version's story, even ones of the good one's
    while True:
        moment += 2
        found, died = run(repository, is_bad, moment)
        assert found == wanted, moment
        if not died:
            break
    assert moment > 15
