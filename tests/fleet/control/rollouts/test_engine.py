"""Rollouts from their begin to their end, as devices and people see them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.control.audit import entries
from edgewright.fleet.control.tables import MEMBERS, ROLLOUTS
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.maintenance import MaintenanceWindow
from edgewright.fleet.rollout.plan import Plan, Stage
from rollout_world import OLD, PLAN, SHA, Fleet

SMALL = replace(PLAN, stages=(Stage(count=3), Stage()))
CANARY = 40


def good(fleet: Fleet, devices: list[str]) -> None:
    """They say that the version runs, and their time of observation goes by."""
    fleet.runs(devices)
    fleet.tick()
    fleet.tick(PLAN.observe_s)


def test_a_good_version_comes_to_all_stage_by_stage(fleet: Fleet) -> None:
    fleet.create()
    canary = fleet.members()
    assert len(canary) == CANARY
    assert fleet.rollout().state == "running"
    good(fleet, canary)
    assert fleet.rollout().stage == 1
    assert "refutes that 10 % or more do" in fleet.rollout().why
    rest = fleet.members(1)
    assert sorted([*canary, *rest]) == sorted(fleet.devices)
    good(fleet, rest)
    assert fleet.rollout().state == "completed"
    for row in fleet.assigned().values():
        assert (row["sha256"], row["name"], row["attempt"], row["rollout"]) == (SHA[2], "digits/pi/2.ewa", 0, 1)
    fleet.check()


def test_a_bad_version_is_stopped_by_its_canary_and_taken_back(fleet: Fleet) -> None:
    for device in fleet.devices[:50]:
        fleet.store.assign(device, Wanted("digits", SHA[1], "digits/pi/1.ewa"), "ann")
    fleet.create()
    canary = fleet.members()
    fleet.fails(canary[:4])
    fleet.tick()
    assert fleet.rollout().state == "aborted"
    assert "failed, which refutes that at most 3 % of the devices fail" in fleet.rollout().why
    assert fleet.members() == canary
    for device, row in fleet.assigned().items():
        assert (row["sha256"], row["is_aborted"]) == (SHA[1], False), device
        assert fleet.store.assignment_of(device).models["digits"].sha256 == SHA[1]
    fleet.runs(canary)  # what they say later changes nothing any more
    fleet.tick(10_000)
    assert fleet.rollout().state == "aborted"
    fleet.check()


def test_what_ran_without_an_assignment_is_given_back_and_of_nothing_the_version_is_taken(small_fleet: Fleet) -> None:
    (bare,) = small_fleet.enrol(1, runs=None)
    follower = small_fleet.devices[0]
    small_fleet.store.assign(follower, Wanted("digits"), "ann")
    number = small_fleet.create(replace(SMALL, stages=(Stage(),)))
    small_fleet.rollouts.act(number, "abort", "bob")
    told = small_fleet.assigned()
    assert told[bare]["is_aborted"]
    assert small_fleet.store.assignment_of(bare).models == {}
    for device in small_fleet.devices[:6]:
        assert small_fleet.store.assignment_of(device).models["digits"].sha256 == SHA[1]
    assert "6 devices get back what they had, and 1 device gets back nothing" in small_fleet.rollout().why
    small_fleet.check()


def test_what_a_person_assigns_meanwhile_stays(small_fleet: Fleet) -> None:
    number = small_fleet.create(SMALL)
    device = small_fleet.members()[0]
    small_fleet.store.assign(device, Wanted("digits", "f" * 64, "digits/pi/9.ewa"), "bob")
    small_fleet.say(device, running="f" * 64)
    small_fleet.tick()
    assert small_fleet.outcomes()[device] == "silent"  # its failure would be another version's
    small_fleet.rollouts.act(number, "abort", "bob")
    assert small_fleet.store.assignment_of(device).models["digits"].sha256 == "f" * 64


def test_success_is_what_a_device_says_after_it_was_assigned(small_fleet: Fleet) -> None:
    small_fleet.create(SMALL)
    one, two, three = small_fleet.members()
    for state in ("Download", "ArtifactInstall", "ArtifactReboot"):
        small_fleet.say(one, state, running=SHA[1], target=SHA[2])
    small_fleet.say(two, "ArtifactVerifyReboot", running=SHA[2], target=SHA[2])  # on trial
    small_fleet.say(three, "ArtifactCommit_Leave", running=SHA[2], target=SHA[2], result="SUCCESSFUL")
    small_fleet.tick()
    small_fleet.tick(PLAN.observe_s - 1)
    assert small_fleet.outcomes() == {one: None, two: None, three: None}
    small_fleet.tick(1)
    assert small_fleet.outcomes() == {one: None, two: None, three: "good"}


def test_a_device_that_goes_back_later_is_bad_after_all(small_fleet: Fleet) -> None:
    small_fleet.create(SMALL)
    one, two, three = small_fleet.members()
    small_fleet.runs([one, two])
    small_fleet.tick()
    small_fleet.runs([two], version=1)
    small_fleet.tick(PLAN.observe_s)
    assert small_fleet.outcomes() == {one: "good", two: "bad", three: None}
    small_fleet.runs([one], version=1)
    small_fleet.tick()
    assert small_fleet.outcomes()[one] == "bad"
    assert small_fleet.rollout().state == "aborted"  # two of the first two


def test_a_failure_counts_also_where_the_device_has_said_something_else_since(small_fleet: Fleet) -> None:
    small_fleet.create(SMALL)
    one, two, three = small_fleet.members()
    small_fleet.fails([one, two])
    for device in (one, two):  # with its next poll it says that it does not try again
        small_fleet.say(device, running=SHA[1], why="it failed before and is not tried again under attempt 0")
    small_fleet.tick()
    assert small_fleet.outcomes() == {one: "bad", two: "bad", three: None}
    assert small_fleet.rollout().state == "aborted"


def test_a_failure_of_before_the_assignment_is_another_rollout_s(small_fleet: Fleet) -> None:
    small_fleet.fails(small_fleet.devices)
    small_fleet.runs(small_fleet.devices, version=1)
    small_fleet.clock.advance(1.0)
    small_fleet.create(SMALL)
    small_fleet.tick()
    assert set(small_fleet.outcomes().values()) == {None}


def test_silence_is_no_failure_but_one_that_begins_and_falls_silent_is(small_fleet: Fleet) -> None:
    small_fleet.create(SMALL)
    one, two, three = small_fleet.members()
    small_fleet.say(two, "Download", running=SHA[1], target=SHA[2])
    small_fleet.tick()
    small_fleet.tick(PLAN.silent_s)
    assert small_fleet.outcomes() == {one: "silent", two: "bad", three: "silent"}
    small_fleet.runs([one])
    small_fleet.tick()
    assert small_fleet.outcomes()[one] is None
    small_fleet.tick(PLAN.observe_s)
    assert small_fleet.outcomes()[one] == "good"


def test_a_small_canary_proves_nothing_says_so_and_waits_for_a_person(small_fleet: Fleet) -> None:
    remarks = small_fleet.rollouts.preview(SMALL).remarks
    assert "not signed yet" in remarks[0]
    small_fleet.tick()
    preview = small_fleet.rollouts.preview(SMALL)
    assert preview.sizes == (3, 6)
    assert "cannot prove the version good enough (that takes at least 34, all good)" in preview.remarks[0]
    number = small_fleet.create(SMALL)
    assert "cannot prove" in small_fleet.rollout().why
    good(small_fleet, small_fleet.members())
    found = small_fleet.rollout()
    assert (found.state, found.stage) == ("paused", 0)
    assert "undecided: 0 of 3 devices failed" in found.why
    assert small_fleet.rollouts.act(number, "promote", "bob").stage == 1
    small_fleet.tick()
    assert len(small_fleet.members(1)) == 3
    with small_fleet.database.reading() as connection:
        told = [(entry.actor, entry.action) for entry in entries(connection, limit=1000)]
    assert ("bob", "promote-rollout") in told
    assert ("engine", "pause-rollout") in told


def test_an_undecided_stage_goes_on_by_the_plan_s_word(small_fleet: Fleet) -> None:
    small_fleet.create(replace(SMALL, when_undecided="promote"))
    good(small_fleet, small_fleet.members())
    assert small_fleet.rollout().stage == 1
    good(small_fleet, small_fleet.members(1))
    assert small_fleet.rollout().state == "completed"


def test_a_paused_rollout_assigns_nothing_and_is_aborted_all_the_same(fleet: Fleet) -> None:
    number = fleet.create(replace(PLAN, rate=30))
    assert len(fleet.members()) == 30
    fleet.rollouts.act(number, "pause", "bob")
    fleet.tick(61)
    assert len(fleet.members()) == 30
    fleet.fails(fleet.members()[:5])
    fleet.tick()
    assert fleet.rollout().state == "aborted"


def test_a_rollout_is_resumed_where_it_was(fleet: Fleet) -> None:
    number = fleet.create(replace(PLAN, rate=30))
    fleet.rollouts.act(number, "pause", "bob")
    fleet.tick(61)
    fleet.rollouts.act(number, "resume", "bob")
    fleet.tick()
    assert len(fleet.members()) == CANARY


def test_people_approve_the_next_stage(fleet: Fleet) -> None:
    number = fleet.create(replace(PLAN, needs_approval=True))
    good(fleet, fleet.members())
    assert (fleet.rollout().state, fleet.rollout().stage) == ("waiting-for-approval", 0)
    assert fleet.members(1) == []
    fleet.rollouts.act(number, "approve", "bob")
    fleet.tick()
    assert len(fleet.members(1)) == 20
    with pytest.raises(UsageError, match="cannot be told to approve"):
        fleet.rollouts.act(number, "approve", "bob")


def test_devices_are_assigned_within_windows_and_not_faster_than_the_rate(fleet: Fleet) -> None:
    start = fleet.clock.now()
    minute = int(start // 60) % 1440
    window = MaintenanceWindow(tuple(range(7)), (minute + 10) % 1440, (minute + 40) % 1440)
    fleet.rollouts.create(replace(PLAN, windows=(window,), rate=15), "ann")
    while fleet.clock.now() < start + 800:
        fleet.clock.advance(max(0.1, fleet.engine.tick()))
    assigned = sorted(row["assigned_at"] - start for row in fleet.rows(MEMBERS))
    assert 540 < assigned[0] <= 605
    assert all(late - early > 59 for early, late in zip(assigned, assigned[15:], strict=False))
    assert assigned[-1] < 800


def test_a_slow_version_is_stopped_by_its_guard(fleet: Fleet) -> None:
    fleet.create(replace(PLAN, guards=(Guard("slow", 0.05), Guard("errors", 0.01))))
    canary = fleet.members()[:8]
    for device in canary:
        fleet.counts(device, 1, 10.0)
        fleet.counts(device, 2, 25.0)
    good(fleet, canary)
    assert fleet.rollout().state == "aborted"
    assert "slow is at most 5 points worse" in fleet.rollout().why
    settled = [json.loads(row["compared"]) for row in fleet.rows(MEMBERS) if row["compared"]]
    assert [item["values"] for item in settled] == [{"errors": 0.0, "slow": 1.0}] * 8
    assert sorted(item["place"] for item in settled) == list(range(1, 9))


def test_a_version_that_is_not_signed_is_waited_for(fleet: Fleet, repository: object) -> None:
    fleet.create(Plan("digits", 3, observe_s=60.0))
    assert fleet.rollout().state == "created"
    assert fleet.rollout().why == "version 3 of 'digits' is not signed yet."
    fleet.repository.offer(OLD + b"3", 3)
    fleet.repository.publish()
    fleet.tick(61)
    assert fleet.rollout().state == "running"
    assert len(fleet.members()) == 3


def test_whom_nothing_fits_is_left_out_and_told_why(small_fleet: Fleet) -> None:
    (other,) = small_fleet.enrol(1, profile="x86-64-avx2")
    (unlike,) = small_fleet.enrol(1, profile="", arch="riscv64")
    (alike,) = small_fleet.enrol(1, profile="")
    (runs,) = small_fleet.enrol(1, runs=2)
    number = small_fleet.create(replace(SMALL, stages=(Stage(),)))
    assert set(small_fleet.members()) == {*small_fleet.devices[:6], alike}
    assert small_fleet.rollouts.left_out(number) == {
        other: "nothing is signed of version 2 for x86-64-avx2",
        unlike: "nothing is signed of version 2 for riscv64",
    }
    assert small_fleet.rollouts.preview(SMALL).left_out[runs] == "it runs the version already"


def test_a_rollout_begins_when_a_device_can_take_part(small_fleet: Fleet) -> None:
    small_fleet.create(replace(SMALL, query="site = lab"))
    assert small_fleet.rollout().state == "created"
    assert small_fleet.rollout().why == "no device can run version 2: the query means none."
    small_fleet.store.set_attributes(small_fleet.devices[2], {"site": "lab"}, "ann")
    small_fleet.tick(61)
    assert small_fleet.members() == [small_fleet.devices[2]]


def test_the_query_of_plan_and_stage_choose(small_fleet: Fleet) -> None:
    lab = small_fleet.enrol(2, site="lab")
    small_fleet.enrol(2, site="shop")
    plan = replace(SMALL, query="has site", stages=(Stage(query="site = lab"), Stage()))
    number = small_fleet.create(plan)
    assert set(small_fleet.members()) == set(lab)
    small_fleet.rollouts.act(number, "promote", "bob")
    small_fleet.tick()
    assert len(small_fleet.members()) == 4


def test_a_model_has_one_rollout_at_a_time(small_fleet: Fleet) -> None:
    number = small_fleet.create(SMALL)
    with pytest.raises(UsageError, match=f"rollout {number} of 'digits' has not ended"):
        small_fleet.rollouts.create(SMALL, "bob")
    small_fleet.rollouts.act(number, "abort", "bob")
    assert small_fleet.rollouts.create(SMALL, "bob") == number + 1
    assert [found.state for found in small_fleet.rollouts.list()] == ["aborted", "created"]
    with pytest.raises(UsageError, match="no rollout has the number 99"):
        small_fleet.rollouts.act(99, "pause", "bob")
    assert small_fleet.rollouts.get(99) is None


def test_devices_that_come_later_get_the_version_that_was_rolled_out_last(small_fleet: Fleet) -> None:
    number = small_fleet.create(replace(SMALL, when_undecided="promote", query="site != shop"))
    for stage in (0, 1):
        good(small_fleet, small_fleet.members(stage))
    assert small_fleet.rollout().state == "completed"
    (late,) = small_fleet.enrol(1, runs=None)
    (meant_otherwise,) = small_fleet.enrol(1, runs=None, site="shop")
    small_fleet.tick()
    assert small_fleet.store.assignment_of(late).models["digits"].sha256 == SHA[2]
    assert small_fleet.store.assignment_of(meant_otherwise).models == {}
    small_fleet.store.set_attributes(meant_otherwise, {"site": "lab"}, "ann")
    small_fleet.tick()
    assert small_fleet.store.assignment_of(meant_otherwise).models["digits"].sha256 == SHA[2]
    newer = small_fleet.create(replace(SMALL, version=1))
    assert newer == number + 1
    (last,) = small_fleet.enrol(1, runs=None)
    small_fleet.tick()
    assert last not in small_fleet.members(number=number)


def test_devices_that_come_during_a_stage_by_share_join_it(small_fleet: Fleet) -> None:
    small_fleet.create(replace(SMALL, stages=(Stage(),)))
    (late,) = small_fleet.enrol(1)
    small_fleet.tick()
    assert late in small_fleet.members()


def test_a_stage_that_nobody_joins_is_passed_over(small_fleet: Fleet) -> None:
    number = small_fleet.create(replace(SMALL, stages=(Stage(count=6), Stage(0.5, query="site = lab"), Stage())))
    small_fleet.rollouts.act(number, "promote", "bob")
    small_fleet.tick()
    assert (small_fleet.rollout().state, small_fleet.rollout().stage) == ("running", 2)
    good(small_fleet, small_fleet.members())
    assert small_fleet.rollout().state == "completed"


def test_the_evidence_is_told_at_every_time(small_fleet: Fleet) -> None:
    number = small_fleet.rollouts.create(SMALL, "ann")
    assert small_fleet.rollouts.evidence(number).counts[0].assigned == 0
    small_fleet.tick()
    small_fleet.fails(small_fleet.members()[:1])
    small_fleet.tick()
    evidence = small_fleet.rollouts.evidence(number)
    assert (evidence.counts[0].bad, evidence.counts[0].pending) == (1, 2)
    assert evidence.tests[0].evidence > 0
    small_fleet.rollouts.act(number, "abort", "bob")
    assert small_fleet.rollouts.evidence(number).counts[0].bad == 1


def test_two_servers_on_one_database_do_each_step_once(small_fleet: Fleet) -> None:
    engines = [small_fleet.new_engine(), small_fleet.new_engine()]
    small_fleet.rollouts.create(replace(SMALL, when_undecided="promote"), "ann")
    for _ in range(3):
        for engine in engines:
            engine.tick()
        small_fleet.runs(small_fleet.members())
        small_fleet.clock.advance(PLAN.observe_s)
    assert small_fleet.rows(ROLLOUTS)[0]["state"] == "completed"
    assert {row["attempt"] for row in small_fleet.assigned().values()} == {0}
    small_fleet.check()
