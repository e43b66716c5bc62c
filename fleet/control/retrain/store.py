"""What people, workers and the page do with policies and retrainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from ....core.canonical import dumps
from ....core.errors import UsageError
from ...protocol.offer import check_model
from ...retrain.job import LEASED, State, WorkerStep, after, check_step, undone
from ...retrain.policy import Policy
from ..audit import record
from ..database import Database
from ..tables import POLICIES, RETRAININGS
from .carrying import carry_on, plans_of
from .deployed import Deployed, deployed
from .records import CAREFUL, Done, Retraining, known, load, load_all, note, open_one, save
from .triggers import readable

LONGEST_LEASE_S = 3600.0
MAX_DETAILS_BYTES = 32 << 10
MAX_WHY = 2000


@dataclass(frozen=True)
class OfModel:
    """The policy of a model: its text as it is kept, since when, and by whom; `policy` is None where it cannot be read."""

    model: str
    text: str
    policy: Policy | None
    at: float
    by: str


@dataclass(frozen=True)
class Leased:
    """A retraining that a worker may work on; `deployed` is what runs now; samples labelled until `until` belong to it."""

    retraining: Retraining
    deployed: tuple[Deployed, ...]
    until: float
    policy: Policy


class Retrainings:
    """Policies and retrainings. Safe for several threads; every method raises StoreError when the database cannot be used.

    Every method that changes something raises UsageError where that cannot be done, and writes it into the audit log.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    # Policies

    def policies(self) -> list[OfModel]:
        """All policies, by model."""
        with self.database.reading() as connection:
            rows = connection.execute(select(POLICIES).order_by(POLICIES.c.model)).all()
        return [OfModel(row.model, row.text, readable(row.model, row.text), row.at, row.by) for row in rows]

    def set_policy(self, model: str, text: str, actor: str) -> Policy:
        """Put a policy in place of the model's one; gives what was read."""
        check_model(model)
        policy = Policy.parse(text)
        values = {"text": str(policy), "at": self.database.clock.now(), "by": actor}
        made = self.database.upsert(POLICIES).values(model=model, **values)
        with self.database.transaction() as connection:
            connection.execute(made.on_conflict_do_update(index_elements=["model"], set_=values))
            record(connection, self.database, actor, "set-policy", model, {"policy": str(policy)})
        return policy

    def remove_policy(self, model: str, actor: str) -> None:
        """Let nothing start a retraining of the model but a person."""
        with self.database.transaction() as connection:
            if connection.execute(delete(POLICIES).where(POLICIES.c.model == model)).rowcount == 0:
                raise UsageError(f"{model!r} has no policy; `edgewright retrain policies` lists those that there are.")
            record(connection, self.database, actor, "remove-policy", model, {})

    # To look at

    def list(self, model: str | None = None) -> list[Retraining]:
        """Retrainings in the order in which they were opened, of all models or of one."""
        with self.database.reading() as connection:
            return load_all(connection, model)

    def get(self, number: int) -> Retraining | None:
        """The retraining of that number, or None."""
        with self.database.reading() as connection:
            return load(connection, number)

    # People

    def open(self, model: str, why: str, actor: str) -> int:
        """The number of a retraining that a person asks for."""
        check_model(model)
        with self.database.transaction() as connection:
            if not deployed(connection, model):
                raise UsageError(f"no device says that it runs {model!r}; there is nothing to train again.")
            return open_one(connection, self.database, model, why or f"{actor} asked for it.", None, actor, {})

    def approve(self, number: int, actor: str) -> Retraining:
        """Let a retraining that passed its gates be published as a canary; whoever worked on it cannot."""
        with self.database.transaction() as connection:
            found = known(connection, number)
            if found.state != "to-approve":
                raise UsageError(f"retraining {number} is {found.state}, and nothing of it waits to be approved.")
            if actor in {item.by for item in found.steps}:
                raise UsageError(f"{actor} worked on retraining {number} and cannot approve it; let another person do it.")
            done = (*found.steps, Done("approve", self.database.clock.now(), actor, {}))
            why = f"approved by {actor}; the worker publishes it as a canary."
            save(connection, self.database, found, "waiting", why, done=done, lease_until=None)
            note(connection, self.database, found, actor, "approve-retraining", {"gate": _digest(found, "gate")})
            return known(connection, number)

    def cancel(self, number: int, actor: str) -> Retraining:
        """End a retraining; a rollout of it that goes on is aborted by its own command."""
        with self.database.transaction() as connection:
            found = known(connection, number)
            if found.is_ended:
                raise UsageError(f"retraining {number} has ended already: {found.why}")
            save(connection, self.database, found, "cancelled", f"cancelled by {actor}.")
            note(connection, self.database, found, actor, "cancel-retraining", {"state": found.state})
            return known(connection, number)

    # Workers

    def lease(self, worker: str, models: tuple[str, ...], lease_s: float, actor: str) -> Leased | None:
        """The oldest retraining of these models that waits, or whose worker is silent; None where there is none.

        A worker that asks again gets its own again. From now on for `lease_s` seconds only this worker may note steps.
        """
        if not 1 <= lease_s <= LONGEST_LEASE_S:
            raise UsageError(f"a lease of {lease_s:g} s is none; give 1 to {LONGEST_LEASE_S:g} seconds.")
        now, columns = self.database.clock.now(), RETRAININGS.c
        free = or_(columns.worker == worker, columns.lease_until.is_(None), columns.lease_until < now)
        asked = select(columns.id).where(columns.state.in_(LEASED), columns.model.in_(models), free).order_by(columns.id)
        with self.database.reading() as connection:
            if connection.execute(asked.limit(1)).first() is None:
                return None
        with self.database.transaction() as connection:
            number = connection.execute(asked.limit(1)).scalar()
            if number is None:
                return None
            found = known(connection, number)
            if found.worker != worker or found.state == "waiting":
                note(connection, self.database, found, actor, "lease-retraining", {"worker": worker, "next": found.next})
            begin = found.step("begin") or Done("begin", now, actor, {"worker": worker})
            done = found.steps if found.step("begin") is not None else (*found.steps, begin)
            why = f"{worker} works on it: {found.next}."
            save(connection, self.database, found, "running", why, done=done, worker=worker, lease_until=now + lease_s)
            policy = _policy(connection, found.model)
            return Leased(known(connection, number), tuple(deployed(connection, found.model)), begin.at, policy)

    def beat(self, number: int, worker: str, lease_s: float) -> None:
        """Hold a lease for longer; raises UsageError where it was lost."""
        if not 1 <= lease_s <= LONGEST_LEASE_S:
            raise UsageError(f"a lease of {lease_s:g} s is none; give 1 to {LONGEST_LEASE_S:g} seconds.")
        with self.database.transaction() as connection:
            found = _held(connection, number, worker)
            save(connection, self.database, found, found.state, found.why, lease_until=self.database.clock.now() + lease_s)

    def note(self, number: int, worker: str, step: WorkerStep, details: Mapping[str, Any], actor: str) -> Retraining:
        """Note that a step was done; once more with the same details changes nothing, with others it replaces what followed."""
        _check_details(details)
        with self.database.transaction() as connection:
            found = known(connection, number)
            told = plans_of(details, found.model) if step == "publish" else dict(details)
            before = found.step(step)
            if before is not None and dict(before.details) == told and found.worker == worker:
                return found
            found = _held(connection, number, worker)
            check_step(found.state, [item.step for item in found.steps], step)
            kept = tuple(item for item in found.steps if item.step not in undone(step))
            done = (*kept, Done(step, self.database.clock.now(), actor, told))
            state = after(step, _policy(connection, found.model))
            save(connection, self.database, found, state, _after(state, replace(found, state=state, steps=done)), done=done)
            note(connection, self.database, found, actor, f"retrain-{step}", {"worker": worker, **told})
            carry_on(connection, self.database, number)
            return known(connection, number)

    def end(self, number: int, worker: str, state: State, why: str, details: Mapping[str, Any], actor: str) -> Retraining:
        """Let a retraining end as `refused` (by a gate, whose reason is `why`) or as `failed`; nothing that runs changes."""
        if state not in ("refused", "failed"):
            raise UsageError(f"a worker cannot let a retraining end as {state}; say refused or failed.")
        _check_details(details)
        if not 0 < len(why) <= MAX_WHY:
            raise UsageError(f"a reason has 1 to {MAX_WHY} characters, not {len(why)}.")
        with self.database.transaction() as connection:
            found = known(connection, number)
            if (found.state, found.why, found.worker) == (state, why, worker):
                return found
            found = _held(connection, number, worker)
            save(connection, self.database, found, state, why)
            action = "refuse-retraining" if state == "refused" else "fail-retraining"
            note(connection, self.database, found, actor, action, {"why": why, "worker": worker, "step": found.next, **details})
            return known(connection, number)


