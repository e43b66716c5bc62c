"""The people's API: an application of its own under /api/v1, with its OpenAPI at /api/v1/openapi.json."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Mount

from ....core.version import VERSION
from . import benches, devices, drift, labels, lineage, people, records, retrain, rollouts
from .guard import ROLE
from .models import Error
from .parts import Parts
from .refusals import add_refusals

PATH = "/api/v1"
_TITLE = "Edgewright control plane"
_ABOUT = (
    "Each request needs `Authorization: Bearer TOKEN`. `x-role` names the least role of a route; a viewer reads, an operator "
    "changes, an admin also revokes devices and makes tokens. Every refusal is a JSON object of `code` and `error`."
)


def routes(parts: Parts) -> Mount:
    """The API, for the application around it; `parts` is what it works on."""
    mount = Mount(PATH, _application(parts))
    # Starlette's own ends at a line break in an address, and lets the application around answer that.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def _application(parts: Parts) -> FastAPI:
    app = _Api(title=_TITLE, version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.parts = parts
    add_refusals(app)
    every = (
        benches.router(parts),
        devices.router(parts),
        drift.router(parts),
        labels.router(parts),
        lineage.router(parts),
        people.groups_router(parts),
        records.router(parts),
        retrain.router(parts),
        rollouts.router(parts),
        people.people_router(parts),
    )
    for router in every:
        app.include_router(router, responses={"4XX": {"model": Error}, 503: {"model": Error}})
    return app


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The description, with the token that every route needs."""
        if self.openapi_schema is None:
            made = get_openapi(title=self.title, version=self.version, description=_ABOUT, routes=self.routes)
            made["servers"] = [{"url": PATH}]
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for methods in made["paths"].values():
                for operation in methods.values():
                    operation["security"] = [{"token": []}]
                    operation["description"] = (
                        f"{operation.get('description', '')}\n\nNeeds the role {operation[ROLE]}.".strip()
                    )
            self.openapi_schema = made
        return self.openapi_schema
