"""Judgements: what is decided of which answers, that no order of answering changes it, and how often it is wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.judge import Outcome, Pair, abort_levels, judge
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.stats.sequential import at_least, at_most, log_bound
from edgewright.stats.sequential_arrays import first_reach, rate_paths
from hypothesis import given
from hypothesis import strategies as st

PLAN = Plan("digits", 2, stages=(Stage(0.05), Stage(0.25), Stage()))
WORDS = st.lists(st.sampled_from(["good", "good", "good", "bad", "silent", None]), max_size=80)


def told(words: str, stage: int = 0) -> list[Outcome]:
    """ "ggb.s": good, good, bad, open, silent."""
    named = {"g": "good", "b": "bad", "s": "silent", ".": None}
    return [Outcome(f"device-{stage}-{place}", stage, named[word]) for place, word in enumerate(words)]


def verdict(words: str, to_assign: int = 0, plan: Plan = PLAN) -> str:
    return judge(plan, 0, told(words), [], to_assign)[1].verdict


@pytest.mark.parametrize(
    ("words", "to_assign", "expected"),
    [
        ("", 5, "continue"),
        ("ggg", 5, "continue"),
        ("bgb", 50, "abort"),
        ("..b.b", 0, "continue"),
        ("g" * 34, 50, "promote"),
        ("g" * 33, 50, "continue"),
        ("g" * 33, 0, "undecided"),
        ("g" * 33 + ".", 0, "continue"),
        ("g" * 20 + "." + "g" * 19, 0, "continue"),  # the open one may be bad
        ("s" * 20, 0, "undecided"),
        ("s" * 20 + "g" * 34, 0, "promote"),
        ("b", 0, "undecided"),
    ],
)
def test_what_follows_from_the_answers(words: str, to_assign: int, expected: str) -> None:
    decision = judge(PLAN, 0, told(words), [], to_assign)[1]
    assert decision.verdict == expected
    assert decision.why.endswith(".")


@given(WORDS, st.integers(0, 3))
def test_what_is_decided_stands_whatever_the_open_ones_come_to_say(words: list[str | None], to_assign: int) -> None:
    outcomes = [Outcome(str(place), 0, word) for place, word in enumerate(words)]
    before = judge(PLAN, 0, outcomes, [], to_assign)[1].verdict
    for late in ("good", "bad"):
        after = [replace(item, word=item.word or late) for item in outcomes]
        if before == "abort" or (before == "promote" and judge(PLAN, 0, after, [], to_assign)[1].verdict != "abort"):
            assert judge(PLAN, 0, after, [], to_assign)[1].verdict == before


@given(WORDS)
def test_the_paths_are_those_of_the_tests(words: list[str | None]) -> None:
    outcomes = [Outcome(str(place), 0, word) for place, word in enumerate(words)]
    evidence, _ = judge(PLAN, 0, outcomes, [])
    failures, proof = evidence.tests
    bad = [item.word == "bad" for item in outcomes][: len(failures.path)]
    assert list(failures.path) == at_most(0.03).path(bad)
    heard = [item.word != "good" for item in outcomes[: len(proof.path)] if item.word != "silent"]
    assert proof.evidence == pytest.approx(at_least(0.10, 0.03).log_e(sum(heard), len(heard)) if heard else 0.0)
    assert sum(evidence.counts[0].to_json().values()) - evidence.counts[0].assigned == len(words)
    json.dumps(evidence.to_json(), allow_nan=False)


def test_failures_of_a_later_stage_are_not_hidden_by_the_good_ones_before() -> None:
    outcomes = told("g" * 2000) + told("b" * 4 + "g" * 4, 1)
    evidence, decision = judge(PLAN, 1, outcomes, [], 100)
    assert decision.verdict == "abort"
    assert "of the stage" in decision.why
    assert [test.name for test in evidence.tests if test.reached and test.side == "stop"] == ["failures of this stage"]


def test_the_error_levels_of_all_stages_add_up_to_alpha() -> None:
    plan = replace(PLAN, stages=tuple(Stage(share / 20) for share in range(1, 21)))
    first = abort_levels(plan, 0)[0]
    assert first + sum(abort_levels(plan, stage)[1] for stage in range(1, 20)) <= plan.alpha
    assert abort_levels(replace(PLAN, stages=(Stage(),)), 0) == (PLAN.alpha,)


def test_a_small_last_stage_is_proven_by_the_stages_before_it() -> None:
    outcomes = told("g" * 40) + told("g" * 5, 1)
    assert judge(PLAN, 1, outcomes, [])[1].verdict == "promote"
    assert judge(PLAN, 1, told("g" * 40) + told("g" * 4 + ".", 1), [])[1].verdict == "continue"
    other = replace(PLAN, stages=(Stage(0.05), Stage(query='site = "lab"')))
    assert judge(other, 1, outcomes, [])[1].verdict == "undecided"


def test_guards_abort_and_hold_back() -> None:
    plan = replace(PLAN, guards=(Guard("slow", 0.05),))
    slow = [Pair(0, {"slow": 1.0})] * 3
    decision = judge(plan, 0, told("ggg"), slow, 30)[1]
    assert decision.verdict == "abort"
    assert "slow is at most 5 points worse" in decision.why
    needed = replace(PLAN, guards=(Guard("slow", 0.05, to_promote=True),))
    good = told("g" * 60)
    assert judge(needed, 0, good, [], 9)[1].verdict == "continue"
    undecided = judge(needed, 0, good, [Pair(0, {"slow": 0.1})] * 3)[1]
    assert (undecided.verdict, "slow keeps within the guard" in undecided.why) == ("undecided", True)
    assert judge(needed, 0, good, [Pair(0, {"slow": 0.02})] * 60, 9)[1].verdict == "promote"
    assert judge(plan, 0, told("g" * 40), [Pair(0, {})] * 40, 9)[1].verdict == "promote"


RUNS = 3000


def runs(rate: float, devices: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((RUNS, devices)) < rate


def test_false_aborts_and_false_promotions_are_rare() -> None:
    slack = 3 * math.sqrt(0.05 * 0.95 / RUNS)
    allowed = rate_paths(at_most(PLAN.allowed), runs(PLAN.allowed, 400, 1))
    assert np.mean(first_reach(allowed, log_bound(abort_levels(PLAN, 0)[0])) > 0) <= 0.05 + slack
    bad = rate_paths(at_least(PLAN.unacceptable, PLAN.allowed), runs(PLAN.unacceptable, 400, 2))
    assert np.mean(first_reach(bad, log_bound(PLAN.alpha)) > 0) <= 0.05 + slack


def test_answers_in_the_order_in_which_they_come_would_deceive() -> None:
    """Failures say so at once and good devices much later: in that order a fine version is aborted, by place it is not."""
    generator = np.random.default_rng(3)
    words = np.where(generator.random((200, 150)) < 0.02, "b", "g")
    by_place = sum(verdict("".join(row).replace("g", "."), 0) == "abort" for row in words)
    by_arrival = sum(verdict("".join(sorted(row)).replace("g", ""), 0) == "abort" for row in words)
    assert by_place <= 20
    assert by_arrival >= 100
