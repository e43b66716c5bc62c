from __future__ import annotations

import pytest
from control.page.reading import Page, check_harmless
from edgewright.fleet.control.api.parts import Parts
from edgewright.fleet.control.page.glance import fleet_view
from edgewright.fleet.control.page.render import render
from edgewright.fleet.control.page.rollout import rollout_view
from edgewright.fleet.control.page.rollouts import rollout_rows
from edgewright.fleet.control.people import Person
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.plan import Plan, Stage

OPERATOR, VIEWER = Person("Ada", "operator"), Person("Vera", "viewer")
PLAN = Plan("digits", 4, stages=(Stage(count=10), Stage()), observe_s=0.0, needs_approval=True)


@pytest.fixture
def rolled(fleet):
    """30 devices that run version 3; version 4 is signed."""
    three = fleet.artifact(3)
    for _ in range(30):
        fleet.tell(fleet.device(), three)
    fleet.artifact(4)
    return fleet


def shown(fleet, number, person=OPERATOR, is_all=False):
    parts = Parts(fleet.database, fleet.store, fleet.people, fleet.rollouts)
    return rollout_view(parts, person, number, is_all)


def page(fleet, view, person=OPERATOR):
    found = Page(render("rollout", view=view, me=person, csrf="c", now=fleet.clock.now(), here="/rollouts", live_s=None))
    check_harmless(found)
    return found


def test_a_canary_under_way(rolled):
    number = rolled.roll_out(PLAN)
    rolled.answer(number, bad={0}, most=4)
    view = shown(rolled, number)
    assert (view.row.pill.text, view.row.stage) == ("running", "canary, stage 1 of 2")
    assert (view.row.counts.good, view.row.counts.bad, view.row.counts.waiting) == (3, 1, 6)
    canary, rest = view.stages
    assert (canary.pill.text, canary.who, canary.counts.members) == ("running", "10", 10)
    assert (rest.pill.text, rest.who, rest.why) == ("not started", "all", "Its devices are chosen when it begins.")
    assert view.evidence_of == "canary"
    # What went wrong stands first, with why.
    assert (view.members[0].pill.text, view.members[0].why) == ("bad", "3 other answers of 16")
    assert len(view.members) == 10
    words = page(rolled, view).words
    assert "3 good, 1 bad, 6 without an answer yet" in words
    assert "allowed, 10 % unacceptable" in words.replace("\u00a0", " ")


def test_a_viewer_sees_all_of_it_and_may_do_nothing(rolled):
    number = rolled.roll_out(PLAN)
    assert [verb.name for verb in shown(rolled, number).verbs] == ["pause", "promote", "abort"]
    view = shown(rolled, number, VIEWER)
    assert view.verbs == []
    assert page(rolled, view, VIEWER).tags.count("form") == 1  # to sign out


def test_what_can_be_done_follows_the_state(rolled):
    number = rolled.roll_out(PLAN)
    rolled.rollouts.act(number, "pause", "Ada")
    assert [verb.name for verb in shown(rolled, number).verbs] == ["resume", "promote", "abort"]
    rolled.rollouts.act(number, "abort", "Ada")
    view = shown(rolled, number)
    assert view.verbs == []
    assert [stage.pill.text for stage in view.stages] == ["aborted", "not reached"]
    assert "10 devices get back what they had" in page(rolled, view).words


def test_an_abort_is_warned_of_with_how_many_devices_it_concerns(rolled):
    (abort,) = [verb for verb in shown(rolled, rolled.roll_out(PLAN)).verbs if verb.name == "abort"]
    assert abort.warning.startswith("10 devices that were assigned version 4 get back what ran before.")