def _policy(connection: Connection, model: str) -> Policy:
    """Who may let rollouts begin: the model's policy, or the careful one where there is none that can be read."""
    text = connection.execute(select(POLICIES.c.text).where(POLICIES.c.model == model)).scalar()
    return (None if text is None else readable(model, text)) or CAREFUL


def _held(connection: Connection, number: int, worker: str) -> Retraining:
    """The retraining, if the worker's lease is the newest: one that was too slow, but nobody took its place, may go on."""
    found = known(connection, number)
    if found.state != "running":
        raise UsageError(f"retraining {number} is {found.state}, and no worker works on it: {found.why}")
    if found.worker != worker:
        raise UsageError(f"retraining {number} was taken up by {found.worker}, since {worker} was silent for too long.")
    return found


def _check_details(details: Mapping[str, Any]) -> None:
    """Raise UsageError for what cannot be kept as JSON, and for too much of it."""
    try:
        size = len(dumps(dict(details)))
    except (TypeError, ValueError, RecursionError):
        raise UsageError("the details of a step hold what JSON has not, such as NaN; tell finite numbers and texts.") from None
    if size > MAX_DETAILS_BYTES:
        raise UsageError(f"the details of a step have {size} bytes, more than {MAX_DETAILS_BYTES}; tell less.")


def _digest(found: Retraining, step: str) -> Any:
    done = found.step(step)
    return None if done is None else done.details.get("digest")


def _after(state: State, found: Retraining) -> str:
    if state == "to-approve":
        return f"it passed its gates; `edgewright retrain approve {found.id}` lets it be published as a canary."
    if state == "canary":
        return "it is published as a canary, and its rollout begins."
    if state == "to-sign":
        return "it is signed for all, and its rollout begins when the server has seen that."
    return f"{found.worker} works on it: {found.next}."
