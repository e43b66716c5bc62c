"""HTTP that always ends: bounded in bytes, time, least rate and tries, whatever the other side does.

The rules, in order:
1. Reaching the server and reading the head of its answer takes at most `head_s`, also when it comes byte by byte.
2. A body has at most the bytes that the caller allows; it is never decompressed.
3. A body that brings less than `least_rate` bytes a second over `window_s` ends, and so does one that is silent for that long.
4. A request takes at most `total_s` to be sent, and an answer that is read whole as long again; one that is read piece by piece
   may take what its bytes need at the least rate besides, and its reader may leave it at any piece.
5. What may pass by itself (no connection, a cut, 408, 429, 5xx) is tried `attempts` times with full jitter; nothing else is. No
   try begins when the first is `total_s` ago.
6. A redirection is not followed: the answer tells where to.

Every failure is a NetworkError of one sentence that names the address without its query.
"""

from __future__ import annotations

import random
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, IncompleteRead, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from ..core.clock import Clock
from ..core.errors import NetworkError, UsageError
from .deadline import Pool, SecurePool, Watch

_PIECE_BYTES = 64 << 10
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
# A clock before this (2024) was never set; then the dates of a certificate cannot be judged, only its chain and name.
_CLOCK_WAS_SET = 1_704_067_200.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)")
_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name


@dataclass(frozen=True)
class Limits:
    """Bounds of every exchange; seconds, and bytes a second."""

    connect_s: float = 15.0
    head_s: float = 30.0
    total_s: float = 120.0
    least_rate: float = 256.0
    window_s: float = 30.0
    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait(self, failures: int, jitter: random.Random) -> float:
        """Seconds before the next try after so many failures in a row: full jitter below a bound that doubles."""
        return jitter.uniform(0.0, min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures, 16)))


