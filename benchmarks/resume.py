"""Counts the bytes that 100 random cuts of a download cost: 50 MB over a bad line, through restarts of the process.

    python benchmarks/resume.py [--megabytes 50] [--cuts 100] [--rate 8000000] [--folder /dev/shm]

A server on 127.0.0.1 sends at most `--rate` bytes a second, as a line does, and cuts the connection at random bytes. At every
third answer the downloading process is killed (SIGKILL) and started anew on the same folder. Told are the bytes that the server
sent beyond the file, as a share of the file, beside the target (at most 1 % and 64 KiB), beside what a client pays that begins
again after each cut, and one that resumes but keeps only chunks that were whole.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parents[1] / "tests/fleet"))

from edgewright.core.clock import SystemClock
from edgewright.core.errors import NetworkError, UnfinishedError
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Http, Limits
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
    parser.add_argument("--folder", type=Path, help="where the device's folder is made; by default the temporary folder")
    given = parser.parse_args()
    source = Random(1)
    data = source.randbytes(int(given.megabytes * 1e6))
    places = sorted(source.sample(range(1, len(data)), given.cuts))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        sent, kills, seconds = _measure(Path(folder), data, places, given.rate)
    again = sum(places)
    whole_chunks = sum(place % CHUNK for place in places)
    target = len(data) / 100 + CHUNK
    print(f"file {len(data):,} bytes, {len(places)} cuts, {kills} of them with the process killed, {seconds:.0f} s")
    for name, extra in (
        ("sent twice", sent - len(data)),
        ("allowed", round(target)),
        ("keeping whole chunks only", whole_chunks),
        ("beginning again", again),
    ):
        print(f"{name:26s} {extra:14,} bytes  {100 * extra / len(data):10.3f} %")
    return 0 if sent - len(data) <= target else 1


def _measure(folder: Path, data: bytes, places: list[int], rate: float) -> tuple[int, int, float]:
    """Bytes that the server sent, kills, seconds; raises RuntimeError when the file is not the right one in the end."""
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
        arguments = [server.url, str(folder), str(len(data)), hashlib.sha256(data).hexdigest()]
        while True:  # until a process ends by itself
            process = subprocess.Popen([sys.executable, __file__, "download", *arguments])
            while process.poll() is None:
                requests = len(server.requests)
                time.sleep(0.01)
                if pending and len(server.requests) > requests and len(server.requests) % 3 == 0:
                    # Somewhere in what this answer brings.
                    time.sleep(Random(requests).uniform(0.0, 0.5) * (len(data) / len(places)) / rate)
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
            if process.wait() == 0:
                break
        sent = server.sent
    if (folder / "downloads/file").read_bytes() != data:
        raise RuntimeError("the file is wrong")
    return sent, kills, time.monotonic() - began


def download(url: str, folder: str, length: str, sha256: str) -> int:
    """What the device's process does: the same calls as the agent's, until the file is whole."""
    clock, limits = SystemClock(), Limits(first_wait_s=0.01, longest_wait_s=0.05, attempts=8)
    disk = RealDisk(Path(folder))
    downloads = Downloads(disk, HttpOrigin(Http(clock, limits=limits), url), clock, limits, Random())
    chunks = ChunkList(disk.read("list"), CHUNK)
    while True:
        try:
            downloads.fetch(Wanted("file", int(length), {"sha256": sha256}), "file", chunks)
        except (NetworkError, UnfinishedError):
            continue
        return 0


if __name__ == "__main__":
    sys.exit(download(*sys.argv[2:]) if sys.argv[1:2] == ["download"] else main())
