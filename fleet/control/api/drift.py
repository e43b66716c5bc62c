"""Drift: what is known of a model, its alerts, and the word that somebody has seen one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ..drift.store import Drift
from ..drift.views import ACKNOWLEDGED, OPEN
from ..drift_report.chosen import Correction, DistanceName, TestName, choose
from ..drift_report.gather import MAX_SINCE_S, alert_of, models_of, report_of
from ..drift_report.records import Alert, Alerts, Models, Report, State
from ..people import Person
from . import models
from .guard import GuardedRoute, Refusal, least, refusing, who
from .parts import Parts

_Who = Annotated[Person, Depends(who)]
_Since = Annotated[float, Query(gt=0, le=MAX_SINCE_S, allow_inf_nan=False, description="Seconds that are looked back.")]
_WEEK_S = 7 * 86400.0


def router(parts: Parts) -> APIRouter:
    """The routes of `drift` and `alerts`."""
    routes = APIRouter(route_class=GuardedRoute)
    drift = Drift(parts.database)

    @routes.get("/drift", openapi_extra=least("viewer"))
    def listed() -> Models:
        """Models of which something was judged, those with the gravest alert first."""
        return Models(models=models_of(drift))

    @routes.get("/drift/{model}", openapi_extra=least("viewer"))
    def one(
        model: models.Name,
        since_s: _Since = _WEEK_S,
        sha256: models.Sha256 | None = None,
        distance: DistanceName | None = None,
        test: TestName = "ks",
        correction: Correction = "holm",
    ) -> Report:
        """A model's drift with its evidence; windows and measures are of one artifact, by default of what matters most.

        With a `distance` it and the `test` stand beside each measure, p-values by the `correction`: `holm` (any false one among
        all), `bh` (Benjamini-Hochberg: the share of false ones, which is weaker) or `none`. They open no alert.
        """
        found = report_of(drift, model, since_s, sha256)
        if found is None:
            raise Refusal(
                404, "unknown", f"nothing was counted of a model {model!r}; `edgewright drift list` lists the others."
            )
        if distance is not None:
            choose(found.measures, distance, test, correction)
        return found

    @routes.get("/alerts", openapi_extra=least("viewer"))
    def alerts(model: models.Name | None = None, state: State | None = None) -> Alerts:
        """Alerts, the newest first; without a `state` those that are not closed."""
        states = (OPEN, ACKNOWLEDGED) if state is None else (state,)
        return Alerts(alerts=[alert_of(item) for item in drift.alerts(model, states)])

    @routes.post("/alerts/{alert}/acknowledge", openapi_extra=least("operator"))
    def acknowledge(alert: models.AlertId, person: _Who) -> Alert:
        """Say that somebody has seen an alert."""
        with refusing(404, "unknown"):
            drift.alert(alert)
        with refusing(409, "state"):
            return alert_of(drift.acknowledge(alert, person.name))

    return routes
