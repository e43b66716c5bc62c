"""The states of a rollout: every verb and event in every state, and what holds whatever is done."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.rollout.state import ACTIVE, STATES, VERBS, act, happen, may, verbs_of
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.sampled_from([*VERBS, "begin", "next", "ask", "complete"]), max_size=30), st.integers(1, 4))
def test_an_ended_rollout_stays_ended_and_the_stage_only_rises(steps: list[str], stages: int) -> None:
    state, stage = "created", -1
    for step in steps:
        before = state, stage
        try:
            if step in VERBS:
                state, stage = act(state, stage, stages, step)
            elif step != "next" or stage + 1 < stages:
                state = happen(state, step)
                stage += step in ("begin", "next")
        except (UsageError, ValueError):
            assert (state, stage) == before
        assert before[0] in ACTIVE or (state, stage) == before
        assert before[1] <= stage < stages
        assert state in STATES


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_possible_or_refused_with_what_is(state: str, verb: str) -> None:
    if verb in verbs_of(state):
        assert act(state, 0, 2, verb)[0] in STATES
    else:
        with pytest.raises(UsageError, match=r"is possible\.$"):
            act(state, 0, 2, verb)


def test_promoting_goes_on_to_the_next_stage_and_after_the_last_to_the_end() -> None:
    assert act("running", 0, 2, "promote") == ("running", 1)
    assert act("running", 1, 2, "promote") == ("completed", 1)
    assert act("paused", 0, 2, "promote") == ("running", 1)
    assert act("waiting-for-approval", 0, 2, "approve") == ("running", 1)


def test_what_had_not_begun_begins_when_it_is_resumed() -> None:
    assert act("paused", -1, 2, "resume") == ("created", -1)
    with pytest.raises(UsageError, match="has not begun"):
        act("paused", -1, 2, "promote")


def test_viewers_only_look() -> None:
    assert not any(may("viewer", verb) for verb in VERBS)
    assert all(may(role, verb) for role in ("operator", "admin") for verb in VERBS)


def test_an_unknown_verb_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean 'pause'"):
        act("running", 0, 2, "pauze")  # type: ignore[arg-type]
