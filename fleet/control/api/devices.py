"""Devices: who they are, what they are called by, what is assigned to each, and tokens for new ones."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ...protocol.assignment import Wanted
from ...protocol.enrolment import Token
from ...protocol.offer import check_model
from ...rollout.query import parse
from ..attributes import Described, described, set_attributes
from ..people import Person
from . import models
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_DAY_S = 86400.0
_Who = Annotated[Person, Depends(who)]


def router(parts: Parts) -> APIRouter:
    """The routes of `devices` and `enrolment-tokens`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/devices", openapi_extra=least("viewer"))
    def devices(
        where: models.QueryText = "",
        after: Annotated[str, Query(max_length=100, pattern=r"^[A-Za-z0-9._-]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> models.Devices:
        """Devices that a query means, a page at a time."""
        query, found = parse(where), []
        with parts.database.reading() as connection:
            for item in described(connection, parts.database.clock.now(), after=after):
                if query.matches(item.attributes):
                    found.append(_shown(item))
                    if len(found) > limit:
                        break
        is_more = len(found) > limit
        found = found[:limit]
        return models.Devices(devices=found, next=found[-1].device if is_more else None)

    @routes.get("/devices/{device}", openapi_extra=least("viewer"))
    def one(device: models.DeviceName) -> models.Device:
        """One device."""
        return _shown(_known(parts, device))

    @routes.put("/devices/{device}/attributes", openapi_extra=least("operator"))
    def attributes(device: models.DeviceName, wanted: models.NewAttributes, person: _Who) -> models.Attributes:
        """Set what operators call a device by, all at once."""
        _known(parts, device)
        set_attributes(parts.store, device, wanted.attributes, person.name)
        return models.Attributes(device=device, attributes=wanted.attributes)

    @routes.post("/devices/{device}/revoke", openapi_extra=least("admin"))
    def revoke(device: models.DeviceName, person: _Who) -> models.Revoked:
        """Refuse a device from now on."""
        _known(parts, device)
        parts.store.revoke(device, person.name)
        return models.Revoked(device=device, is_revoked=True)

    @routes.put("/devices/{device}/assignments/{model}", openapi_extra=least("operator"))
    def assign(device: models.DeviceName, model: models.Name, wanted: models.NewAssignment, person: _Who) -> models.Assigned:
        """Assign a model to a device; again, to let it try once more what failed."""
        _known(parts, device)
        check_model(model)
        with refusing(409, "state"):
            parts.store.assign(device, Wanted(model, wanted.sha256, deadline_s=wanted.deadline_s), person.name)
        made = parts.store.assignment_of(device).models.get(model)
        if made is None:
            raise Refusal(409, "state", f"{model} on {device} was taken back by somebody at this moment; assign it again.")
        return models.Assigned(device=device, **made.to_json())

    @routes.delete("/devices/{device}/assignments/{model}", openapi_extra=least("operator"))
    def take_back(device: models.DeviceName, model: models.Name, person: _Who) -> models.TakenBack:
        """Take a deployment back: an update before its commit rolls back, a later one stays."""
        if model not in _known(parts, device).models:
            raise Refusal(404, "unknown", f"nothing of {model!r} is assigned to {device!r}; look at the device.")
        parts.store.abort(device, model, person.name)
        return models.TakenBack(device=device, model=model, is_aborted=True)

    @routes.post("/enrolment-tokens", openapi_extra=least("operator"))
    def enrol(wanted: models.NewToken, person: _Who) -> models.Token:
        """Make a one-time token for a new device."""
        if parts.root_sha256 is None:
            raise Refusal(409, "state", "this server knows no root that devices shall trust; start it with --root.")
        secret = parts.store.make_token(wanted.days * _DAY_S, person.name)
        return models.Token(token=str(Token(secret, parts.root_sha256)), days=wanted.days)

    return routes


def _known(parts: Parts, device: str) -> Described:
    with parts.database.reading() as connection:
        found = next(iter(described(connection, parts.database.clock.now(), only={device})), None)
    if found is None:
        raise Refusal(404, "unknown", f"no device is called {device!r}; `edgewright devices list` lists them.")
    return found


def _shown(item: Described) -> models.Device:
    return models.Device(
        device=item.device,
        enrolled_at=item.enrolled_at,
        seen_at=item.seen_at,
        is_revoked=item.revoked_at is not None,
        facts=dict(item.facts),
        set=dict(item.given),
        attributes={name: value if isinstance(value, str) else list(value) for name, value in item.attributes.items()},
        models={name: models.OfModel.model_validate(told) for name, told in item.models.items()},
    )
