"""What stands before the application: it answers devices itself, and hands everything else on.

A poll is `GET /v1/assignment`, the one request that every device of a fleet makes all the time. Its signature is verified each
time; after that it is a look into a dict. So it goes through no routing, no thread and no model of a request: it is plain ASGI,
and so are the other routes of devices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from ...core.clock import Clock
from ...core.errors import EdgewrightError
from ..protocol.bench_job import WAITING
from ..protocol.message import MAX_MESSAGE_BYTES
from ..protocol.poll import AFTER, PERIOD
from ..protocol.sample import MAX_SAMPLE_BYTES
from ..protocol.window import MAX_BATCH_BYTES
from .devices import Devices
from .door import Door
from .metrics import Counts
from .polls import Polls
from .refusal import TooLarge, refusal

POLL = "/v1/assignment"
Header = tuple[bytes, bytes]

_READ = frozenset({b"content-digest", b"signature-input", b"signature", b"if-none-match"})
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_JSON = (b"content-type", b"application/json")
_AFTER, _PERIOD, _WAITING = AFTER.encode(), PERIOD.encode(), WAITING.encode()


class Front:
    """An ASGI application before another."""

    def __init__(self, inner: ASGIApp, polls: Polls, door: Door, devices: Devices, counts: Counts, clock: Clock) -> None:
        self._inner, self._polls, self._door, self._counts, self._clock = inner, polls, door, counts, clock
        self._period = (_PERIOD, f"{polls.period_s:.3f}".encode())
        self._enrol = devices.enrol
        # What a device tells, by path: what takes it, and its most bytes.
        self._told: dict[str, tuple[Callable[[str, bytes], Awaitable[bytes]], int]] = {
            "/v1/reports": (devices.report, MAX_MESSAGE_BYTES),
            "/v1/telemetry": (devices.telemetry, MAX_BATCH_BYTES),
            "/v1/samples": (devices.sample, MAX_SAMPLE_BYTES),
            "/v1/bench": (devices.bench, MAX_MESSAGE_BYTES),
            "/v1/key": (devices.key, MAX_MESSAGE_BYTES),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a device; hand on what comes from nobody of these."""
        method, path = (scope["method"], scope["path"]) if scope["type"] == "http" else ("", "")
        if method == "GET" and path == POLL:
            began = self._clock.monotonic()
            status = await self._answered(self._poll, scope, receive, send)
            self._counts.polled(status, self._clock.monotonic() - began)
        elif method == "POST" and path in self._told:
            await self._answered(self._tell, scope, receive, send)
        elif method == "POST" and path == "/v1/enrol":
            await self._answered(self._make_known, scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _poll(self, scope: Scope, receive: Receive) -> tuple[int, list[Header], bytes]:
        headers, has_body = _fields(scope)
        body = await _body(receive, MAX_MESSAGE_BYTES) if has_body else b""
        device = await self._door.device(scope, headers, body)
        found = self._polls.answer(device, headers.get("if-none-match", "").encode("latin-1"))
        told = [(b"etag", found.etag), (_AFTER, b"%.3f" % found.after_s), self._period]
        if found.run is not None:
            told.append((_WAITING, b"%d" % found.run))
        return (304, told, b"") if found.body is None else (200, [*told, _JSON], found.body)

    async def _tell(self, scope: Scope, receive: Receive) -> tuple[int, list[Header], bytes]:
        take, most = self._told[scope["path"]]
        headers, _ = _fields(scope)
        body = await _body(receive, most)
        device = await self._door.device(scope, headers, body)
        return 200, [_JSON], await take(device, body)

    async def _make_known(self, scope: Scope, receive: Receive) -> tuple[int, list[Header], bytes]:
        return 200, [_JSON], await self._enrol(await _body(receive, MAX_MESSAGE_BYTES))

    @staticmethod
    async def _answered(
        work: Callable[[Scope, Receive], Awaitable[tuple[int, list[Header], bytes]]], scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Send what `work` gives, or the refusal; the status of it."""
        try:
            status, headers, body = await work(scope, receive)
        except EdgewrightError as error:
            (status, body), headers = refusal(error), [_JSON]
        if status != 304:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return status


def _fields(scope: Scope) -> tuple[dict[str, str], bool]:
    """The fields that an answer depends on, by name in lower case, and whether there may be a body.

    One that comes twice is empty, so that no two readers can differ on it.
    """
    found: dict[str, str] = {}
    has_body = False
    headers: Sequence[Header] = scope["headers"]
    for name, value in headers:
        if name in _READ:
            key = name.decode("latin-1")
            found[key] = "" if key in found else value.decode("latin-1")
        elif name in _BODY and value != b"0":
            has_body = True
    return found, has_body


async def _body(receive: Receive, most: int) -> bytes:
    """The body, read no further than `most` bytes; raises ProtocolError."""
    pieces, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        is_more = message.get("more_body", False)
        if size > most:
            raise TooLarge(f"the request has more than {most} bytes.")
    return b"".join(pieces)
