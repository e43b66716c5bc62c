"""What stands before the application: it answers polls itself, from memory, and hands everything else on.

A poll is `GET /v1/assignment`. Its signature is verified each time; after that it is a look into a dict. This is the one route
that every device of a fleet uses all the time, so it goes through no routing, no thread and no model of a request: it is plain
ASGI.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ...core.clock import Clock
from ...core.errors import EdgewrightError
from ..protocol.message import MAX_MESSAGE_BYTES
from ..protocol.poll import AFTER, PERIOD
from .door import Door
from .metrics import Counts
from .polls import Polls
from .refusal import TooLarge, refusal

PATH = "/v1/assignment"
_SIGNED = frozenset({b"content-digest", b"signature-input", b"signature", b"if-none-match"})
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_JSON = (b"content-type", b"application/json")
_AFTER, _PERIOD = AFTER.encode(), PERIOD.encode()


class Front:
    """An ASGI application before another."""

    def __init__(self, inner: ASGIApp, polls: Polls, door: Door, counts: Counts, clock: Clock) -> None:
        self._inner, self._polls, self._door, self._counts, self._clock = inner, polls, door, counts, clock
        self._period = (_PERIOD, f"{polls.period_s:.3f}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a poll; hand on what is none."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET":
            began = self._clock.monotonic()
            status = await self._poll(scope, receive, send)
            self._counts.polled(status, self._clock.monotonic() - began)
        else:
            await self._inner(scope, receive, send)

    async def _poll(self, scope: Scope, receive: Receive, send: Send) -> int:
        try:
            headers, has_body = _fields(scope)
            body = await _body(receive) if has_body else b""
            device = await self._door.device(scope, headers, body)
        except EdgewrightError as error:
            status, told = refusal(error)
            await _answer(send, status, [_JSON], told)
            return status
        found = self._polls.answer(device, headers.get("if-none-match", "").encode("latin-1"))
        fields = [(b"etag", found.etag), (_AFTER, b"%.3f" % found.after_s), self._period]
        if found.body is None:
            await _answer(send, 304, fields, b"")
            return 304
        await _answer(send, 200, [*fields, _JSON], found.body)
        return 200


def _fields(scope: Scope) -> tuple[dict[str, str], bool]:
    """The fields that a poll's answer depends on, by name in lower case, and whether there may be a body.

    One that comes twice is empty, so that no two readers can differ on it.
    """
    found: dict[str, str] = {}
    has_body = False
    for name, value in scope["headers"]:
        if name in _SIGNED:
            key = name.decode("latin-1")
            found[key] = "" if key in found else value.decode("latin-1")
        elif name in _BODY and value != b"0":
            has_body = True
    return found, has_body


async def _body(receive: Receive) -> bytes:
    pieces, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        is_more = message.get("more_body", False)
        if size > MAX_MESSAGE_BYTES:
            raise TooLarge(f"the request has more than {MAX_MESSAGE_BYTES} bytes.")
    return b"".join(pieces)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
