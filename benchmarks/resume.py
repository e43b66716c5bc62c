"""Counts the bytes that 100 random cuts of a download cost: 50 MB over a bad line, through restarts of the process.

    python benchmarks/resume.py [--megabytes 50] [--cuts 100] [--rate 8000000] [--folder /dev/shm]

A server on 127.0.0.1 sends at most `--rate` bytes a second, as a line does, and cuts the connection at random bytes. At every
tenth answer the downloading process is killed (SIGKILL) and started anew on the same folder. Told are the bytes beyond the
file, as a share of it: what the process took in twice, and what the server sent twice, which is more by what was under way
in the machine's buffers when the process died. Beside them the target (at most 1 % and 64 KiB), and what a client pays that
begins again after each cut, and one that resumes but keeps only chunks that were whole.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parents[1] / "tests/fleet"))

from edgewright.core.clock import SystemClock
from edgewright.core.errors import NetworkError, UnfinishedError
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Flow, Http, Limits
from edgewright.fleet.trust.download import Downloads
from edgewright.fleet.trust.origin import HttpOrigin
from edgewright.fleet.trust.part import ChunkList, Wanted
from faulty_server import Fault, FaultyServer

CHUNK = 64 << 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=50.0)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--rate", type=float, default=8e6)
    parser.add_argument("--kill-every", type=int, default=10, help="answers from one kill to the next")
    parser.add_argument("--folder", type=Path, help="where the device's folder is made; by default the temporary folder")
    given = parser.parse_args()
    source = Random(1)
    data = source.randbytes(int(given.megabytes * 1e6))
    places = sorted(source.sample(range(1, len(data)), given.cuts))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        taken, sent, kills, seconds = _measure(Path(folder), data, places, given.rate, given.kill_every)
    again = sum(places)
    whole_chunks = sum(place % CHUNK for place in places)
    target = len(data) / 100 + CHUNK
    print(f"file {len(data):,} bytes, {len(places)} cuts, {kills} of them with the process killed, {seconds:.0f} s")
    for name, extra in (
        ("taken in twice", taken - len(data)),
        ("sent twice", sent - len(data)),
        ("allowed", round(target)),
        ("keeping whole chunks only", whole_chunks),
        ("beginning again", again),
    ):
        print(f"{name:26s} {extra:14,} bytes  {100 * extra / len(data):10.3f} %")
    return 0 if taken - len(data) <= target else 1


def _measure(folder: Path, data: bytes, places: list[int], rate: float, kill_every: int) -> tuple[int, int, int, float]:
    """Bytes that the processes took in and that the server sent, kills, seconds.

    Raises RuntimeError when the file is not the right one in the end.
    """
    pending, kills = list(places), 0

    def faults(path: str, number: int) -> Fault:
        start = int(dict(server.requests[number][1]).get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        while pending and pending[0] <= start:
            pending.pop(0)
        if not pending:
            return Fault(rate=rate)
        return Fault(cut=pending[0] - start, rate=rate)

    digests = b"".join(hashlib.sha256(data[at : at + CHUNK]).digest() for at in range(0, len(data), CHUNK))
    (folder / "list").write_bytes(digests)
    began = time.monotonic()
    with FaultyServer({"/targets/file": data}, faults) as server:
        counter = mmap.mmap(-1, 8)
        arguments = (server.url, folder, len(data), hashlib.sha256(data).hexdigest(), counter)
        status = 1
        while status:
            process = os.fork()
            if process == 0:
                os._exit(_download(*arguments))
            requests = len(server.requests)
            while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
                time.sleep(0.002)
                if pending and len(server.requests) > requests and len(server.requests) % kill_every == 0:
                    # Somewhere in what this answer brings.
                    time.sleep(Random(len(server.requests)).uniform(0.0, 0.5) * len(data) / len(places) / rate)
                    os.kill(process, signal.SIGKILL)
                    ended = os.waitpid(process, 0)
                    break
            status = ended[1]
            kills += os.WIFSIGNALED(status)
        taken, sent = int.from_bytes(counter[:], "little"), server.sent
    if (folder / "downloads/file").read_bytes() != data:
        raise RuntimeError("the file is wrong")
    return taken, sent, kills, time.monotonic() - began


class _Counted:
    """An origin that adds the bytes that come of it to a counter in shared memory, which outlives the process."""

    def __init__(self, origin: HttpOrigin, counter: mmap.mmap) -> None:
        self._origin, self._counter = origin, counter
        self.metadata = origin.metadata

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        with self._origin.flow(name, start, length) as flow:
            yield replace(flow, pieces=self._counting(flow.pieces))

    def _counting(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._counter[:] = (int.from_bytes(self._counter[:], "little") + len(piece)).to_bytes(8, "little")
            yield piece


def _download(url: str, folder: Path, length: int, sha256: str, counter: mmap.mmap) -> int:
    """What the device's process does: the same calls as the agent's, until the file is whole."""
    clock, limits = SystemClock(), Limits(first_wait_s=0.01, longest_wait_s=0.05, attempts=8)
    disk = RealDisk(folder)
    downloads = Downloads(disk, _Counted(HttpOrigin(Http(clock, limits=limits), url), counter), clock, limits, Random())
    chunks = ChunkList(disk.read("list"), CHUNK)
    while True:
        try:
            downloads.fetch(Wanted("file", length, {"sha256": sha256}), "file", chunks)
        except (NetworkError, UnfinishedError):
            continue
        return 0


if __name__ == "__main__":
    sys.exit(main())
