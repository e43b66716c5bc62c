"""Samples that devices sent, and labels of them and of other answers."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ....core.errors import UsageError
from ..labels import Outcome, SampleLabel, push
from ..people import Person
from ..samples import Samples, State
from . import labelling, models
from .guard import GuardedRoute, least, who
from .parts import Parts

MAX_LABELS_BYTES = 16 << 20  # of one push
_PAGE_BYTES = 8 << 20  # of files in one answer
_Who = Annotated[Person, Depends(who)]
_After = Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")]


def router(parts: Parts) -> APIRouter:
    """The routes of `samples` and `labels`."""
    routes, samples = APIRouter(route_class=GuardedRoute), Samples(parts.database)

    @routes.get("/samples", openapi_extra=least("viewer"))
    def listed(
        model: models.Name,
        state: State = "all",
        device: Annotated[models.DeviceName | None, Query()] = None,
        after: _After = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> labelling.Samples:
        """Samples of a model, a page at a time, in the order of their ids, which is as good as random."""
        found = samples.listed(model, state, device=device, after=after, limit=limit + 1)
        shown = [labelling.Sample(**{**asdict(item), "reasons": list(item.reasons)}) for item in found[:limit]]
        return labelling.Samples(samples=shown, next=shown[-1].id if len(found) > limit else None)

    @routes.get("/samples/files", openapi_extra=least("operator"))
    def files(
        model: models.Name,
        state: State = "labelled",
        labelled_until: Annotated[float | None, Query(ge=0, le=2.0**40)] = None,
        after: _After = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> labelling.SampleFiles:
        """Samples of a model with what people said, showed or wrote: a page at a time, in the order of their ids."""
        shown: list[labelling.SampleFile] = []
        size = 0
        for item, data in samples.files(model, state, labelled_until=labelled_until, after=after):
            if len(shown) == limit or (shown and size + len(data) > _PAGE_BYTES):
                return labelling.SampleFiles(samples=shown, next=shown[-1].id)
            size += len(data)
            told = {**asdict(item), "reasons": list(item.reasons), "file": base64.b64encode(data).decode()}
            shown.append(labelling.SampleFile(**told))
        return labelling.SampleFiles(samples=shown, next=None)

    @routes.post("/labels", openapi_extra=least("operator", MAX_LABELS_BYTES))
    def pushed(given: labelling.NewLabels, person: _Who) -> labelling.Pushed:
        """Take labels, all or none; the same again changes nothing."""
        if bool(given.samples) == bool(given.answers):
            raise UsageError("give labels of samples or of answers, one of the two, and at least one.")
        labels = [SampleLabel(item.sample, item.label) for item in given.samples]
        answers = [Outcome(item.device, item.at, item.predicted, item.label, item.sha256) for item in given.answers]
        found = push(parts.database, given.model, labels or answers, person.name)
        return labelling.Pushed(**asdict(found))

    return routes
