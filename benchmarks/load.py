"""Requests at a constant rate over kept connections, whatever the answers do: latency counts from when each was due.

An open loop without coordinated omission: a request that waits for a free connection, or for this program, waits on its own
clock. The generator is one thread of plain asyncio protocols; requests are bytes that were made and signed before.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_TICK_S = 0.001


@dataclass
class Answers:
    """Of each request that was answered with a status: seconds from when it was due; `late` is what this program lost of it."""

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    ended: list[float] = field(default_factory=list)  # when, in seconds from the first request
    lost: int = 0  # by connections that were closed

    def quantile(self, share: float) -> float:
        """Seconds within which this share of requests was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def told(self) -> dict[str, object]:
        """For people and JSON."""
        statuses = {str(status): count for status, count in sorted(self.statuses.items())}
        seconds = max(self.ended, default=0.0)
        late = sorted(self.late)
        return {
            "answered": len(self.latencies),
            "lost": self.lost,
            "statuses": statuses,
            "a_second": round(len(self.latencies) / seconds, 1) if seconds else 0.0,
            **{f"p{share * 100:g}_ms": round(self.quantile(share) * 1e3, 2) for share in (0.5, 0.9, 0.99, 0.999)},
            "max_ms": round(max(self.latencies, default=0.0) * 1e3, 2),
            "generator_late_p99_ms": round(late[int(0.99 * len(late))] * 1e3, 2) if late else 0.0,
        }


class _Connection(asyncio.Protocol):
    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._rest = b""
        self._due = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._pool.opened(self)

    def send(self, due: float, request: bytes) -> None:
        self._due, self._is_busy = due, True
        self.transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._rest = data
            return
        status = int(data[9:12])
        size = end + 4
        if status != 304:
            at = data.index(b"content-length: ", 0, end) + 16
            size += int(data[at : data.index(b"\r\n", at)])
        if len(data) < size:
            self._rest = data
            return
        self._rest, self._is_busy = b"", False
        self._pool.answered(self, self._due, status)

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.closed(self, self._is_busy)


class _Pool:
    """Connections of one kind of requests, and those requests: (seconds from the start, bytes), in order of time."""

    def __init__(self, requests: Sequence[tuple[float, bytes]]) -> None:
        self._requests = requests
        self._next = 0
        self._free: deque[_Connection] = deque()
        self._began = 0.0
        self._left = len(requests)
        self.answers = Answers()
        self.is_done = asyncio.Event()

    def opened(self, connection: _Connection) -> None:
        self._free.append(connection)

    def begin(self, began: float) -> None:
        self._began = began

    def step(self) -> None:
        """Send what is due and has a connection."""
        now = time.perf_counter() - self._began
        while self._free and self._next < len(self._requests) and self._requests[self._next][0] <= now:
            due, request = self._requests[self._next]
            self._next += 1
            self._free.popleft().send(due, request)
            self.answers.late.append(now - due)

    def answered(self, connection: _Connection, due: float, status: int) -> None:
        now = time.perf_counter() - self._began
        self.answers.latencies.append(now - due)
        self.answers.ended.append(now)
        self.answers.statuses[status] += 1
        self._free.append(connection)
        self._ended()

    def closed(self, connection: _Connection, was_busy: bool) -> None:
        if was_busy:
            self.answers.lost += 1
            self._ended()
        elif connection in self._free:
            self._free.remove(connection)

    def _ended(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.is_done.set()


async def _fire(
    host: str, port: int, kinds: Sequence[tuple[Sequence[tuple[float, bytes]], int]], patience_s: float
) -> list[Answers]:
    loop = asyncio.get_running_loop()
    pools = [_Pool(requests) for requests, _ in kinds]
    for pool, (_, connections) in zip(pools, kinds, strict=True):
        for _ in range(connections):
            await loop.create_connection(lambda pool=pool: _Connection(pool), host, port)  # type: ignore[misc]
    began = time.perf_counter()
    for pool in pools:
        pool.begin(began)
    last = max((requests[-1][0] for requests, _ in kinds if requests), default=0.0)

    def tick() -> None:
        for pool in pools:
            pool.step()
        if any(not pool.is_done.is_set() for pool in pools):
            loop.call_later(_TICK_S, tick)

    tick()
    waiting = [pool.is_done.wait() for pool, (requests, _) in zip(pools, kinds, strict=True) if requests]
    await asyncio.wait_for(asyncio.gather(*waiting), last + patience_s)
    return [pool.answers for pool in pools]


def fire(
    host: str, port: int, kinds: Sequence[tuple[Sequence[tuple[float, bytes]], int]], patience_s: float = 60.0
) -> list[Answers]:
    """Answers to each kind of requests, sent when they are due over so many connections of their own.

    Raises TimeoutError where the last is not answered within `patience_s` of when it was due.
    """
    import uvloop

    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_fire(host, port, kinds, patience_s))
    finally:
        gc.enable()
