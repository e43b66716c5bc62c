"""The life of a retraining, as a table: which steps follow one another, whose each is, and where it leads. Pure.

    waiting ──lease──▶ running: collect, train, compile, gate, publish ──▶ canary ──completed──▶ to-sign
                                           └▶ to-approve ──▶ waiting         └▶ waiting: sign ──▶ to-sign
                                              (canary by person)                (fleet by machine)
    to-sign ──signed for all──▶ rolling-out ──completed──▶ done

    running ──▶ refused (by a gate), failed      canary, rolling-out ──aborted──▶ stopped      any ──▶ cancelled

The worker's steps change nothing that devices see before `publish`. Devices that take canaries see what the canary's key
signed; all others only what offline keys signed, whoever holds these: a person, or with `fleet by machine` the worker.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from ...core.errors import UsageError
from .policy import Policy

State = Literal[
    "waiting",
    "running",
    "to-approve",
    "canary",
    "to-sign",
    "rolling-out",
    "done",
    "refused",
    "failed",
    "stopped",
    "cancelled",
]
WorkerStep = Literal["collect", "train", "compile", "gate", "publish", "sign"]
# `begin` is the first lease; the rest are the server's and people's.
Step = Literal["begin", "collect", "train", "compile", "gate", "approve", "publish", "canary", "sign", "rollout"]
STATES: tuple[State, ...] = get_args(State)
ENDED: tuple[State, ...] = ("done", "refused", "failed", "stopped", "cancelled")
LEASED: tuple[State, ...] = ("waiting", "running")  # in which a worker may have it
WORKER_STEPS: tuple[WorkerStep, ...] = get_args(WorkerStep)
_BEFORE_CANARY = WORKER_STEPS[:-1]


def next_step(state: State, done: Collection[str]) -> WorkerStep | None:
    """What a worker has to do next, by the steps that were done; None where nothing is for a worker."""
    if state not in LEASED:
        return None
    if "canary" in done:
        return None if "sign" in done else "sign"
    return next((step for step in _BEFORE_CANARY if step not in done), None)


def check_step(state: State, done: Collection[str], step: WorkerStep) -> None:
    """Raise UsageError for a step that is not due; one that was done may be done again until something is published."""
    due = next_step(state, done)
    if step != due and (step not in done or "publish" in done or state not in LEASED):
        told = f"{due} is due" if due is not None else f"it is {state}"
        raise UsageError(f"the step {step} of the retraining is not due: {told}; ask for it anew.")


def undone(step: WorkerStep) -> tuple[WorkerStep, ...]:
    """The steps that have to be done again after `step` was done with another result."""
    return WORKER_STEPS[WORKER_STEPS.index(step) :]


def after(step: WorkerStep, policy: Policy) -> State:
    """Where a step leads that a worker has done."""
    if step == "gate" and policy.canary_by == "person":
        return "to-approve"
    if step == "publish":
        return "canary"
    return "to-sign" if step == "sign" else "running"


def after_canary(policy: Policy) -> State:
    """Where a canary leads that was completed: to a person with the offline keys, or to the worker that has them."""
    return "to-sign" if policy.fleet_by == "person" else "waiting"