def test_failures_stop_it_and_the_fleet_s_page_says_so(rolled):
    number = rolled.roll_out(PLAN)
    rolled.answer(number, bad=range(10))
    view = shown(rolled, number)
    assert view.row.pill.text == "aborted"
    assert "which refutes that at most 3 % of the devices fail" in view.row.why
    assert view.row.counts.bad == 10
    assert "the bound was reached" in view.figures[0].captions[0]
    with rolled.database.reading() as connection:
        glance = fleet_view(connection, rolled.clock.now(), 900.0)
    assert [notice.href for notice in glance.notices] == [f"/rollouts/{number}"]
    assert glance.rollouts == []


def test_a_second_stage_has_the_first_behind_it(rolled):
    number = rolled.roll_out(Plan("digits", 4, stages=(Stage(count=5), Stage()), observe_s=0.0, when_undecided="promote"))
    rolled.answer(number)
    rolled.answer(number, silent={0}, most=3)
    view = shown(rolled, number)
    assert view.row.stage == "stage 2 of 2"
    assert [stage.pill.text for stage in view.stages] == ["passed", "running"]
    assert [figure.title for figure in view.figures] == ["Devices that fail, stage 2", "Devices that fail, all stages so far"]
    rolled.answer(number)
    view = shown(rolled, number)
    assert (view.row.pill.text, view.row.stage) == ("completed", "all stages")
    assert [stage.pill.text for stage in view.stages] == ["passed", "passed"]


def test_who_takes_no_part_is_told_when_asked(rolled):
    stranger = rolled.device(profile="cortex-m4")
    number = rolled.roll_out(PLAN)
    view = shown(rolled, number)
    assert view.left_out is None
    assert "Which devices take no part, and why" in page(rolled, view).words
    view = shown(rolled, number, is_all=True)
    assert list(view.left_out) == [(stranger, "nothing is signed of version 4 for cortex-m4")]
    assert "nothing is signed of version 4 for cortex-m4" in page(rolled, view).words


def test_guards_are_drawn_from_what_devices_counted(rolled):
    three, four = (item.sha256 for item in rolled.shelf.offered)
    number = rolled.roll_out(Plan("digits", 4, stages=(Stage(count=10), Stage()), observe_s=0.0, guards=(Guard("slow", 0.05),)))
    for device, _ in rolled.open_members(number):
        rolled.count(device, three, p50_ms=0.6)
        rolled.count(device, four, p50_ms=6.0)
    rolled.answer(number)
    view = shown(rolled, number)
    assert view.row.pill.text == "aborted"
    assert view.figures[1].title == "Slow requests: slow <= +5pt"
    assert "refutes that slow is at most 5 points worse than before" in view.figures[1].captions[0]


def test_its_own_entries_of_the_audit_log(rolled):
    number = rolled.roll_out(PLAN)
    rolled.rollouts.act(number, "pause", "Grace")
    view = shown(rolled, number)
    assert [(row.actor, row.action) for row in view.history[:1]] == [("Grace", "pause-rollout")]
    assert {row.href for row in view.history} == {f"/rollouts/{number}"}
    assert view.history[-1].action == "create-rollout"


def test_a_rollout_of_what_is_not_signed_waits(fleet):
    fleet.device()
    number = fleet.roll_out(PLAN)
    view = shown(fleet, number)
    assert (view.row.pill.text, view.row.counts.members) == ("not started", 0)
    words = page(fleet, view).words
    assert "is not signed yet" in words
    assert "No device has been assigned yet." in words
    assert "No device has answered yet." in words


def test_a_rollout_that_is_none(fleet):
    assert shown(fleet, 7) is None


def test_the_list_has_the_newest_first(rolled):
    first = rolled.roll_out(PLAN)
    rolled.rollouts.act(first, "abort", "Ada")
    second = rolled.roll_out(PLAN)
    with rolled.database.reading() as connection:
        rows = rollout_rows(connection)
    assert [row.id for row in rows] == [second, first]
    found = Page(render("rollouts", view=rows, me=VIEWER, csrf="c", now=rolled.clock.now(), here="/rollouts", live_s=None))
    check_harmless(found)
    assert "digits 4" in found.words
