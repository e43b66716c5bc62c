"""Rehearsals of rollouts: what stops bad versions, whom they reached, and that the server believes what is true."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.fleet.simulate.artifacts import MODEL, NEW
from edgewright.fleet.simulate.rehearsal import Rehearsal
from edgewright.fleet.simulate.scenario import Scenario
from edgewright.fleet.simulate.story import clock, lines

CALM = Scenario(devices=60, loss=0.0, silent=0.0, power_cuts=0.0, wrong_clocks=0.0)
PLAN = Plan(MODEL, NEW, stages=(Stage(count=12), Stage()), unacceptable=0.3)
GUARDS = (Guard.parse("slow <= +5pt"), Guard.parse("confidence >= -5pt"))


def played(scenario, plan=PLAN):
    return Rehearsal(plan, scenario).run()


def test_a_good_version_reaches_every_device_stage_by_stage():
    story = played(CALM)
    assert (story.state, story.run, story.committed, story.untrue) == ("completed", 60, 60, 0)
    assert [(stage.size, stage.assigned, stage.good) for stage in story.stages] == [("12", 12, 12), ("all", 48, 48)]
    assert [moment.what.partition(":")[0] for moment in story.moments[:2]] == ["stage 1 of 2 begins", "stage 2 of 2 begins"]
    # Nobody counts as good before it was looked at for an hour.
    assert story.decided_s > 2 * PLAN.observe_s


@pytest.mark.parametrize(
    ("kind", "guards", "has_served", "has_committed", "stage"),
    [
        ("wrong", (), False, False, 1),  # its test vectors refute it before it answers anybody
        ("crashing", (), True, False, 1),
        ("late", (), True, True, 1),
        ("slow", GUARDS, True, True, 1),
        ("unsure", GUARDS, True, True, 2),  # that takes more devices to show than this canary has
    ],
)
def test_a_bad_version_is_stopped_and_every_device_goes_back(kind, guards, has_served, has_committed, stage):
    story = played(replace(CALM, failure=1.0, kind=kind), replace(PLAN, guards=guards))
    assert (story.state, story.run, story.untrue) == ("aborted", 0, 0)
    assert story.tried > 0
    assert (story.served > 0, story.committed > 0) == (has_served, has_committed)
    assert len(story.stages) == stage
    assert story.tried <= (12, 60)[stage - 1]


def test_what_no_guard_looks_at_is_not_stopped():
    story = played(replace(CALM, failure=1.0, kind="slow"))
    assert (story.state, story.run) == ("completed", 60)


def test_the_server_believes_what_is_true_when_messages_are_lost_and_power_fails():
    scenario = replace(CALM, loss=0.3, power_cuts=0.6, wrong_clocks=0.5, failure=0.3, kind="mixed")
    story = played(scenario, replace(PLAN, guards=GUARDS, allowed=0.9, unacceptable=0.95, when_undecided="promote"))
    assert story.untrue == 0
    assert story.tried > 40


def test_devices_that_are_off_are_silent_and_hold_nothing_up_for_ever():
    story = played(replace(CALM, silent=0.2), replace(PLAN, stages=(Stage(count=24), Stage()), silent_s=7200.0))
    assert story.state == "completed"
    silent = sum(stage.silent for stage in story.stages)
    assert silent > 0
    assert story.run == 60 - silent


def test_a_version_fails_only_where_it_is_said_to():
    story = played(replace(CALM, failure=1.0, fails_where="site = lyon"), replace(PLAN, query="site != lyon"))
    assert 0 < story.fails_on < 60
    assert (story.state, story.run) == ("completed", 60 - story.fails_on)


def test_a_seed_tells_the_whole_story():
    scenario = replace(CALM, failure=0.4, kind="mixed", loss=0.05, power_cuts=0.1)
    one, two, other = (played(replace(scenario, seed=seed)).to_json() for seed in (1, 1, 2))
    for story in (one, two, other):
        del story["real_s"]
    assert one == two
    assert one != other


def test_what_ends_undecided_waits_for_a_person():
    story = played(replace(CALM, devices=8), replace(PLAN, stages=(Stage(count=2), Stage())))
    assert story.state == "paused"
    assert story.run == 2


def test_a_rehearsal_can_be_kept_and_looked_at(tmp_path):
    from edgewright.core.clock import SystemClock
    from edgewright.fleet.control.audit import verify
    from edgewright.fleet.control.database import Database
    from edgewright.fleet.control.store import Store

    story = Rehearsal(PLAN, replace(CALM, devices=20, failure=1.0), str(tmp_path)).run()
    database = Database(str(tmp_path), SystemClock())
    with database.reading() as connection:
        assert verify(connection).broken is None
    running = {item["models"][MODEL]["said"]["running"] for item in Store(database).devices()}
    assert story.state == "aborted"
    assert len(running) <= 3  # the old version's artifacts, one for each kind of device
    database.close()


def test_the_story_is_told_in_lines_that_fit():
    told = "\n".join(lines(played(replace(CALM, failure=1.0))))
    assert "stage 1 of 2 begins" in told
    assert "aborted" in told
    assert clock(90061) == "1d 01:01:01"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"devices": 0}, "cannot be simulated"),
        ({"kind": "lazy"}, "is no way to fail"),
        ({"loss": 1.5}, "a share lies between 0 and 1"),
        ({"poll_s": 0.1}, "1 second to ten years"),
        ({"trial_s": float("nan")}, "1 second to ten years"),
    ],
)
def test_what_cannot_be_rehearsed_is_one_sentence(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        replace(CALM, **changes)
