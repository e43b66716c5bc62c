"""Rollouts: made, looked at with their evidence, and told to go on, to wait or to go back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends

from ...rollout.state import verbs_of
from ..people import Person
from ..rollouts.records import Rollout
from . import models, plans
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_SHOWN = 100  # devices of a kind that are named
_Who = Annotated[Person, Depends(who)]


def router(parts: Parts) -> APIRouter:
    """The routes of `rollouts`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/rollouts", openapi_extra=least("viewer"))
    def listed() -> plans.Rollouts:
        """All rollouts, the newest first."""
        found = sorted(parts.rollouts.list(), key=lambda item: -item.id)
        return plans.Rollouts(rollouts=[plans.Rollout.model_validate(_fields(item)) for item in found])

    @routes.post("/rollouts", openapi_extra=least("operator"))
    def create(wanted: plans.NewRollout, person: _Who) -> plans.RolloutNow:
        """Begin to follow a plan; a model has one rollout at a time."""
        plan = wanted.plan()
        with refusing(409, "state"):
            number = parts.rollouts.create(plan, person.name)
        return _now(parts, number)

    @routes.post("/rollouts/preview", openapi_extra=least("viewer"))
    def preview(wanted: plans.NewRollout) -> plans.Preview:
        """Tell what a plan would do now; nothing is done."""
        found = parts.rollouts.preview(wanted.plan())
        return plans.Preview(sizes=list(found.sizes), left_out=_left_out(found.left_out), remarks=list(found.remarks))

    @routes.get("/rollouts/{rollout}", openapi_extra=least("viewer"))
    def one(rollout: models.RolloutId) -> plans.RolloutNow:
        """A rollout with its evidence."""
        return _now(parts, rollout)

    @routes.post("/rollouts/{rollout}/{verb}", openapi_extra=least("operator"))
    def act(rollout: models.RolloutId, verb: models.Verb, person: _Who) -> plans.RolloutNow:
        """Approve the next stage, pause, resume, abort, or promote without proof."""
        _known(parts, rollout)
        with refusing(409, "state"):
            parts.rollouts.act(rollout, verb, person.name)
        return _now(parts, rollout)

    return routes


def _known(parts: Parts, number: int) -> Rollout:
    found = parts.rollouts.get(number)
    if found is None:
        raise Refusal(404, "unknown", f"no rollout has the number {number}; `edgewright rollout list` lists them.")
    return found


def _now(parts: Parts, number: int) -> plans.RolloutNow:
    found, evidence = _known(parts, number), parts.rollouts.evidence(number)
    told = {
        "can": verbs_of(found.state),
        "evidence": evidence.to_json(),
        "left_out": _left_out(parts.rollouts.left_out(number)),
    }
    return plans.RolloutNow.model_validate({**_fields(found), **told})


def _left_out(found: Mapping[str, str]) -> plans.LeftOut:
    return plans.LeftOut(count=len(found), why={name: found[name] for name in sorted(found)[:_SHOWN]})


def _fields(item: Rollout) -> dict[str, object]:
    names = ("id", "model", "version", "state", "stage", "why", "made_at", "made_by", "changed_at", "stage_since")
    return {**{name: getattr(item, name) for name in names}, "plan": item.plan.to_json()}
