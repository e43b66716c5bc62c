"""The states of a rollout, as a table: what a person may do, what the engine does, and where each leads. Pure.

    created ──begin──▶ running ──next──▶ running (the next stage) ──complete──▶ completed
                         │ ▲  └──ask──▶ waiting-for-approval ──approve──▶ running (the next stage)
                   pause ▼ │ resume
                        paused           any of these but the ended ones ──abort──▶ aborted

A rollout that is paused or waits assigns nothing, and is aborted all the same when its failures say so. `promote` is a person's
word in place of a proof: the next stage begins, or after the last the rollout is completed.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...core.errors import UsageError, unknown

RolloutState = Literal["created", "waiting-for-approval", "running", "paused", "completed", "aborted"]
Verb = Literal["approve", "pause", "resume", "abort", "promote"]  # of people
Event = Literal["begin", "next", "ask", "pause", "complete", "abort"]  # of the engine
STATES: tuple[RolloutState, ...] = get_args(RolloutState)
VERBS: tuple[Verb, ...] = get_args(Verb)
ACTIVE: tuple[RolloutState, ...] = ("created", "waiting-for-approval", "running", "paused")
ROLES: dict[Verb, tuple[str, ...]] = dict.fromkeys(VERBS, ("operator", "admin"))

# State and verb -> next state. `approve` and `promote` also lead to the next stage.
_PEOPLE: dict[tuple[RolloutState, Verb], RolloutState] = {
    ("created", "abort"): "aborted",
    ("created", "pause"): "paused",
    ("waiting-for-approval", "approve"): "running",
    ("waiting-for-approval", "promote"): "running",
    ("waiting-for-approval", "pause"): "paused",
    ("waiting-for-approval", "abort"): "aborted",
    ("running", "pause"): "paused",
    ("running", "promote"): "running",
    ("running", "abort"): "aborted",
    ("paused", "resume"): "running",
    ("paused", "promote"): "running",
    ("paused", "abort"): "aborted",
}
_ENGINE: dict[tuple[RolloutState, Event], RolloutState] = {
    ("created", "begin"): "running",
    ("running", "next"): "running",
    ("running", "ask"): "waiting-for-approval",
    ("running", "pause"): "paused",
    ("running", "complete"): "completed",
    ("running", "abort"): "aborted",
    ("paused", "abort"): "aborted",
    ("waiting-for-approval", "abort"): "aborted",
}


def may(role: str, verb: Verb) -> bool:
    """Whether a person of that role may do it."""
    return role in ROLES[verb]


def verbs_of(state: RolloutState) -> tuple[Verb, ...]:
    """What can be done in a state."""
    return tuple(verb for verb in VERBS if (state, verb) in _PEOPLE)


def act(state: RolloutState, stage: int, stages: int, verb: Verb) -> tuple[RolloutState, int]:
    """State and stage after what a person does; raises UsageError where it cannot be done.

    A rollout that had not begun before it was paused has the stage -1, and resumes to be created.
    """
    if verb not in VERBS:
        raise UsageError(unknown("verb", verb, VERBS))
    if (state, verb) not in _PEOPLE:
        known = ", ".join(verbs_of(state)) or "nothing"
        raise UsageError(f"a rollout that is {state} cannot be told to {verb}; {known} is possible.")
    after = _PEOPLE[state, verb]
    if stage < 0:
        if verb == "promote":
            raise UsageError("a rollout that has not begun has nothing to promote; resume it.")
        return ("created" if after == "running" else after), stage
    if verb in ("approve", "promote"):
        return (after, stage + 1) if stage + 1 < stages else ("completed", stage)
    return after, stage


def happen(state: RolloutState, event: Event) -> RolloutState:
    """State after what the engine does; raises ValueError for an event that the state does not know."""
    if (state, event) not in _ENGINE:
        raise ValueError(f"a rollout that is {state} knows no event {event!r}.")
    return _ENGINE[state, event]
