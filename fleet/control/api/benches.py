"""Measurings on devices: asked for, looked at, cancelled."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ..bench.merge import merged
from ..bench.records import Bench
from ..bench.store import Benches
from ..people import Person
from . import measurings, models
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_Who = Annotated[Person, Depends(who)]
_FIELDS = (
    "id", "name", "sha256", "query", "threads", "batches", "windows", "made_at", "made_by", "expires_at", "cancelled_at",
    "cancelled_by", "is_ended",
)  # fmt: skip
_OF_OFFER = ("model", "version", "profile", "runtime")


def router(parts: Parts) -> APIRouter:
    """The routes of `benches`."""
    routes, store = APIRouter(route_class=GuardedRoute), Benches(parts.database)

    @routes.get("/benches", openapi_extra=least("viewer"))
    def listed(
        sha256: Annotated[models.Sha256 | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> measurings.Benches:
        """Measurings, the newest first, of all artifacts or of one."""
        return measurings.Benches(benches=[_shown(item) for item in store.list(sha256, limit)])

    @routes.post("/benches", openapi_extra=least("operator"))
    def ask(wanted: measurings.NewBench, person: _Who) -> measurings.Bench:
        """Let devices measure a signed artifact, each when it polls next."""
        with refusing(409, "state"):
            found = store.ask(
                wanted.sha256, wanted.query, person.name, threads=wanted.threads, batches=wanted.batches,
                windows=wanted.windows, deadline_s=wanted.deadline_s,
            )  # fmt: skip
        return _shown(found)

    @routes.get("/benches/{bench}", openapi_extra=least("viewer"))
    def one(bench: measurings.BenchId) -> measurings.Bench:
        """A measuring with the figures of its devices."""
        return _shown(_known(store, bench))

    @routes.post("/benches/{bench}/cancel", openapi_extra=least("operator"))
    def cancel(bench: measurings.BenchId, person: _Who) -> measurings.Bench:
        """Take back what is open; a device that measures now hears of it when it polls next."""
        _known(store, bench)
        with refusing(409, "state"):
            return _shown(store.cancel(bench, person.name))

    return routes


def _known(store: Benches, number: int) -> Bench:
    found = store.get(number)
    if found is None:
        raise Refusal(404, "unknown", f"no measuring has the number {number}; `GET benches` lists them.")
    return found


def _shown(item: Bench) -> measurings.Bench:
    told = {name: getattr(item, name) for name in _FIELDS} | {name: getattr(item.offer, name) for name in _OF_OFFER}
    runs, figures = [run.to_json() for run in item.runs], [asdict(figure) for figure in merged(item.runs)]
    return measurings.Bench.model_validate({**told, "runs": runs, "merged": figures})
