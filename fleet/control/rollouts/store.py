"""What people do with rollouts: make one, look at it, tell it to go on, to wait or to go back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from ....core.canonical import dumps
from ....core.errors import UsageError
from ...rollout import state
from ...rollout.judge import Evidence
from ...rollout.plan import Plan
from ...rollout.state import ACTIVE, Verb
from ..database import Database
from ..tables import ROLLOUTS
from . import steps
from .population import population
from .records import Rollout, judged, load, load_all
from .shelf import artifacts_of

_PAST: dict[Verb, str] = {
    "approve": "approved",
    "pause": "paused",
    "resume": "resumed",
    "abort": "aborted",
    "promote": "promoted without a proof",
}


@dataclass(frozen=True)
class Preview:
    """What a plan would do now: devices that each stage reaches in all, who is left out and why, and what to think of first."""

    sizes: tuple[int, ...]
    left_out: Mapping[str, str]
    remarks: tuple[str, ...]


class Rollouts:
    """All rollouts. Safe for several threads; every method raises StoreError when the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, plan: Plan, actor: str) -> int:
        """The number of a new rollout, which the engine lets begin; raises UsageError while another of the model goes on."""
        told = " ".join(self.preview(plan).remarks)
        with self.database.transaction() as connection:
            return create(connection, self.database, plan, actor, told)

    def preview(self, plan: Plan) -> Preview:
        """What the plan would do now, before anything is done."""
        with self.database.reading() as connection:
            is_signed = bool(artifacts_of(connection, plan.model, plan.version))
            found = population(connection, self.database.clock.now(), plan)
        sizes = tuple(found.sizes(plan))
        left_out = {**found.left_out, **dict.fromkeys(found.running, "it runs the version already")}
        return Preview(sizes, left_out, tuple(_remarks(plan, is_signed, sizes)))

    def get(self, number: int) -> Rollout | None:
        """The rollout of that number, or None."""
        with self.database.reading() as connection:
            return load(connection, number)

    def list(self) -> list[Rollout]:
        """All rollouts, in the order in which they were made."""
        with self.database.reading() as connection:
            return load_all(connection)

    def evidence(self, number: int) -> Evidence:
        """The evidence of the stage that a rollout is in, or of the first before it begins; raises UsageError."""
        with self.database.reading() as connection:
            return judged(connection, _known(load(connection, number), number))[0]

    def left_out(self, number: int) -> Mapping[str, str]:
        """Devices that the rollout's query means and that cannot take part now, each with why in one clause."""
        with self.database.reading() as connection:
            plan = _known(load(connection, number), number).plan
            return population(connection, self.database.clock.now(), plan).left_out

    def act(self, number: int, verb: Verb, actor: str) -> Rollout:
        """Do what a person says, with its effects; raises UsageError for an unknown rollout and for what cannot be done now."""
        database = self.database
        with database.transaction() as connection:
            found = _known(load(connection, number), number)
            after, stage = state.act(found.state, found.stage, len(found.plan.stages), verb)
            why = f"{_PAST[verb]} by {actor}."
            if verb == "abort":
                steps.abort(connection, database, found, why, actor)
            elif stage != found.stage:
                steps.note(connection, database, found, actor, f"{verb}-rollout", {"stage": found.stage})
                steps.begin_stage(connection, database, found, stage, why, actor)
            else:
                steps.move(connection, database, found, after, why, actor, f"{verb}-rollout")
            return _known(load(connection, number), number)


def create(connection: Connection, database: Database, plan: Plan, actor: str, why: str) -> int:
    """The number of a new rollout, within a transaction; raises UsageError while another of the model goes on."""
    active = select(ROLLOUTS.c.id).where(ROLLOUTS.c.model == plan.model, ROLLOUTS.c.state.in_(ACTIVE))
    other = connection.execute(active).scalar()
    if other is not None:
        raise UsageError(f"rollout {other} of {plan.model!r} has not ended; wait for it, or abort it first.")
    now = database.clock.now()
    values = {
        "model": plan.model,
        "version": plan.version,
        "plan": dumps(plan.to_json()).decode(),
        "state": "created",
        "stage": -1,
        "why": why or "it begins at the engine's next look.",
        "made_at": now,
        "made_by": actor,
        "changed_at": now,
        "stage_since": now,
    }
    number = int(connection.execute(insert(ROLLOUTS).values(**values).returning(ROLLOUTS.c.id)).scalar_one())
    made = load(connection, number)
    if made is not None:
        steps.note(connection, database, made, actor, "create-rollout", {"plan": plan.to_json()})
    return number


def _known(found: Rollout | None, number: int) -> Rollout:
    if found is None:
        raise UsageError(f"no rollout has the number {number}; `edgewright rollout list` lists them.")
    return found


def _remarks(plan: Plan, is_signed: bool, sizes: tuple[int, ...]) -> list[str]:
    if not is_signed:
        return [f"version {plan.version} of {plan.model!r} is not signed yet, as far as is known; it begins when it is."]
    if not max(sizes, default=0):
        return ["no device that is meant can run the version; it begins when one can."]
    fewest = plan.fewest_to_promote
    if len(plan.stages) > 1 and sizes[0] < fewest:
        what = "goes on by the plan's word" if plan.when_undecided == "promote" else "pauses for a person's word"
        return [
            f"the canary has {sizes[0]} {'device' if sizes[0] == 1 else 'devices'} and cannot prove the version good enough "
            f"(that takes at least {fewest}, all good): unless its failures stop it, it {what}."
        ]
    return []
