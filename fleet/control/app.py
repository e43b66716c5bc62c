"""The control plane's application, put together: polls from memory, the other routes of devices, metrics.

Every refusal to a device is `{"code": ..., "error": SENTENCE}`. Bodies are bounded while they come; what a body holds is read
by `fleet.protocol` alone, so that device and server cannot disagree on its form.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from ...core.canonical import dumps
from ...core.clock import Clock
from ...core.errors import EdgewrightError
from ..protocol.enrolment import Enrolled, Enrolment, NewKey
from ..protocol.message import MAX_MESSAGE_BYTES
from ..protocol.report import Answer, Report
from ..protocol.window import MAX_BATCH_BYTES, Batch, Window
from .api.parts import Parts
from .api.routes import routes as people_routes
from .auth import NotAllowed, NotSigned, check_new_key
from .database import Database
from .door import Door
from .front import Front
from .keeper import Keeper
from .metrics import KIND, Counts, text
from .people import People
from .polls import Polls
from .refusal import TooLarge, refusal
from .rollouts import Rollouts
from .store import Store

Work = Callable[[str, bytes], bytes]  # the device and what it sent; the body of the answer
Route = Callable[[Request], Awaitable[Response]]


def make_app(
    database: Database, clock: Clock, repository: str, *, poll_s: float = 300.0, root_sha256: str | None = None
) -> ASGIApp:
    """The application, which has read all devices. It is whole in a server that lets it begin and end (ASGI's lifespan).

    `repository` is the address of the signed repository that new devices are told; each device shall poll once in `poll_s`
    seconds. `root_sha256` is the digest of the root.json that they shall trust; without it people cannot make tokens for
    devices. Raises StoreError where the database cannot be read.
    """
    counts = Counts()

    def heard(device: str, windows: Sequence[Window]) -> None:
        if windows:
            counts.heard(polls.cohort(device, windows[0].model), windows)

    store, people = Store(database, heard), People(database)
    polls = Polls(database, store, poll_s)
    keeper = Keeper(polls)
    door = Door(polls, keeper, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with keeper.running():
            yield

    app = FastAPI(title="Edgewright control", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_device_routes(app, store, door, counts, repository)
    app.add_route("/v1/health", _health, methods=["GET"])
    app.add_route("/metrics", _metrics(database, people, polls, counts), methods=["GET"])
    app.router.routes.append(people_routes(Parts(database, store, people, Rollouts(database), root_sha256)))
    return Front(app, polls, door, counts, clock)


def _add_device_routes(app: FastAPI, store: Store, door: Door, counts: Counts, repository: str) -> None:
    def signed(work: Work, most: int = MAX_MESSAGE_BYTES) -> Route:
        async def route(request: Request) -> Response:
            body = await _body(request, most)
            device = await door.device(request.scope, _headers(request), body)
            return _json(await run_in_threadpool(work, device, body))

        return _refusing(route)

    async def enrol(request: Request) -> Response:
        body = await _body(request, MAX_MESSAGE_BYTES)
        device = await run_in_threadpool(lambda: store.enrol(Enrolment.decode(body)))
        return _json(Enrolled(device, repository).encode())

    def reports(device: str, body: bytes) -> bytes:
        report = Report.decode(body)
        if report.device != device:
            raise NotAllowed("a device reports for itself only.")
        is_aborted = store.take(report)
        if report.result is not None:
            counts.reported(report.model, report.result)
        return Answer(is_aborted).encode()

    def telemetry(device: str, body: bytes) -> bytes:
        return dumps({"sequence": store.take_windows(device, Batch.decode(body))})

    def key(device: str, body: bytes) -> bytes:
        new = NewKey.decode(body)
        check_new_key(device, new)
        store.replace_key(device, new.public_key)
        return b"{}"

    # Starlette's routes: nothing of these requests is for FastAPI to read.
    app.add_route("/v1/enrol", _refusing(enrol), methods=["POST"])
    app.add_route("/v1/reports", signed(reports), methods=["POST"])
    app.add_route("/v1/telemetry", signed(telemetry, MAX_BATCH_BYTES), methods=["POST"])
    app.add_route("/v1/key", signed(key), methods=["POST"])


async def _health(request: Request) -> Response:
    return _json(b'{"live":true}')


def _metrics(database: Database, people: People, polls: Polls, counts: Counts) -> Route:
    def told() -> str:
        with database.reading() as connection:
            return text(connection, polls, counts)

    async def route(request: Request) -> Response:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or await run_in_threadpool(people.find, secret.strip()) is None:
            raise NotSigned("metrics need a token of anybody who may look, as `Authorization: Bearer ew_...`.", "token")
        return Response(await run_in_threadpool(told), media_type=KIND, headers={"Cache-Control": "no-store"})

    return _refusing(route)


def _refusing(route: Route) -> Route:
    """The route, with errors as refusals."""

    async def answered(request: Request) -> Response:
        try:
            return await route(request)
        except EdgewrightError as error:
            status, body = refusal(error)
            return _json(body, status)

    return answered


async def _body(request: Request, most: int) -> bytes:
    """The body, read no further than `most` bytes; raises ProtocolError."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLarge(f"the request has more than {most} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _headers(request: Request) -> dict[str, str]:
    """Header fields by name in lower case; one that comes twice is none, so that no two readers can differ on it."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = "" if name in found else value
    return found


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")
