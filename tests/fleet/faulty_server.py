"""A file server on 127.0.0.1 that misbehaves as told: what a proxy, a mirror or a bad line may do to a device.

`faults` is asked before each answer with the path and the number of the request, and gives a `Fault`, or None for a good
answer. `sent` counts the bytes of bodies that went out.
"""

from __future__ import annotations

import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What is done to one answer.

    `status` replaces it. `cut` ends the connection after so many bytes of the body, `is_reset` with a reset. `ignores_range`
    sends the whole file with 200. `is_endless` sends for ever, without a length. `drip_s` waits so long before each byte of the
    body, `head_drip_s` of the head. `total` and `start` are told in place of the right ones. `tampered` changes one byte.
    `etag` is told. `rate` bounds the bytes a second.
    """

    status: int | None = None
    cut: int | None = None
    is_reset: bool = False
    ignores_range: bool = False
    is_endless: bool = False
    drip_s: float = 0.0
    head_drip_s: float = 0.0
    total: int | None = None
    start: int | None = None
    tampered: int | None = None
    etag: str = '"1"'
    retry_after: str | None = None
    rate: float | None = None


Faults = Callable[[str, int], "Fault | None"]


class FaultyServer:
    """Serves `files`, a mapping of paths ("/a/b") to bytes; use it as a context."""

    def __init__(self, files: dict[str, bytes], faults: Faults = lambda path, number: None) -> None:
        self.files = files
        self.faults = faults
        self.sent = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None: ...

            def do_GET(self) -> None:
                outer._answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                outer._answer(self)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests.append((request.path, dict(request.headers)))
            number = len(self.requests) - 1
        fault = self.faults(request.path, number) or Fault()
        try:
            self._send(request, fault)
        except OSError:
            request.close_connection = True

    def _send(self, request: http.server.BaseHTTPRequestHandler, fault: Fault) -> None:
        data = self.files.get(request.path)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        start = int(found[1]) if found and not fault.ignores_range else 0
        status = fault.status or (404 if data is None else 416 if start >= len(data) > 0 else 206 if start else 200)
        body = (data or b"")[start:] if status in (200, 206) else b"no"
        if fault.tampered is not None and start <= fault.tampered < start + len(body):
            at = fault.tampered - start
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        if request.headers.get("If-None-Match") == fault.etag and status == 200:
            status, body = 304, b""
        lines = [f"HTTP/1.1 {status} Told", f"ETag: {fault.etag}"]
        if status == 206:
            total = len(data or b"") if fault.total is None else fault.total
            told = start if fault.start is None else fault.start
            lines.append(f"Content-Range: bytes {told}-{max(told, total - 1)}/{total}")
        if fault.retry_after is not None:
            lines.append(f"Retry-After: {fault.retry_after}")
        if fault.is_endless:
            lines.append("Connection: close")
        else:
            lines.append(f"Content-Length: {fault.total if fault.total is not None and status == 200 else len(body)}")
        self._write(request, "\r\n".join([*lines, "", ""]).encode(), fault.head_drip_s)
        self._body(request, body, fault)

    def _body(self, request: http.server.BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
        if fault.cut is not None:
            body = body[: fault.cut]
        if fault.drip_s:
            self._write(request, body, fault.drip_s, counts=True)
        elif fault.rate:
            # What was sent shall be on its way, not in this side's buffer.
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            for at in range(0, len(body), 16384):
                self._write(request, body[at : at + 16384], counts=True)
                time.sleep(16384 / fault.rate)
        else:
            self._write(request, body, counts=True)
        while fault.is_endless and not self._is_over.is_set():
            self._write(request, bytes(65536), counts=True)
        if fault.cut is not None or fault.is_endless or fault.total is not None:
            request.close_connection = True
            if fault.is_reset:
                linger = struct.pack("ii", 1, 0)
                request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                request.connection.close()

    def _write(
        self, request: http.server.BaseHTTPRequestHandler, data: bytes, pause_s: float = 0.0, counts: bool = False
    ) -> None:
        for piece in (data[at : at + 1] for at in range(len(data))) if pause_s else (data,):
            if pause_s and self._is_over.wait(pause_s):
                raise ConnectionAbortedError
            request.wfile.write(piece)
            request.wfile.flush()
            if counts:
                with self._lock:
                    self.sent += len(piece)
