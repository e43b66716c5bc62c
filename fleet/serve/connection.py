"""One connection of HTTP/1.1: requests in, answers out, bounded in bytes and time, handed on unharmed when its server drains.

A server that closes a kept connection between two requests can cross the next request on its way, which then fails. So a
draining server never closes what it can hand on: it gives the open socket to its successor, unread, and the successor goes
on where the last request ended.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .head import MAX_HEAD_BYTES, Head, parse, response
from .refusal import Refusal

End = Literal["closed", "handed"]
_END_OF_HEAD = b"\r\n\r\n"
_PIECE = 64 << 10
# Tensors of a binary body begin at a multiple of this in memory; the JSON before them ends where it likes.
_ALIGNMENT = 64
_LINGER_BYTES, _LINGER_SECONDS = 4 << 20, 1.0
JSON_BYTES = "inference-header-content-length"


@dataclass(frozen=True)
class Response:
    """Status and body of an answer; of the pieces' bytes the first `json_bytes` are JSON, None where all are of one kind.

    `after` is called when the answer was sent; it never raises.
    """

    status: int
    pieces: Sequence[bytes | memoryview] = field(repr=False)
    kind: str = "application/json"
    json_bytes: int | None = None
    after: Callable[[], None] | None = None


def refused(status: int, sentence: str) -> Response:
    """The protocol's form of an error."""
    return Response(status, (json.dumps({"error": sentence}).encode(),))


@dataclass(frozen=True)
class Times:
    """Seconds to wait: for a first or next request, for a request to arrive whole, for a client to take its answer, and for
    one more request on a connection of a server that ends without a successor."""

    idle: float = 75.0
    request: float = 10.0
    send: float = 10.0
    last_call: float = 0.5


class Host(Protocol):
    """What a connection needs of its server. `wake` is a handle that becomes readable once `is_draining` is true."""

    wake: int
    times: Times
    is_draining: bool
    has_successor: bool

    def bound(self, head: Head, family: int) -> int:
        """The most bytes of body that this request may have, on a socket of that family; raises Refusal where it has none."""

    def handle(self, head: Head, body: memoryview) -> Response:
        """The answer; never raises."""

    def hand_on(self, sock: socket.socket) -> bool:
        """Give an idle socket to the successor; False where that is not possible."""


class Connection:
    """Serves one socket until its client goes or misbehaves, or the server drains."""

    def __init__(self, sock: socket.socket, host: Host) -> None:
        """Take over a connected socket."""
        self._sock, self._host = sock, host
        self._buffer = bytearray()
        sock.setblocking(True)
        for option, seconds in ((socket.SO_RCVTIMEO, host.times.request), (socket.SO_SNDTIMEO, host.times.send)):
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._poll.register(host.wake, select.POLLIN)

    def serve(self) -> End:
        """Answer requests until the end; the caller closes the socket."""
        host = self._host
        try:
            while True:
                if not self._buffer:
                    if not host.is_draining and not self._poll.poll(host.times.idle * 1000):
                        return "closed"
                    if host.is_draining:
                        if host.hand_on(self._sock):
                            return "handed"
                        if not _readable(self._sock, host.times.last_call):
                            return "closed"
                if not self._one():
                    return "closed"
        except OSError:  # the client is gone, or takes or sends nothing any more
            return "closed"

    def _one(self) -> bool:
        """Read and answer one request; False when the connection is over."""
        deadline = time.monotonic() + self._host.times.request
        try:
            data = self._head(deadline)
            if data is None:
                return False
            head = parse(data)
            bound = self._host.bound(head, self._sock.family)
            if head.length > bound:
                raise Refusal(413, f"the body has {head.length} bytes, and this model takes {bound} at most.")
            if head.expects and len(self._buffer) < head.length:
                self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._body(head, deadline)
        except Refusal as error:
            self._send(refused(error.status, str(error)), False)
            self._linger()
            return False
        answer = self._host.handle(head, body)
        keeps = head.keeps and not (self._host.is_draining and not self._host.has_successor)
        try:
            self._send(answer, keeps)
        finally:
            if answer.after is not None:
                answer.after()
        return keeps

    def _head(self, deadline: float) -> bytes | None:
        """Bytes of the next head, without the empty line; None when the client closed before one began."""
        buffer, start = self._buffer, 0
        while (end := buffer.find(_END_OF_HEAD, start)) < 0:
            if len(buffer) > MAX_HEAD_BYTES:
                raise Refusal(431, f"the head of the request has more than {MAX_HEAD_BYTES} bytes.")
            start = max(0, len(buffer) - len(_END_OF_HEAD) + 1)
            piece = self._receive(deadline)
            if not piece:
                if buffer:
                    raise Refusal(400, "the connection ended within the head of a request.")
                return None
            buffer += piece
        if end > MAX_HEAD_BYTES:
            raise Refusal(431, f"the head of the request has more than {MAX_HEAD_BYTES} bytes.")
        data = bytes(buffer[:end])
        del buffer[: end + len(_END_OF_HEAD)]
        return data

    def _body(self, head: Head, deadline: float) -> memoryview:
        json_bytes = head.count(JSON_BYTES) or 0
        padding = -json_bytes % _ALIGNMENT
        whole = memoryview(bytearray(padding + head.length))[padding:]
        there = min(len(self._buffer), head.length)
        whole[:there] = self._buffer[:there]
        del self._buffer[:there]
        while there < head.length:
            _check_time(deadline)
            try:
                count = self._sock.recv_into(whole[there:])
            except BlockingIOError:
                continue
            if count == 0:
                raise Refusal(400, f"the connection ended after {there} of {head.length} bytes of a body.")
            there += count
        return whole

    def _receive(self, deadline: float) -> bytes:
        while True:
            _check_time(deadline)
            with contextlib.suppress(BlockingIOError):
                return self._sock.recv(_PIECE)

    def _send(self, answer: Response, keeps: bool) -> None:
        length = sum(map(len, answer.pieces))
        head = response(answer.status, answer.kind, length, answer.json_bytes, keeps)
        send_pieces(self._sock, (head, *answer.pieces), self._host.times.send)

    def _linger(self) -> None:
        """Take what a refused client still sends, within bounds: closing at once would take the answer from it again."""
        self._sock.shutdown(socket.SHUT_WR)
        deadline, taken = time.monotonic() + _LINGER_SECONDS, 0
        while taken < _LINGER_BYTES and _readable(self._sock, deadline - time.monotonic()):
            piece = self._sock.recv(_PIECE)
            if not piece:
                return
            taken += len(piece)


def send_pieces(sock: socket.socket, pieces: Sequence[bytes | memoryview], seconds: float | None = None) -> None:
    """Send all, within `seconds` where given, without putting large pieces together first; raises OSError."""
    is_small = sum(map(len, pieces)) <= _PIECE
    left = [memoryview(b"".join(pieces))] if is_small else [memoryview(piece) for piece in pieces]
    deadline = None if seconds is None else time.monotonic() + seconds
    while left:
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError("the answer was not taken in time.")
        try:
            sent = sock.sendmsg(left, [], 0 if deadline is None else socket.MSG_DONTWAIT)
        except BlockingIOError:
            if deadline is None or not _ready(sock, select.POLLOUT, deadline - time.monotonic()):
                raise TimeoutError("the answer was not taken in time.") from None
            continue
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Refusal(408, "the request did not arrive in time.")


def _readable(sock: socket.socket, seconds: float) -> bool:
    return _ready(sock, select.POLLIN, seconds)


def _ready(sock: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(max(seconds, 0) * 1000))
