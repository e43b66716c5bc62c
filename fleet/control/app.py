"""The control plane's application, put together: devices before all (`front`), metrics, people's API.

Every refusal to a device is `{"code": ..., "error": SENTENCE}`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from ...core.clock import Clock
from ...core.errors import EdgewrightError
from .api.parts import Parts
from .api.routes import routes as people_routes
from .auth import NotSigned
from .database import Database
from .devices import Devices
from .door import Door
from .front import Front
from .keeper import Keeper
from .metrics import KIND, Counts, text
from .page.routes import routes as page_routes
from .people import People
from .polls import Polls
from .refusal import refusal
from .rollouts.store import Rollouts
from .store import Store
from .writer import Writer


def make_app(
    database: Database, clock: Clock, repository: str, *, poll_s: float = 300.0, root_sha256: str | None = None
) -> ASGIApp:
    """The application, which has read all devices. It is whole in a server that lets it begin and end (ASGI's lifespan).

    `repository` is the address of the signed repository that new devices are told; each device shall poll once in `poll_s`
    seconds. `root_sha256` is the digest of the root.json that they shall trust; without it people cannot make tokens for
    devices. Raises StoreError where the database cannot be read.
    """
    store, people, counts = Store(database), People(database), Counts()
    polls = Polls(database, store, poll_s)
    keeper, writer = Keeper(polls), Writer(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with keeper.running():
            yield
        writer.close()

    app = FastAPI(title="Edgewright control", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_route("/v1/health", _health, methods=["GET"])
    app.add_route("/metrics", _metrics(database, people, polls, counts), methods=["GET"])
    parts = Parts(database, store, people, Rollouts(database), root_sha256)
    app.router.routes.append(people_routes(parts))
    app.include_router(page_routes(parts, poll_s))
    devices = Devices(store, polls, writer, counts, repository)
    return Front(app, polls, Door(polls, keeper, clock), devices, counts, clock)


async def _health(request: Request) -> Response:
    return Response(b'{"live":true}', media_type="application/json")


def _metrics(database: Database, people: People, polls: Polls, counts: Counts) -> Callable[[Request], Awaitable[Response]]:
    def told(secret: str) -> str:
        if people.find(secret) is None:
            raise NotSigned("metrics need a token of anybody who may look, as `Authorization: Bearer ew_...`.", "token")
        with database.reading() as connection:
            return text(connection, polls, counts)

    async def route(request: Request) -> Response:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        try:
            shown = await run_in_threadpool(told, secret.strip() if kind.lower() == "bearer" else "")
        except EdgewrightError as error:
            status, body = refusal(error)
            return Response(body, status, media_type="application/json")
        return Response(shown, media_type=KIND, headers={"Cache-Control": "no-store"})

    return route
