"""What a worker counts of its requests, cheap enough to stand in their way: a lock and a few additions each."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from ..protocol.window import ERROR_KINDS, LATENCY_EDGES_MS, ErrorKind


@dataclass(frozen=True)
class Durations:
    """Seconds of one request, or summed over requests: waiting for the runtime, reading the inputs, running, writing."""

    queue: float = 0.0
    input: float = 0.0
    infer: float = 0.0
    output: float = 0.0

    @property
    def request(self) -> float:
        """Seconds of the whole."""
        return self.queue + self.input + self.infer + self.output


@dataclass(frozen=True)
class Counted:
    """A tally at one moment. `latency` has a bin below each of `LATENCY_EDGES_MS` and one above the last."""

    requests: int
    samples: int
    executions: int
    pending: int
    errors: Mapping[ErrorKind, int]
    seconds: Durations
    latency: tuple[int, ...]


class Tally:
    """Counts since the start; any number of threads."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._requests = self._samples = self._executions = self._pending = 0
        self._errors: dict[ErrorKind, int] = dict.fromkeys(ERROR_KINDS, 0)
        self._queue = self._input = self._infer = self._output = 0.0
        self._latency = [0] * (len(LATENCY_EDGES_MS) + 1)

    def begin(self) -> None:
        """A request came in."""
        with self._lock:
            self._pending += 1

    def succeed(self, seconds: Durations, samples: int, executions: int) -> None:
        """A request that came in was answered."""
        bin_ = bisect_left(LATENCY_EDGES_MS, seconds.request * 1e3)
        with self._lock:
            self._pending -= 1
            self._requests += 1
            self._samples += samples
            self._executions += executions
            self._queue += seconds.queue
            self._input += seconds.input
            self._infer += seconds.infer
            self._output += seconds.output
            self._latency[bin_] += 1

    def fail(self, kind: ErrorKind) -> None:
        """A request that came in was not answered with outputs."""
        with self._lock:
            self._pending -= 1
            self._errors[kind] += 1

    def read(self) -> Counted:
        """The counts now."""
        with self._lock:
            return Counted(
                self._requests,
                self._samples,
                self._executions,
                self._pending,
                dict(self._errors),
                Durations(self._queue, self._input, self._infer, self._output),
                tuple(self._latency),
            )
