"""Rows of policies and retrainings, and how they are changed: each change with its entry in the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, insert, select, update

from ....core.canonical import dumps
from ....core.errors import UsageError
from ...retrain.job import ENDED, State, WorkerStep, next_step
from ...retrain.policy import Policy
from ..audit import record
from ..database import Database
from ..tables import POLICIES, RETRAININGS

POLICY = "policy"  # who is written down in the audit log where a policy acts
CAREFUL = Policy.parse("on: drift severe")  # who may let rollouts begin where a model has no policy


@dataclass(frozen=True)
class Done:
    """A step that was done: when, by whom, and what came of it (digests, figures)."""

    step: str
    at: float
    by: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Retraining:
    """A retraining: `why` tells the last change in a sentence, `cause` why it was opened; `rollout` is its newest."""

    id: int
    model: str
    state: State
    why: str
    cause: str
    alert: int | None
    made_at: float
    made_by: str
    changed_at: float
    steps: tuple[Done, ...]
    worker: str | None
    lease_until: float | None
    rollout: int | None

    @property
    def is_ended(self) -> bool:
        """Whether nothing follows."""
        return self.state in ENDED

    @property
    def next(self) -> WorkerStep | None:
        """What a worker has to do next."""
        return next_step(self.state, [item.step for item in self.steps])

    def step(self, name: str) -> Done | None:
        """What came of a step, or None where it was not done."""
        return next((item for item in self.steps if item.step == name), None)

    @property
    def artifacts(self) -> dict[str, str]:
        """SHA-256 of what was published, by profile; empty before."""
        done = self.step("publish")
        return {} if done is None else dict(done.details["artifacts"])

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields, `next` among them."""
        names = ("id", "model", "state", "why", "cause", "alert", "made_at", "made_by", "changed_at", "worker", "lease_until")
        steps = [{"step": item.step, "at": item.at, "by": item.by, "details": dict(item.details)} for item in self.steps]
        return {**{name: getattr(self, name) for name in names}, "rollout": self.rollout, "steps": steps, "next": self.next}


def load(connection: Connection, number: int) -> Retraining | None:
    """The retraining of that number, or None."""
    row = connection.execute(select(RETRAININGS).where(RETRAININGS.c.id == number)).first()
    return None if row is None else _retraining(row)


def known(connection: Connection, number: int) -> Retraining:
    """The retraining of that number; raises UsageError for one that is unknown."""
    found = load(connection, number)
    if found is None:
        raise UsageError(f"no retraining has the number {number}; `edgewright retrain list` lists them.")
    return found


def load_all(connection: Connection, model: str | None = None, *, only_open: bool = False) -> list[Retraining]:
    """Retrainings in the order in which they were opened, of all models or of one."""
    asked = select(RETRAININGS).order_by(RETRAININGS.c.id)
    if model is not None:
        asked = asked.where(RETRAININGS.c.model == model)
    if only_open:
        asked = asked.where(RETRAININGS.c.state.not_in(ENDED))
    return [_retraining(row) for row in connection.execute(asked)]


def policy_of(connection: Connection, model: str) -> Policy | None:
    """The policy of a model, or None."""
    text = connection.execute(select(POLICIES.c.text).where(POLICIES.c.model == model)).scalar()
    return None if text is None else Policy.parse(text)


def open_one(
    connection: Connection,
    database: Database,
    model: str,
    cause: str,
    alert: int | None,
    actor: str,
    details: Mapping[str, Any],
) -> int:
    """The number of a new retraining, which waits for a worker; raises UsageError while another of the model goes on."""
    other = connection.execute(select(RETRAININGS.c.id).where(RETRAININGS.c.key == model)).scalar()
    if other is not None:
        raise UsageError(f"retraining {other} of {model!r} has not ended; wait for it, or cancel it first.")
    now = database.clock.now()
    told = {"made_by": actor, "cause": cause, "done": []}
    values = {
        "model": model,
        "state": "waiting",
        "why": f"{cause.rstrip('.')}; it waits for a worker (`edgewright retrain retrain.toml`).",
        "alert": alert,
        "made_at": now,
        "changed_at": now,
        "steps": dumps(told).decode(),
        "key": model,
    }
    number = int(connection.execute(insert(RETRAININGS).values(**values).returning(RETRAININGS.c.id)).scalar_one())
    record(
        connection,
        database,
        actor,
        "open-retraining",
        f"retraining {number}",
        {"model": model, "why": cause, "alert": alert, **details},
    )
    return number


def save(
    connection: Connection,
    database: Database,
    found: Retraining,
    state: State,
    why: str,
    *,
    done: tuple[Done, ...] | None = None,
    **changes: Any,
) -> None:
    """Write the state, the sentence, steps and further columns; an ended one holds no lease and lets the next be opened."""
    values: dict[str, Any] = {"state": state, "why": why, "changed_at": database.clock.now(), **changes}
    if done is not None:
        steps = [{"step": item.step, "at": item.at, "by": item.by, "details": dict(item.details)} for item in done]
        told = {"made_by": found.made_by, "cause": found.cause, "done": steps}
        values["steps"] = dumps(told).decode()
    if state in ENDED:
        values |= {"key": None, "lease_until": None}
    connection.execute(update(RETRAININGS).where(RETRAININGS.c.id == found.id).values(**values))


def note(
    connection: Connection, database: Database, found: Retraining, actor: str, action: str, details: Mapping[str, Any]
) -> None:
    """Write an entry about a retraining into the audit log."""
    record(connection, database, actor, action, f"retraining {found.id}", {"model": found.model, **details})


def _retraining(row: Row[Any]) -> Retraining:
    told = json.loads(row.steps)
    return Retraining(
        id=row.id,
        model=row.model,
        state=cast(State, row.state),
        why=row.why,
        cause=told["cause"],
        alert=row.alert,
        made_at=row.made_at,
        made_by=told["made_by"],
        changed_at=row.changed_at,
        steps=tuple(Done(item["step"], item["at"], item["by"], item["details"]) for item in told["done"]),
        worker=row.worker,
        lease_until=row.lease_until,
        rollout=row.rollout,
    )
