"""The table of states: every transition, and what holds whatever happens in whatever order."""

from __future__ import annotations

import pytest
from edgewright.fleet.agent.machine import EFFECTS, MAX_TRANSITIONS, TABLE, Event, Happening, Progress, advance, begin
from edgewright.fleet.protocol.report import STATES, State
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

D: Happening = "done"
F: Happening = "failed"
A: Happening = "aborted"
U: Happening = "unreported"
R: Happening = "restarted"
BACK = (D, D, D, D, D)  # rollback, restart of the old, its check, the report, clean-up

# What happens from Download on, the states that follow, and the result.
SCENARIOS: list[tuple[str, tuple[Happening, ...], str, str]] = [
    ("a good version", (D,) * 7, "AI AR AV AC AL CL ID", "SUCCESSFUL"),
    ("no download", (F, D, D), "AF CL ID", "FAILED_NO_STATE_CHANGE"),
    ("taken back in the download", (A, D, D), "AF CL ID", "FAILED_NO_STATE_CHANGE"),
    ("power lost in the download", (R, R, *(D,) * 7), "DO DO AI AR AV AC AL CL ID", "SUCCESSFUL"),
    ("taken back before the install", (D, A, D, D), "AI AF CL ID", "FAILED_NO_STATE_CHANGE"),
    ("nobody hears of the install", (D, U, D, D), "AI AF CL ID", "FAILED_NO_STATE_CHANGE"),
    ("no install", (D, F, *BACK), "AI RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("power lost in the install", (D, R, *BACK), "AI RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("the worker does not start", (D, D, F, *BACK), "AI AR RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("taken back before the start", (D, D, A, *BACK), "AI AR RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("nobody hears of the start", (D, D, U, *BACK), "AI AR RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("power lost in the start", (D, D, R, *BACK), "AI AR RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("a trial that fails", (D, D, D, F, *BACK), "AI AR AV RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("taken back in the trial", (D, D, D, A, *BACK), "AI AR AV RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("power lost in the trial", (D, D, D, R, *BACK), "AI AR AV RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("no switch", (D, D, D, D, F, *BACK), "AI AR AV AC RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("taken back before the commit", (D, D, D, D, A, *BACK), "AI AR AV AC RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("nobody hears of the commit", (D, D, D, D, U, *BACK), "AI AR AV AC RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("power lost in the commit", (D, D, D, D, R, *BACK), "AI AR AV AC RB RR RV AF CL ID", "FAILED_ROLLBACK_COMPLETE"),
    ("power lost after the commit", (*(D,) * 5, R, D, R, D), "AI AR AV AC AL AL CL CL ID", "SUCCESSFUL"),
    ("clean-up fails", (*(D,) * 6, F), "AI AR AV AC AL CL ID", "SUCCESSFUL"),
    ("no rollback", (D, F, F, D, D), "AI RB AF CL ID", "FAILED_UNABLE_TO_ROLLBACK"),
    ("the old does not start", (D, F, D, F, D, D), "AI RB RR AF CL ID", "FAILED_UNABLE_TO_ROLLBACK"),
    ("the old is not healthy", (D, F, D, D, F, D, D), "AI RB RR RV AF CL ID", "FAILED_UNABLE_TO_ROLLBACK"),
    ("power lost in each step back", (D, F, R, D, R, D, R, *BACK[1:]), "AI RB RB RR RR RV RR RV AF CL ID",
     "FAILED_ROLLBACK_COMPLETE"),
    ("power lost in the report", (F, R, D, R, D), "AF AF CL CL ID", "FAILED_NO_STATE_CHANGE"),
]  # fmt: skip
SHORT: dict[str, State] = {
    "DO": "Download", "AI": "ArtifactInstall", "AR": "ArtifactReboot", "AV": "ArtifactVerifyReboot", "AC": "ArtifactCommit",
    "AL": "ArtifactCommit_Leave", "RB": "ArtifactRollback", "RR": "ArtifactRollbackReboot",
    "RV": "ArtifactVerifyRollbackReboot", "AF": "ArtifactFailure", "CL": "Cleanup", "ID": "Idle",
}  # fmt: skip


@pytest.mark.parametrize(("events", "states", "result"), [row[1:] for row in SCENARIOS], ids=[row[0] for row in SCENARIOS])
def test_scenario(events: tuple[Happening, ...], states: str, result: str) -> None:
    progress, effects = begin()
    assert effects == ("tell", "fetch")
    seen = []
    for kind in events:
        progress, effects = advance(progress, Event(kind, "" if kind == "done" else f"because {kind}"))
        seen.append(progress.state)
        assert effects == EFFECTS[progress.state]
    assert seen == [SHORT[name] for name in states.split()]
    assert progress.result == result
    assert bool(progress.why) == (result != "SUCCESSFUL")


def test_the_scenarios_take_every_transition_of_the_table() -> None:
    taken = set()
    for _, events, states, _ in SCENARIOS:
        route = ["DO", *states.split()]
        taken |= {(SHORT[state], kind) for state, kind in zip(route, events, strict=False)}
    assert taken == set(TABLE)


def test_the_first_reason_is_kept() -> None:
    progress = begin()[0]
    for event in (Event("done"), Event("failed", "no space", is_lasting=True), Event("failed", "no old one")):
        progress = advance(progress, event)[0]
    assert (progress.why, progress.is_lasting) == ("no space", True)


def test_an_event_that_a_state_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="Idle knows no event 'done'"):
        advance(Progress(), Event("done"))


def test_a_loop_of_restarts_is_detected() -> None:
    progress = begin()[0]
    for event in (Event("done"), Event("failed", "no space")):
        progress = advance(progress, event)[0]
    restarts = 0
    while progress.state == "ArtifactRollback":
        progress = advance(progress, Event("restarted"))[0]
        restarts += 1
    assert restarts == MAX_TRANSITIONS - 3
    assert progress.state == "ArtifactFailure"
    assert progress.result == "FAILED_UNABLE_TO_ROLLBACK"
    assert "StateLoopDetected" in progress.why
    assert progress.is_lasting
    while progress.state != "Idle":
        progress = advance(progress, Event("restarted"))[0]
        restarts += 1
    assert restarts < MAX_TRANSITIONS + 8


class AnyUpdate(RuleBasedStateMachine):
    """Any event that a state knows, in any order; the model is which version the disk starts and which one serves."""

    def __init__(self) -> None:
        super().__init__()
        self.again()

    @precondition(lambda self: self.progress.state == "Idle")
    @rule()
    def again(self) -> None:
        self.progress, self.effects = begin()
        self.path: list[State] = ["Download"]
        self.placed = self.switched = self.restored = False
        self.asked: set[State] = set()

    @precondition(lambda self: self.progress.state != "Idle")
    @rule(choice=st.integers(0, 4), is_lasting=st.booleans())
    def anything(self, choice: int, is_lasting: bool) -> None:
        known = [kind for state, kind in TABLE if state == self.progress.state]
        kind = known[choice % len(known)]
        before = self.progress.state
        if kind == "done":
            self._do(before)
        elif kind in ("failed", "restarted") and before == "ArtifactCommit":
            self.switched = True  # it may have been done, and not recorded
        self.progress, self.effects = advance(self.progress, Event(kind, "" if kind == "done" else "why", is_lasting))
        self.path.append(self.progress.state)

    def _do(self, state: State) -> None:
        effects = EFFECTS[state]
        if "ask" in effects:
            self.asked.add(state)
        self.placed |= "place" in effects
        self.switched |= "switch" in effects
        if "restore" in effects:
            self.switched, self.restored = False, True

    @invariant()
    def nothing_is_placed_before_the_install(self) -> None:
        assert not self.placed or "ArtifactInstall" in self.path

    @invariant()
    def a_commit_was_asked_for_three_times(self) -> None:
        if self.progress.state == "ArtifactCommit_Leave":
            assert self.asked == {"ArtifactInstall", "ArtifactReboot", "ArtifactCommit"}

    @invariant()
    def success_means_that_the_new_version_was_switched_to(self) -> None:
        if self.progress.result == "SUCCESSFUL":
            assert self.switched
            assert "ArtifactVerifyReboot" in self.path

    @invariant()
    def a_complete_rollback_means_that_the_old_version_starts(self) -> None:
        if self.progress.result == "FAILED_ROLLBACK_COMPLETE":
            assert self.restored
            assert not self.switched
        if self.progress.result == "FAILED_NO_STATE_CHANGE":
            assert not self.placed
            assert not self.switched

    @invariant()
    def every_end_has_a_result_and_every_failure_a_reason(self) -> None:
        if self.progress.state in ("ArtifactFailure", "Cleanup", "Idle", "ArtifactCommit_Leave"):
            assert self.progress.result is not None
            assert self.progress.result == "SUCCESSFUL" or self.progress.why

    @invariant()
    def it_ends(self) -> None:
        assert len([state for state in self.path if state != "Download"]) < MAX_TRANSITIONS + 8


AnyUpdate.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestAnyUpdate = AnyUpdate.TestCase


def test_all_states_have_effects() -> None:
    assert set(EFFECTS) == set(STATES)
