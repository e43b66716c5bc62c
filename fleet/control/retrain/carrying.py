"""What the server does for a retraining: its rollouts are made, looked at, and lead on. Each is a part of a transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from ....core.errors import UsageError
from ...retrain.job import after_canary
from ...rollout.plan import Plan
from ..database import Database
from ..rollouts import records as rollouts
from ..rollouts.store import create
from ..tables import ARTIFACTS
from .records import CAREFUL, POLICY, Done, Retraining, known, note, policy_of, save


def carry_on(connection: Connection, database: Database, number: int) -> None:
    """Take the steps of a retraining that are the server's and due: they follow from what its rollout and the signers did."""
    found = known(connection, number)
    if found.state == "canary":
        _canary(connection, database, found)
    elif found.state == "to-sign":
        _release(connection, database, found)
    elif found.state == "rolling-out":
        _end(connection, database, found)


def _canary(connection: Connection, database: Database, found: Retraining) -> None:
    if found.rollout is None:
        published = _published(found)
        _roll_out(connection, database, found, Plan.from_json(published["canary"]), "canary", "canary")
        return
    rollout = rollouts.load(connection, found.rollout)
    if rollout is None or rollout.state not in ("completed", "aborted"):
        return
    if rollout.state == "aborted":
        _stop(connection, database, found, f"its canary was stopped: {rollout.why}")
        return
    state = after_canary(policy_of(connection, found.model) or CAREFUL)
    why = "its canary passed; " + (
        f"sign version {rollout.version} for all with the offline keys (`edgewright publish`), and it goes to the fleet."
        if state == "to-sign"
        else f"the worker signs version {rollout.version} for all."
    )
    save(connection, database, found, state, why)
    note(connection, database, found, POLICY, "canary-passed", {"rollout": rollout.id, "version": rollout.version, "why": why})


def _release(connection: Connection, database: Database, found: Retraining) -> None:
    """The rollout for all, once everything that was published is signed for all devices."""
    version = _signed_for_all(connection, found)
    if version is None:
        return
    plan = Plan.from_json({**_published(found)["fleet"], "version": version})
    _roll_out(connection, database, found, plan, "rolling-out", "rollout")


def _end(connection: Connection, database: Database, found: Retraining) -> None:
    rollout = None if found.rollout is None else rollouts.load(connection, found.rollout)
    if rollout is None or rollout.state not in ("completed", "aborted"):
        return
    if rollout.state == "aborted":
        _stop(connection, database, found, f"its rollout was stopped: {rollout.why}")
        return
    why = f"version {rollout.version} runs on the fleet."
    save(connection, database, found, "done", why)
    note(
        connection, database, found, POLICY, "retraining-done", {"rollout": rollout.id, "version": rollout.version, "why": why}
    )


def _roll_out(connection: Connection, database: Database, found: Retraining, plan: Plan, state: Any, step: str) -> None:
    try:
        number = create(connection, database, plan, f"retraining {found.id}", "")
    except UsageError as error:
        if found.why != str(error):  # another rollout of the model goes on
            save(connection, database, found, found.state, str(error))
        return
    why = f"rollout {number} brings version {plan.version} to {'its canary' if step == 'canary' else 'the fleet'}."
    done = (*found.steps, Done(step, database.clock.now(), POLICY, {"rollout": number, "version": plan.version}))
    save(connection, database, found, state, why, done=done, rollout=number)
    details = {"rollout": number, "version": plan.version, "artifacts": found.artifacts}
    note(connection, database, found, POLICY, "begin-canary" if step == "canary" else "begin-release", details)


def _stop(connection: Connection, database: Database, found: Retraining, why: str) -> None:
    save(connection, database, found, "stopped", why)
    note(connection, database, found, POLICY, "stop-retraining", {"rollout": found.rollout, "why": why})


def _published(found: Retraining) -> Mapping[str, Any]:
    done = found.step("publish")
    if done is None:
        raise UsageError(f"retraining {found.id} has published nothing; it cannot be rolled out.")
    return done.details


def _signed_for_all(connection: Connection, found: Retraining) -> int | None:
    """The version under which all of its artifacts are signed for every device now, or None while one is missing."""
    wanted = set(found.artifacts.values())
    rows = connection.execute(
        select(ARTIFACTS.c.sha256, ARTIFACTS.c.version).where(
            ARTIFACTS.c.model == found.model,
            ARTIFACTS.c.sha256.in_(wanted),
            ARTIFACTS.c.is_canary.is_(False),
            ARTIFACTS.c.gone_at.is_(None),
        )
    ).all()
    versions: dict[int, set[str]] = {}
    for row in rows:
        versions.setdefault(int(row.version), set()).add(row.sha256)
    return max((version for version, there in versions.items() if there == wanted), default=None)


def plans_of(details: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What `publish` tells, checked: raises UsageError, ProtocolError for plans of another model and for what is none."""
    made = {name: Plan.from_json(json.loads(json.dumps(details.get(name)))) for name in ("canary", "fleet")}
    for name, plan in made.items():
        if plan.model != model:
            raise UsageError(f"the plan of the {name} is for {plan.model!r}, and the retraining is of {model!r}; correct it.")
    artifacts = details.get("artifacts")
    if not isinstance(artifacts, Mapping) or not artifacts or not all(isinstance(item, str) for item in artifacts.values()):
        raise UsageError("the step publish names no artifacts; give SHA-256 by profile.")
    return {**details, **{name: plan.to_json() for name, plan in made.items()}}