@dataclass(frozen=True)
class Answer:
    """An answer read to its end; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str | None:
        """The version of the content, for a conditional request."""
        return self.headers.get("etag")


@dataclass(frozen=True)
class Flow:
    """An answer that is read piece by piece. `start`: offset of its first byte; `total`: bytes of the file, where told."""

    status: int
    start: int
    total: int | None
    pieces: Iterator[bytes]


class TransientError(NetworkError):
    """A failure that may pass by itself; the server asked not to be tried again for `at_least_s`."""

    def __init__(self, sentence: str, at_least_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.at_least_s = at_least_s


class Http:
    """A client for one agent: keeps connections open and holds the rules of this module."""

    def __init__(
        self,
        clock: Clock,
        *,
        ca_file: Path | None = None,
        limits: Limits | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        """`ca_file`: PEM certificates to trust in place of the system's; raises UsageError when it cannot be read."""
        self.clock = clock
        self.limits = limits or Limits()
        self.jitter = jitter or random.Random()
        self._ca_file = ca_file
        self._pools: dict[str, urllib3.PoolManager] = {}

    def get(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        attempts: int | None = None,
        connect_s: float | None = None,
    ) -> Answer:
        """GET; with `etag` the status may be 304 and the body empty. Raises NetworkError; other statuses are the caller's.

        `attempts` and `connect_s` stand in place of those of the limits.
        """
        fields = {**(headers or {}), **({"If-None-Match": etag} if etag else {})}
        tries = self.limits.attempts if attempts is None else attempts
        return self._tried(lambda: self._answer("GET", url, None, fields, max_bytes, connect_s), tries)

    def post(
        self,
        url: str,
        body: bytes,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
    ) -> Answer:
        """POST; more `attempts` than one only where the server takes the same request twice. Raises NetworkError."""
        return self._tried(lambda: self._answer("POST", url, body, headers or {}, max_bytes), attempts)

    @contextmanager
    def flow(self, url: str, *, start: int, length: int) -> Iterator[Flow]:
        """The bytes of a file from `start` to its `length`, as they come; one try.

        A server that knows no ranges answers with the file from its start (`Flow.start` is 0). At most the bytes of the file
        are read. Raises NetworkError, also in the midst of the pieces.
        """
        fields = {"Range": f"bytes={start}-{length - 1}"} if start else {}
        longest_s = self.limits.total_s + (length - start) / self.limits.least_rate
        with self._opened("GET", url, None, fields, longest_s) as (response, watch):
            flow_start, total = _place(response, url, start)
            yield Flow(response.status, flow_start, total, self._pieces(response, watch, url, length - flow_start))

    def close_idle(self) -> None:
        """Close the connections that nothing uses; the next request opens one."""
        for pool in self._pools.values():
            pool.clear()

    def _tried(self, once: Callable[[], Answer], attempts: int) -> Answer:
        until = self.clock.monotonic() + self.limits.total_s
        for failures in range(attempts):
            try:
                answer = once()
            except TransientError as error:
                if failures + 1 == attempts or self.clock.monotonic() >= until:
                    raise
                self.clock.sleep(max(error.at_least_s, self.limits.wait(failures, self.jitter)))
            else:
                return answer
        raise UsageError("a request needs at least one attempt.")

    def _answer(
        self,
        method: str,
        url: str,
        body: bytes | None,
        fields: Mapping[str, str],
        max_bytes: int,
        connect_s: float | None = None,
    ) -> Answer:
        with self._opened(method, url, body, fields, self.limits.total_s, connect_s) as (response, watch):
            if response.status in _PASSING:
                raise TransientError(f"{_shown(url)} answers with {response.status}; try later.", self._retry_after(response))
            if 301 <= response.status <= 308 and response.status != 304:
                raise NetworkError(f"{_shown(url)} answers that it is elsewhere; give the address that it names.")
            pieces, size = [], 0
            for piece in self._pieces(response, watch, url, max_bytes + 1):
                pieces.append(piece)
                size += len(piece)
            if size > max_bytes:
                raise NetworkError(f"{_shown(url)} sends more than the {max_bytes} bytes that are allowed; ask who runs it.")
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, b"".join(pieces))

    def _retry_after(self, response: urllib3.BaseHTTPResponse) -> float:
        text = response.headers.get("Retry-After", "")
        return min(float(text), self.limits.longest_wait_s) if text.isascii() and text.isdigit() else 0.0

    @contextmanager
    def _opened(
        self,
        method: str,
        url: str,
        body: bytes | None,
        fields: Mapping[str, str],
        longest_s: float,
        connect_s: float | None = None,
    ) -> Iterator[tuple[urllib3.BaseHTTPResponse, Watch]]:
        limits = self.limits
        watch = Watch(min(limits.head_s + len(body or b"") / limits.least_rate, limits.total_s))
        response = None
        try:
            response = self._asked(method, url, body, fields, watch, limits.connect_s if connect_s is None else connect_s)
            watch.end = self.clock.monotonic() + longest_s
            yield response, watch
        finally:
            watch.close()
            if response is not None:
                # What was not read to its end is not read at all: the connection goes.
                response.close()

    def _asked(
        self, method: str, url: str, body: bytes | None, fields: Mapping[str, str], watch: Watch, connect_s: float
    ) -> urllib3.BaseHTTPResponse:
        """Answer of which the head was read."""
        limits = self.limits
        if not url.startswith(("http://", "https://")):
            raise NetworkError(f"{_shown(url)} is no web address; give one that begins with https:// or http://.")
        try:
            with watch.on_this_thread():
                response = self._connections(url).request(
                    method,
                    url,
                    body=body,
                    headers={"Accept-Encoding": "identity", "User-Agent": "edgewright", **fields},
                    timeout=urllib3.Timeout(connect=connect_s, read=limits.window_s),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
        except SSLError as error:
            if watch.is_over:
                raise _late(url) from error
            raise NetworkError(
                f"{_shown(url)} does not prove who it is ({error}); look at its certificate, the CA file and the clock."
            ) from error
        except (HTTPError, OSError, ValueError) as error:
            raise _transient(url, error, watch) from error
        if watch.is_over:
            # A head that ends too early looks like a whole one.
            response.close()
            raise _late(url)
        return response

    def _pieces(self, response: urllib3.BaseHTTPResponse, watch: Watch, url: str, most: int) -> Iterator[bytes]:
        """Up to `most` bytes of the body; raises NetworkError when it is cut, too slow or takes too long."""
        limits, left = self.limits, most
        began, got = self.clock.monotonic(), 0
        try:
            while left > 0:
                watch.allow(limits.window_s)
                piece = response.read1(min(_PIECE_BYTES, left))
                now = self.clock.monotonic()
                if not piece:
                    if watch.is_over:
                        raise _late(url)
                    break
                left -= len(piece)
                got += len(piece)
                if now > watch.end:
                    raise TransientError(f"{_shown(url)} takes longer than is allowed; try a better network.")
                if now - began >= limits.window_s:
                    if got < limits.least_rate * (now - began):
                        raise TransientError(
                            f"{_shown(url)} sends less than {limits.least_rate:g} bytes a second; try a better network."
                        )
                    began, got = now, 0
                yield piece
        except (HTTPError, OSError, ValueError) as error:
            raise _transient(url, error, watch) from error

    def _connections(self, url: str) -> urllib3.PoolManager:
        """Open connections of the address's kind; the authorities are read only for one that needs them."""
        kind = "plain"
        if url.startswith("https://"):
            kind = "dated" if self.clock.now() >= _CLOCK_WAS_SET else "undated"
        if kind not in self._pools:
            context = None if kind == "plain" else self._tls(checks_time=kind == "dated")
            pool = urllib3.PoolManager(num_pools=4, ssl_context=context)
            pool.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
            self._pools[kind] = pool
        return self._pools[kind]

    def _tls(self, *, checks_time: bool) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{self._ca_file} holds no certificates; give a PEM file of the authority.") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not checks_time:
            context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        return context


def _place(response: urllib3.BaseHTTPResponse, url: str, start: int) -> tuple[int, int | None]:
    """Offset of the body's first byte and bytes of the whole file, where told; raises NetworkError when it is no part of it."""
    where, status = _shown(url), response.status
    if status in _PASSING:
        raise TransientError(f"{where} answers with {status}; try later.")
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != start:
            raise TransientError(f"{where} sends another range than was asked for; try another mirror.")
        return start, None if found[2] == "*" else int(found[2])
    if status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
    if status == 416:
        raise NetworkError(f"{where} is shorter there than it was signed to be; publish it again.")
    raise NetworkError(f"{where} answers with {status}; look whether the address is right and the file was published.")


def _shown(url: str) -> str:
    """The address without what may be secret in it: user, password and query."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{'' if parts.port is None else f':{parts.port}'}{parts.path}"
    except ValueError:
        return "the address that was given"


def _transient(url: str, error: Exception, watch: Watch) -> TransientError:
    where = _shown(url)
    if watch.is_over or (isinstance(error, TimeoutError | HTTPTimeout) and not isinstance(error, NewConnectionError)):
        return _late(url)
    if isinstance(error, IncompleteRead):
        return TransientError(f"{where} was cut off before its end; try again.")
    return TransientError(f"{where} cannot be reached ({_last(error)}); look at the address and the network.")


def _late(url: str) -> TransientError:
    return TransientError(f"{_shown(url)} does not answer in time; try later or a better network.")


def _last(error: BaseException) -> str:
    """The innermost reason, in short: urllib3 wraps it several times."""
    inner = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    return getattr(inner, "strerror", None) or type(inner).__name__
