"""Counting requests in the bins that their artifact carries, off the way of the requests themselves.

`Counter.offer` puts references into a bounded queue; a thread counts. When it does not keep up, the request itself is counted
and its tensors are not, and `unseen` says of how many. What is counted of a tensor: binning.py.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.manifest import Manifest
from ..protocol.window import ERROR_KINDS, LATENCY_EDGES_MS, ErrorKind
from . import live
from .binning import Binning

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("edgewright.telemetry")

_QUEUE = 256  # requests


@dataclass(frozen=True)
class _Window:
    """The counts of a window, int64 [Head.counts], and the file that they lie in; without one they are lost."""

    counts: NDArray[np.int64]
    file: live.Opened | None = None


class Counter:
    """An observer of one loaded artifact, whose windows go to files in `folder`. Any number of threads.

    What the disk refuses costs the window that could not be begun, and is logged; it never costs a request.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        sha256: str,
        model: str,
        known_outputs: Mapping[str, NDArray[Any]],
        window_s: float = live.WINDOW_S,
    ) -> None:
        self._folder, self._window_s = folder, window_s
        self._binning = Binning(manifest.histograms, known_outputs)
        self._head = live.Head(model, sha256, self._binning.sizes)
        self._queue: deque[tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]] = deque()
        self._lock = threading.Lock()  # of the counts; every request takes it, so nothing waits for a disk under it
        self._work = threading.Semaphore(0)
        self._is_closed = False
        self._number = 0
        self._ends = 0.0
        self._window = self._begin()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], latency_s: float) -> None:
        """A request that was answered; returns at once."""
        samples = max((array.shape[0] for array in inputs.values() if array.ndim), default=1)
        with self._lock:
            counts = self._window.counts
            counts[live.REQUESTS] += 1
            counts[live.SAMPLES] += samples
            counts[live.LATENCY + bisect_left(LATENCY_EDGES_MS, latency_s * 1e3)] += 1
            if len(self._queue) >= _QUEUE:
                counts[live.UNSEEN] += 1
                return
            self._queue.append((inputs, outputs))
        self._work.release()

    def fail(self, kind: ErrorKind) -> None:
        """A request that failed."""
        with self._lock:
            self._window.counts[live.ERRORS + ERROR_KINDS.index(kind)] += 1

    def close(self, within_s: float = 5.0) -> None:
        """Count what waits, for at most so long, and close the window."""
        self._is_closed = True
        self._work.release()
        self._thread.join(within_s)
        self._turn(_Window(np.zeros(self._head.counts, np.int64)))

    def _run(self) -> None:
        while True:
            has_work = self._work.acquire(timeout=max(0.05, self._ends - time.monotonic()))
            if time.monotonic() >= self._ends and not self._is_closed:
                self._turn(self._begin())
            if has_work and self._queue:
                self._count(*self._queue.popleft())
            elif self._is_closed:
                return

    def _count(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        """Count one request's tensors; a mistake in one costs its counts and no more."""
        try:
            found = self._binning.count(inputs, outputs)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            log.warning("a request of %s could not be counted: %s", self._head.model, error)
            with self._lock:
                self._window.counts[live.UNSEEN] += 1
            return
        with self._lock:
            self._window.counts[live.TENSORS :] += found

    def _begin(self) -> _Window:
        """A new window, in a file where the disk allows, else in memory only."""
        self._ends = time.monotonic() + self._window_s
        self._number += 1
        now = time.time()
        try:
            opened = live.create(self._folder, self._head, int(now * 1e3), self._number)
        except OSError as error:
            log.error("telemetry of %s is not kept, the disk refuses %s: %s", self._head.model, self._folder, error.strerror)
            return _Window(np.zeros(self._head.counts, np.int64))
        counts = np.frombuffer(opened.pages, np.dtype("<i8"), self._head.counts, len(self._head.encode()))
        counts[live.START] = counts[live.END] = int(now)
        return _Window(counts, opened)

    def _turn(self, fresh: _Window) -> None:
        """Count in `fresh` from now on, and close the window before; its file goes when it has no requests."""
        with self._lock:
            old, self._window = self._window, fresh
        if old.file is None:
            return
        old.counts[live.END] = int(time.time())
        is_empty = not (old.counts[live.REQUESTS] or old.counts[live.ERRORS : live.LATENCY].any())
        try:
            if is_empty:
                live.discard(old.file)
            else:
                live.close(old.file)
        except OSError as error:
            log.error("a window of %s stays open: %s", self._head.model, error.strerror)
