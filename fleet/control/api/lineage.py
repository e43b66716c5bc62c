"""Where what ran on a device came from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import select

from ..lineage import explain
from ..tables import DEVICES
from . import models
from .guard import GuardedRoute, Refusal, least
from .parts import Parts


class Event(BaseModel):
    """Something that was done; `place` in the audit log, or null where it is no entry of its own."""

    at: float
    actor: str
    action: str
    details: dict[str, Any]
    place: int | None


class Window(BaseModel):
    """An artifact that answered requests from `start` to `end`, by the device's clock."""

    sha256: str
    start: float
    end: float


class Explained(BaseModel):
    """What ran of a model, and where it came from; what is not known is null (docs/fleet/retrain.md says what each is)."""

    device: str
    model: str
    at: float
    sha256: str | None
    said_at: float | None
    sentence: str
    windows: list[Window]
    artifact: dict[str, Any] | None
    provenance: dict[str, Any] | None
    signed: list[Event]
    assigned: Event | None
    rollout: dict[str, Any] | None
    decisions: list[Event]
    retrainings: list[dict[str, Any]]
    alert: dict[str, Any] | None


class Explanation(BaseModel):
    """What ran on a device at a time, a model at a time."""

    explained: list[Explained]


def router(parts: Parts) -> APIRouter:
    """The route `explain`."""
    routes = APIRouter(route_class=GuardedRoute)

    @routes.get("/explain", openapi_extra=least("viewer"))
    def explained(
        device: models.DeviceName,
        at: Annotated[float | None, Query(ge=0, le=2.0**40, description="Seconds since 1970; now by default.")] = None,
        model: Annotated[models.Name | None, Query()] = None,
    ) -> Explanation:
        """Tell which model ran on a device at a time: its data, source, passes, gates, signers, rollout, retraining, alert."""
        moment = parts.database.clock.now() if at is None else at
        with parts.database.reading() as connection:
            if connection.execute(select(DEVICES.c.device).where(DEVICES.c.device == device)).first() is None:
                raise Refusal(404, "unknown", f"no device is called {device!r}; `edgewright devices list` lists them.")
            found = explain(connection, device, moment, model)
        return Explanation(explained=[Explained.model_validate(asdict(item)) for item in found])

    return routes
