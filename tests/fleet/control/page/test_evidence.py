from __future__ import annotations

import random

from edgewright.fleet.control.page.evidence import figures_of
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.judge import Outcome, Pair, judge
from edgewright.fleet.rollout.plan import Plan, Stage


def answered(stage, words):
    return [Outcome(f"{stage}-{place}", stage, word) for place, word in enumerate(words)]


def texts(svg):
    return [part.split("<")[0] for part in str(svg).split(">")]


def test_the_canary_has_one_picture_with_both_tests():
    plan = Plan("digits", 4)
    evidence, decision = judge(plan, 0, answered(0, ["good"] * 9 + ["bad", None, "good", None]), [], to_assign=27)
    (figure,) = figures_of(plan, evidence)
    assert decision.verdict == "continue"
    assert figure.title == "Devices that fail, canary"
    assert figure.sentence == "1 of 12 devices failed, 1 before the last answer has not answered yet."
    assert [text.partition(" evidence")[0] for text in figure.captions] == ["To stop:", "To go on:"]
    shown = texts(figure.wide)
    assert "✕ stop: more than 3 % fail" in shown
    assert "✓ go on: fewer than 10 % fail" in shown
    # All devices of the stage are on the axis, those to come too.
    assert "40" in shown


def test_a_version_that_is_refuted_is_seen_to_cross_the_bound():
    plan = Plan("digits", 4)
    evidence, decision = judge(plan, 0, answered(0, ["bad"] * 5), [])
    (figure,) = figures_of(plan, evidence)
    assert decision.verdict == "abort"
    (stop,) = [test for test in evidence.tests if test.side == "stop"]
    words = f"To stop: the bound was reached after {stop.reached} devices, which refutes that at most 3 % of the devices fail."
    assert figure.captions[0] == words


def test_later_stages_look_at_the_stage_and_at_all_devices():
    plan = Plan("digits", 4, stages=(Stage(count=40), Stage()))
    evidence, _ = judge(plan, 1, answered(0, ["good"] * 40) + answered(1, ["good"] * 7 + ["silent"]), [])
    figures = figures_of(plan, evidence)
    assert [figure.title for figure in figures] == ["Devices that fail, stage 2", "Devices that fail, all stages so far"]
    assert figures[0].sentence == "0 of 8 devices failed, 1 stayed silent."
    assert figures[1].sentence.startswith("0 of 48 devices failed")


def test_stages_of_other_devices_are_not_taken_together():
    plan = Plan("digits", 4, stages=(Stage(count=40, query="site = lab"), Stage()))
    evidence, _ = judge(plan, 1, answered(0, ["good"] * 40) + answered(1, ["good"] * 7), [])
    titles = [figure.title for figure in figures_of(plan, evidence)]
    assert titles == ["Devices that fail, stage 2", "Devices that fail, all stages so far"]


def test_guards_have_pictures_of_their_own():
    generator = random.Random(1)
    plan = Plan("digits", 4, guards=(Guard("errors", 0.01), Guard("slow", 0.05, to_promote=True)))
    pairs = [Pair(0, {"errors": 0.0, "slow": generator.uniform(0.3, 0.5)}) for _ in range(12)]
    evidence, decision = judge(plan, 0, answered(0, ["good"] * 12), pairs)
    assert decision.verdict == "abort"
    _, errors, slow = figures_of(plan, evidence)
    assert errors.title == "Requests that fail: errors <= +1pt"
    assert len(errors.captions) == 1
    assert slow.title == "Slow requests: slow <= +5pt to promote"
    assert "refutes that slow is at most 5 points worse than before" in slow.captions[0]
    assert slow.captions[1].startswith("To go on: evidence")
    shown = texts(slow.narrow)
    assert "✕ stop: slow above +5 pt" in shown
    assert "✓ go on: slow below +5 pt" in shown
    assert slow.sentence == "12 devices compared."


def test_nothing_has_answered_yet():
    plan = Plan("digits", 4, guards=(Guard("errors", 0.01),))
    evidence, _ = judge(plan, 0, answered(0, [None, None]), [], to_assign=3)
    failures, errors = figures_of(plan, evidence)
    assert failures.sentence == "No device has answered yet."
    assert errors.sentence == "0 devices compared."
