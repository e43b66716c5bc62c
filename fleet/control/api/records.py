"""What there is to look at: artifacts, telemetry by artifact, the audit log."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from ...protocol.offer import MAX_VERSION
from ...protocol.window import LATENCY_EDGES_MS
from .. import audit
from ..tables import ARTIFACTS
from ..telemetry import Tally, tallies
from . import models
from .guard import GuardedRoute, least
from .parts import Parts


def router(parts: Parts) -> APIRouter:
    """The routes of `artifacts`, `telemetry` and `audit`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/artifacts", openapi_extra=least("viewer"))
    def artifacts() -> models.Artifacts:
        """What the signed repository offers and offered."""
        order = ARTIFACTS.c.model, ARTIFACTS.c.version.desc(), ARTIFACTS.c.name
        columns = [column for column in ARTIFACTS.c if column.name not in ("bins", "provenance")]
        with parts.database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(*order)).mappings().all()
        found = [models.Artifact(**{**row, "offer": json.loads(row["offer"])}) for row in rows]
        return models.Artifacts(artifacts=found)

    @routes.get("/telemetry", openapi_extra=least("viewer"))
    def telemetry(
        model: models.Name,
        version: Annotated[int | None, Query(ge=1, le=MAX_VERSION)] = None,
        where: models.QueryText = "",
    ) -> models.Telemetry:
        """What the devices that a query means have counted of a model."""
        found = tallies(parts.database, model, version, where)
        return models.Telemetry(model=model, latency_edges_ms=list(LATENCY_EDGES_MS), tallies=[_shown(item) for item in found])

    @routes.get("/audit", openapi_extra=least("viewer"))
    def log(after: models.Place = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> models.AuditLog:
        """Entries of the audit log behind a place, a page at a time."""
        with parts.database.reading() as connection:
            found = audit.entries(connection, after, limit + 1)
        shown = [models.AuditEntry.model_validate(entry, from_attributes=True) for entry in found[:limit]]
        return models.AuditLog(entries=shown, next=shown[-1].place if len(found) > limit else None)

    @routes.get("/audit/verify", openapi_extra=least("viewer"))
    def verify() -> models.AuditVerified:
        """Whether the audit log holds together."""
        with parts.database.reading() as connection:
            return models.AuditVerified.model_validate(audit.verify(connection), from_attributes=True)

    return routes


def _shown(item: Tally) -> models.Tally:
    window = item.window
    return models.Tally(
        sha256=window.sha256,
        version=item.version,
        profile=item.profile,
        devices=item.devices,
        start=window.start,
        end=window.end,
        requests=window.requests,
        samples=window.samples,
        unseen=window.unseen,
        errors=item.errors,
        latency=list(window.latency),
        tensors=[list(counts) for counts in window.tensors],
    )
