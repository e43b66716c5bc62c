"""Telemetry: nothing lost, nothing counted twice, small on the wire.

    python -m benchmarks.telemetry [--kills 500] [--hours 72]

1. Size: a window as it is sent: ten features of 32 bins each and how often each is missing, an output, its confidence over all
   and by ten classes, predictions, and latency.
2. Offline: so many hours of ten-minute windows of three models without a network, on a disk that is full a third of the time,
   with a start of the agent every few hours; then the network is back, and every second answer of the server is lost.
3. Kills: a process counts requests and sends windows as fast as it can, and is killed with SIGKILL at random moments. Each
   request is noted before and after it is offered; what the server has in the end must lie between the two.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from edgewright.core.errors import NetworkError, StoreError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window, merge_all
from edgewright.fleet.telemetry.collect import Collector
from edgewright.fleet.telemetry.counting import Counter
from edgewright.fleet.telemetry.ledger import accept
from edgewright.fleet.telemetry.spool import Spool

_BINS, _BINS_OF_CLASS, _FEATURES, _CLASSES = 32, 16, 10, 10
_WINDOW_S = 600
_KLL_BYTES = 2500  # of one feature's sketch at k = 200 (Apache DataSketches)


class Ledger:
    """What a server keeps; `chance` is the share of its answers that are lost."""

    def __init__(self, chance: float = 0.0) -> None:
        self.highest: dict[tuple[str, str], int] = {}
        self.windows: list[Window] = []
        self.chance = chance
        self._draw = random.Random(0)

    def send_telemetry(self, frames: bytes) -> int:
        """Take a batch; the answer may get lost."""
        found = accept(Batch.decode(frames), self.highest)
        self.windows += [window for _, window in found.windows]
        self.highest[found.stream, found.model] = found.highest
        if self._draw.random() < self.chance:
            raise NetworkError("the answer is lost.")
        return found.highest

    def totals(self) -> dict[str, Window]:
        """All windows of each model in one."""
        models = {window.model for window in self.windows}
        return {model: merge_all(window for window in self.windows if window.model == model) for model in sorted(models)}


class SmallDisk(RealDisk):
    """A disk that refuses to write while it is `full`."""

    full = False

    def write(self, path: str, data: bytes, *, private: bool = False) -> None:
        """Write, where there is room."""
        if self.full:
            raise StoreError("cannot write: No space left on device; free some space.")
        super().write(path, data, private=private)


def window(draw: np.random.Generator, model: str, start: int) -> Window:
    requests = int(draw.integers(1, 20_000))

    def spread(bins: int, samples: int) -> tuple[int, ...]:
        return (0, *map(int, draw.multinomial(samples, draw.dirichlet(np.ones(bins)))), 0)

    by_class = spread(_CLASSES, requests)
    tensors = (
        *(spread(_BINS, requests) for _ in range(_FEATURES + 2)),
        *((0, requests, 0, 0) for _ in range(_FEATURES)),
        *(spread(_BINS_OF_CLASS, count) for count in by_class[1:-1]),
        by_class,
    )
    latency = tuple(int(count) for count in draw.multinomial(requests, draw.dirichlet(np.full(LATENCY_BINS, 0.1))))
    errors = (0, 0, int(draw.integers(0, 3)), 0)
    return Window(model, "ab" * 32, start, start + _WINDOW_S, 1, requests, requests, 0, errors, latency, tensors)


def size() -> None:
    draw = np.random.default_rng(0)
    sizes = [len(Batch("00000001-ab", ((1, window(draw, "m", 0).encode()),)).encode()) for _ in range(100)]
    print(
        f"size: a window of {_FEATURES} features, an output and confidence, {_BINS} bins each, what is missing, predictions, "
        f"and confidence by {_CLASSES} classes: {max(sizes)} bytes at most (median {int(np.median(sizes))}); KLL sketches of "
        f"features, output and confidence alone take {_KLL_BYTES * (_FEATURES + 2)}",
        flush=True,
    )


def offline(hours: float) -> None:
    """Exact totals after a long time offline."""
    draw, rng = np.random.default_rng(1), random.Random(1)
    truth: dict[str, list[Window]] = {}
    with tempfile.TemporaryDirectory() as folder:
        disk = SmallDisk(Path(folder))
        spool, waiting, starts, most = Spool(disk, "00000000-a"), [], 1, 0
        steps = int(hours * 3600 / _WINDOW_S)
        for step in range(steps):
            disk.full = (step // 24) % 3 == 2  # four hours of twelve
            if rng.random() < 0.05 and not disk.full:
                spool, starts = Spool(disk, f"{starts:08d}-a"), starts + 1
            for model in ("vision", "sound", "motion"):
                made = window(draw, model, _WINDOW_S * step)
                truth.setdefault(model, []).append(made)
                waiting.append((f"{model}-{step}", made))  # as the file that it was counted in
            waiting = [item for item in waiting if not _kept(spool, *item)]
            most = max(most, spool.size_bytes)
        disk.full = False
        merged, ledger = spool.windows, Ledger(chance=0.5)
        while waiting or spool.windows:
            waiting = [item for item in waiting if not _kept(spool, *item)]
            try:
                while (chosen := spool.batch()) is not None:
                    spool.acknowledge(chosen[0], ledger.send_telemetry(chosen[1]))
            except NetworkError:
                spool, starts = Spool(disk, f"{starts:08d}-a"), starts + 1
    exact = ledger.totals() == {model: merge_all(windows) for model, windows in sorted(truth.items())}
    print(
        f"offline: {hours:g} h, {3 * steps} windows, {starts} starts, disk full a third of the time: {merged} windows kept "
        f"(at most {most / 1e3:.0f} kB); totals {'exact' if exact else 'WRONG'} with every second answer lost",
        flush=True,
    )
    if not exact:
        sys.exit(1)


def _kept(spool: Spool, name: str, made: Window) -> bool:
    try:
        return spool.add(made, name)
    except StoreError:
        return False


def device(folder: Path, handle: int) -> None:
    """The process that is killed: counts requests, and sends windows to its parent over a socket."""
    notes = mmap.mmap(os.open(folder / "notes", os.O_RDWR), 16)
    truth = np.frombuffer(notes, np.int64)
    server = _Remote(socket.socket(fileno=handle))
    disk = RealDisk(folder)
    boot = f"{time.time_ns():020d}"
    counter = Counter(folder / "telemetry/live", _MANIFEST, "ab" * 32, "m", {}, window_s=0.05)
    collector = Collector(disk, boot, Spool(disk, boot, max_bytes=20_000))
    x = {"x": np.zeros((1, 4), np.float32)}
    while True:
        for _ in range(50):
            truth[0] += 1
            counter.offer(x, {}, 0.001)
            truth[1] += 1
        with contextlib.suppress(NetworkError):
            collector.send(server)


class _Remote:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send_telemetry(self, frames: bytes) -> int:
        self._connection.sendall(struct.pack("<I", len(frames)) + frames)
        answer = self._connection.recv(8, socket.MSG_WAITALL)
        (highest,) = struct.unpack("<q", answer)
        if highest < 0:
            raise NetworkError("the answer is lost.")
        return int(highest)


class _Manifest:
    """As much of a manifest as counting needs."""

    histograms = (HistogramBins("x", "input", (0.0, 1.0), (0, 1, 0)),)


_MANIFEST = _Manifest()


def kills(count: int) -> None:
    """Exact totals after so many SIGKILLs."""
    draw, ledger = random.Random(2), Ledger(chance=0.2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notes").write_bytes(bytes(16))
        for _ in range(count):
            _run_and_kill(folder, ledger, draw.uniform(0.0, 0.4))
        disk, ledger.chance = RealDisk(folder), 0.0
        Collector(disk, "last").send(ledger)
        begun, done = struct.unpack("<qq", (folder / "notes").read_bytes())
    found = sum(window.requests for window in ledger.windows)
    exact = done <= found <= begun
    print(
        f"kills: {count} SIGKILLs, every fifth answer lost: the server has {found} requests, {done} to {begun} were offered "
        f"({'exact' if exact else 'WRONG'}; {begun - done} kills fell into an offer itself), in {len(ledger.windows)} windows",
        flush=True,
    )
    if not exact:
        sys.exit(1)


def _run_and_kill(folder: Path, ledger: Ledger, after_s: float) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "benchmarks.telemetry", "--device", str(folder), "--handle", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
        theirs.close()
        ends: float | None = None
        try:
            while ends is None or time.monotonic() < ends:
                ours.settimeout(30.0 if ends is None else max(0.001, ends - time.monotonic()))
                if not _answer(ours, ledger):
                    break
                ends = ends or time.monotonic() + after_s
        except TimeoutError:
            pass
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        _answer_what_was_sent(ours, ledger)
    ours.close()


def _answer(ours: socket.socket, ledger: Ledger) -> bool:
    """Take one batch; a batch that came whole counts, whether the answer arrives or not."""
    head = ours.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return False
    (size_,) = struct.unpack("<I", head)
    frames = ours.recv(size_, socket.MSG_WAITALL)
    if len(frames) < size_:
        return False
    try:
        highest = ledger.send_telemetry(frames)
    except NetworkError:
        highest = -1
    try:
        ours.sendall(struct.pack("<q", highest))
    except OSError:
        return False
    return True


def _answer_what_was_sent(ours: socket.socket, ledger: Ledger) -> None:
    ours.settimeout(1.0)
    try:
        while _answer(ours, ledger):
            pass
    except (TimeoutError, OSError):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--device", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--handle", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device is not None:
        device(options.device, options.handle)
    size()
    offline(options.hours)
    kills(options.kills)


if __name__ == "__main__":
    main()
