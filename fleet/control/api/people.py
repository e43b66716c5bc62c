"""People and groups of devices."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from ...rollout.query import parse
from ..attributes import described
from ..groups import groups, remove_group, set_group
from ..people import Person
from . import models
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_Who = Annotated[Person, Depends(who)]


def people_router(parts: Parts) -> APIRouter:
    """The routes of `people`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/people", openapi_extra=least("admin"))
    def people() -> models.People:
        """Who has a token."""
        found = [models.KnownPerson.model_validate(item, from_attributes=True) for item in parts.people.listed()]
        return models.People(people=found)

    @routes.post("/people", openapi_extra=least("admin"))
    def make(wanted: models.NewPerson, person: _Who) -> models.Secret:
        """Make a token for somebody; a name is free again when its token was revoked or has run out."""
        with refusing(409, "state"):
            secret = parts.people.make(wanted.name, wanted.role, wanted.days, person.name)
        return models.Secret(name=wanted.name, role=wanted.role, token=secret)

    @routes.delete("/people/{name}", openapi_extra=least("admin"))
    def revoke(name: models.PersonName, person: _Who) -> models.Removed:
        """Refuse somebody's token from now on."""
        if all(item.name != name for item in parts.people.listed()):
            raise Refusal(404, "unknown", f"nobody is called {name!r}; look at who has a token.")
        parts.people.revoke(name, person.name)
        return models.Removed(name=name, is_removed=True)

    return routes


def groups_router(parts: Parts) -> APIRouter:
    """The routes of `groups`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/groups", openapi_extra=least("viewer"))
    def listed() -> models.Groups:
        """All groups."""
        return models.Groups(groups=[models.Group(name=name, query=query) for name, query in _groups(parts).items()])

    @routes.get("/groups/{name}", openapi_extra=least("viewer"))
    def one(name: models.Name) -> models.CountedGroup:
        """A group, and how many devices it means now."""
        text = _known(parts, name)
        query = parse(text)
        with parts.database.reading() as connection:
            every = described(connection, parts.database.clock.now())
            count = sum(query.matches(item.attributes) for item in every)
        return models.CountedGroup(name=name, query=text, devices=count)

    @routes.put("/groups/{name}", openapi_extra=least("operator"))
    def put(name: models.Name, wanted: models.NewGroup, person: _Who) -> models.Group:
        """Make a group, or give it another query."""
        set_group(parts.database, name, wanted.query, person.name)
        return models.Group(name=name, query=wanted.query)

    @routes.delete("/groups/{name}", openapi_extra=least("operator"))
    def remove(name: models.Name, person: _Who) -> models.Removed:
        """Forget a group."""
        _known(parts, name)
        remove_group(parts.database, name, person.name)
        return models.Removed(name=name, is_removed=True)

    return routes


def _groups(parts: Parts) -> dict[str, str]:
    with parts.database.reading() as connection:
        return groups(connection)


def _known(parts: Parts, name: str) -> str:
    found = _groups(parts).get(name)
    if found is None:
        raise Refusal(404, "unknown", f"no group is called {name!r}; `edgewright group list` lists them.")
    return found
