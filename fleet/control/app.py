"""The control plane's HTTP routes for devices: enrol, ask, report, send telemetry, change the key.

Every refusal is `{"code": ..., "error": SENTENCE}`. Bodies are bounded while they come; what a body holds is read by
`fleet.protocol` alone, so that device and server cannot disagree on its form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from ...core.canonical import digest, dumps
from ...core.clock import Clock
from ...core.errors import EdgewrightError, ProtocolError, StoreError
from ..protocol.enrolment import Enrolled, Enrolment, NewKey
from ..protocol.message import MAX_MESSAGE_BYTES
from ..protocol.report import Answer, Report
from ..protocol.window import MAX_BATCH_BYTES, Batch
from .auth import NotAllowed, NotSigned, authenticate, check_new_key
from .store import Refused, Store

Work = Callable[[str, bytes, Request], Response]


class _TooLarge(ProtocolError):
    pass


def make_app(store: Store, clock: Clock, repository: str) -> FastAPI:
    """The application; `repository` is the address of the signed repository that new devices are told."""
    app = FastAPI(title="Edgewright control", openapi_url=None)

    def signed(work: Work, most: int = MAX_MESSAGE_BYTES) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            body = await _body(request, most)
            return await run_in_threadpool(_verified, request, body, work)

        return route

    def _verified(request: Request, body: bytes, work: Work) -> Response:
        path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace").partition("?")[0]
        query = request.scope["query_string"].decode("ascii", "replace")
        device = authenticate(store, clock, request.method, path, query, _headers(request), body)
        return work(device, body, request)

    async def enrol(request: Request) -> Response:
        body = await _body(request, MAX_MESSAGE_BYTES)
        device = await run_in_threadpool(lambda: store.enrol(Enrolment.decode(body)))
        return _json(Enrolled(device, repository).encode())

    def assignment(device: str, body: bytes, request: Request) -> Response:
        data = store.assignment(device).encode()
        etag = f'"{digest(data)[:32]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return _json(data, {"ETag": etag})

    def reports(device: str, body: bytes, request: Request) -> Response:
        report = Report.decode(body)
        if report.device != device:
            raise NotAllowed("a device reports for itself only.")
        return _json(Answer(store.take(report)).encode())

    def telemetry(device: str, body: bytes, request: Request) -> Response:
        return _json(dumps({"sequence": store.take_windows(device, Batch.decode(body))}))

    def key(device: str, body: bytes, request: Request) -> Response:
        new = NewKey.decode(body)
        check_new_key(device, new)
        store.replace_key(device, new.public_key)
        return _json(b"{}")

    async def health() -> dict[str, bool]:
        return {"live": True}

    app.add_api_route("/v1/enrol", enrol, methods=["POST"])
    app.add_api_route("/v1/assignment", signed(assignment), methods=["GET"])
    app.add_api_route("/v1/reports", signed(reports), methods=["POST"])
    app.add_api_route("/v1/telemetry", signed(telemetry, MAX_BATCH_BYTES), methods=["POST"])
    app.add_api_route("/v1/key", signed(key), methods=["POST"])
    app.add_api_route("/v1/health", health, methods=["GET"])
    for kind, status in ((_TooLarge, 413), (NotSigned, 401), (NotAllowed, 403), (Refused, 403)):
        app.add_exception_handler(kind, _refuser(status))
    app.add_exception_handler(ProtocolError, _refuser(400))
    app.add_exception_handler(StoreError, _refuser(503))
    return app


def _refuser(status: int) -> Callable[[Request, Exception], Response]:
    def refuse(request: Request, error: Exception) -> Response:
        code = getattr(error, "refusal", None) or getattr(error, "code", EdgewrightError.code)
        # What the database said is for the log of who runs it.
        told = "the server cannot keep it now; try again later." if isinstance(error, StoreError) else str(error)
        return _json(dumps({"code": code, "error": told}), status=status)

    return refuse


async def _body(request: Request, most: int) -> bytes:
    """The body, read no further than `most` bytes; raises ProtocolError."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise _TooLarge(f"the request has more than {most} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _headers(request: Request) -> dict[str, str]:
    """Header fields by name in lower case; one that comes twice is none, so that no two readers can differ on it."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = "" if name in found else value
    return found


def _json(data: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(data, status, headers, media_type="application/json")
