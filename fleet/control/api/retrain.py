"""Policies and retrainings: set and looked at by people, worked on by workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ..people import Person
from ..retrain.records import Retraining
from ..retrain.store import Retrainings
from . import models, trainings
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_Who = Annotated[Person, Depends(who)]


def router(parts: Parts) -> APIRouter:
    """The routes of `policies` and `retrainings`."""
    routes, store = APIRouter(route_class=GuardedRoute), Retrainings(parts.database)

    @routes.get("/policies", openapi_extra=least("viewer"))
    def policies() -> trainings.Policies:
        """When models are trained again."""
        found = [trainings.Policy(model=item.model, policy=item.text, at=item.at, by=item.by) for item in store.policies()]
        return trainings.Policies(policies=found)

    @routes.put("/policies/{model}", openapi_extra=least("operator"))
    def set_policy(model: models.Name, wanted: trainings.NewPolicy, person: _Who) -> trainings.Policy:
        """Put a policy in place of the model's one."""
        policy = store.set_policy(model, wanted.policy, person.name)
        return trainings.Policy(model=model, policy=str(policy), at=parts.database.clock.now(), by=person.name)

    @routes.delete("/policies/{model}", openapi_extra=least("operator"))
    def remove_policy(model: models.Name, person: _Who) -> models.Removed:
        """Let nothing start a retraining of the model but a person."""
        with refusing(404, "unknown"):
            store.remove_policy(model, person.name)
        return models.Removed(name=model, is_removed=True)

    @routes.get("/retrainings", openapi_extra=least("viewer"))
    def listed(
        model: Annotated[models.Name | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> trainings.Retrainings:
        """Retrainings, the newest first."""
        found = list(reversed(store.list(model)))[:limit]
        return trainings.Retrainings(retrainings=[_shown(item) for item in found])

    @routes.post("/retrainings", openapi_extra=least("operator"))
    def open_one(wanted: trainings.NewRetraining, person: _Who) -> trainings.Retraining:
        """Ask for a retraining by hand; a model has one at a time."""
        with refusing(409, "state"):
            number = store.open(wanted.model, wanted.why, person.name)
        return _shown(_known(store, number))

    @routes.post("/retrainings/lease", openapi_extra=least("operator"))
    def lease(wanted: trainings.NewLease, person: _Who) -> trainings.Lease:
        """Take up the oldest retraining that waits, or whose worker is silent."""
        with refusing(409, "state"):
            found = store.lease(wanted.worker, tuple(wanted.models), wanted.lease_s, person.name)
        if found is None:
            return trainings.Lease(retraining=None, deployed=[], until=None, policy=None)
        deployed = [trainings.Deployed.model_validate(item.to_json()) for item in found.deployed]
        return trainings.Lease(
            retraining=_shown(found.retraining), deployed=deployed, until=found.until, policy=str(found.policy)
        )

    @routes.get("/retrainings/{retraining}", openapi_extra=least("viewer"))
    def one(retraining: trainings.RetrainingId) -> trainings.Retraining:
        """A retraining with its steps."""
        return _shown(_known(store, retraining))

    @routes.post("/retrainings/{retraining}/beat", openapi_extra=least("operator"))
    def beat(retraining: trainings.RetrainingId, said: trainings.Beat) -> trainings.Retraining:
        """Hold a lease for longer."""
        _known(store, retraining)
        with refusing(409, "state"):
            store.beat(retraining, said.worker, said.lease_s)
        return _shown(_known(store, retraining))

    @routes.post("/retrainings/{retraining}/steps", openapi_extra=least("operator"))
    def step(retraining: trainings.RetrainingId, said: trainings.NewStep, person: _Who) -> trainings.Retraining:
        """Note that a step was done; the same again changes nothing."""
        _known(store, retraining)
        with refusing(409, "state"):
            return _shown(store.note(retraining, said.worker, said.step, said.details, person.name))

    @routes.post("/retrainings/{retraining}/end", openapi_extra=least("operator"))
    def end(retraining: trainings.RetrainingId, said: trainings.End, person: _Who) -> trainings.Retraining:
        """Let a retraining end without a new version: a gate refused it, or it could not be done."""
        _known(store, retraining)
        with refusing(409, "state"):
            return _shown(store.end(retraining, said.worker, said.state, said.why, said.details, person.name))

    @routes.post("/retrainings/{retraining}/approve", openapi_extra=least("operator"))
    def approve(retraining: trainings.RetrainingId, person: _Who) -> trainings.Retraining:
        """Let what passed its gates be published as a canary."""
        _known(store, retraining)
        with refusing(409, "state"):
            return _shown(store.approve(retraining, person.name))

    @routes.post("/retrainings/{retraining}/cancel", openapi_extra=least("operator"))
    def cancel(retraining: trainings.RetrainingId, person: _Who) -> trainings.Retraining:
        """End a retraining that has not ended."""
        _known(store, retraining)
        with refusing(409, "state"):
            return _shown(store.cancel(retraining, person.name))

    return routes


def _known(store: Retrainings, number: int) -> Retraining:
    found = store.get(number)
    if found is None:
        raise Refusal(404, "unknown", f"no retraining has the number {number}; `edgewright retrain list` lists them.")
    return found


def _shown(item: Retraining) -> trainings.Retraining:
    return trainings.Retraining.model_validate(item.to_json())
