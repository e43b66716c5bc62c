"""kill -9 of the control plane at random moments of rollouts: nothing is assigned twice, nothing is lost, no entry goes.

python -m benchmarks.kill_server --kills 50 --devices 40 --seed 0

The server is `edgewright server` in a process of its own, on SQLite and a signed repository. Devices are threads that sign and
send real requests: each asks what it shall run, tells the states of an update, sends windows of telemetry, and tries every
request until the server has answered it. Rollouts follow one another over two versions; of every other one half of the updates
fail, so that giving back is killed too. After every kill the database is read as a starting server would. At the end, when the
last rollout has come to its end undisturbed:

- every device was assigned once by each rollout that it is a member of, and once more where that was aborted (its attempts, of
  which each assignment takes one, say so), and was never told an earlier attempt than before;
- every report and window that the server took (its answer came) is in the database, and every rollout that it took;
- the server believes of each device what it runs;
- the chain of the audit log is whole, with its entries from before every kill.

Ends with 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edgewright.cli.remote import Remote
from edgewright.core.clock import SystemClock
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.control.audit import verify
from edgewright.fleet.control.database import FILE, Database
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.enrolment import Enrolled, Enrolment, Token
from edgewright.fleet.protocol.report import Report, Result, State
from edgewright.fleet.protocol.signature import sign
from edgewright.fleet.protocol.window import ERROR_KINDS, LATENCY_BINS, Batch, Window

from .small_fleet import edgewright, files_of

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "fleet"))
from tiny_artifact import write_tiny

MODEL = "tiny"
FACTS = {"arch": "x86_64", "profile": "x86-64-avx2"}
PLAN: dict[str, Any] = {
    "model": MODEL,
    "stages": [{"count": 5}, {"share": 0.5}, {"share": 1.0}],
    "unacceptable": 0.5,
    "observe_s": 0.5,
    "when_undecided": "promote",
    "rate": 600,
}


@dataclass
class Server:
    """The process that is killed, always at one port."""

    command: list[str]
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it, and give its address once it answers."""
        command = [*self.command, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = self.process.stdout.readline() if self.process.stdout is not None else ""
        if " at " not in said:
            raise RuntimeError("the server did not start")
        url = said.split(" at ")[1].split(";")[0]
        self.port = int(url.rpartition(":")[2])
        return url

    def kill(self) -> None:
        """End it as a power cut would, but for the disk."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()


class Device:
    """A device in a thread of its own; `reports` and `windows` are what the server took, `told` what it was told to run."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        self._at, self._draw = urlsplit(url), random.Random(seed)
        self._url, self._key = url, Ed25519PrivateKey.from_private_bytes(self._draw.randbytes(32))
        self.running: str | None = None
        self.reports: set[tuple[str, int]] = set()
        self.windows: set[int] = set()
        self.told: list[tuple[str | None, int]] = []
        self.boot, self._sequence, self._window = f"00000001-{seed:08x}", 0, 0
        self._done: tuple[str | None, int] | None = None
        self._is_over = threading.Event()
        public = self._key.public_key().public_bytes_raw()
        body = Enrolment(Token.parse(token).secret, public, FACTS).encode()
        self.name = Enrolled.decode(self._request("POST", "/v1/enrol", body, {})).device
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def end(self) -> None:
        """Finish what is on its way."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._draw.uniform(0.2, 0.6)):
            wanted = Assignment.decode(self._signed("GET", "/v1/assignment")).models.get(MODEL)
            if wanted is None:
                continue
            if not self.told or self.told[-1] != (wanted.sha256, wanted.attempt):
                self.told.append((wanted.sha256, wanted.attempt))
            if wanted.sha256 != self.running and self._done != (wanted.sha256, wanted.attempt):
                self._done = wanted.sha256, wanted.attempt
                self._update(wanted)

    def _update(self, wanted: Wanted) -> None:
        """Go through an update; an attempt that is odd fails on half of the devices, but for the first version."""
        target = wanted.sha256
        states: tuple[State, ...] = ("Download", "ArtifactInstall", "ArtifactReboot", "ArtifactCommit")
        for state in states:
            if self._report(state, target):
                self._report("ArtifactFailure", target, "FAILED_NO_STATE_CHANGE", "taken back")
                return
        if FAILING.is_set() and self._draw.random() < 0.5:
            self._report("ArtifactFailure", target, "FAILED_ROLLBACK_COMPLETE", "it fails here")
            return
        self.running = target
        self._report("ArtifactCommit_Leave", target, "SUCCESSFUL")
        self._report("Idle", None)
        self._tell_window()

    def _report(self, state: State, target: str | None, result: Result | None = None, why: str = "") -> bool:
        self._sequence += 1
        number = self._sequence
        made = Report(self.name, self.boot, number, MODEL, self.running, target, state, result, why, time.time())
        answer = json.loads(self._signed("POST", "/v1/reports", made.encode()))
        self.reports.add((self.boot, number))
        return bool(answer["is_aborted"])

    def _tell_window(self) -> None:
        self._window += 1
        now, latency = int(time.time()), [0] * LATENCY_BINS
        latency[10] = 50
        made = Window(MODEL, self.running or "", now - 1, now, 1, 50, 50, 0, (0,) * len(ERROR_KINDS), tuple(latency), ())
        self._signed("POST", "/v1/telemetry", Batch(self.boot, ((self._window, made.encode()),)).encode())
        self.windows.add(self._window)

    def _signed(self, method: str, path: str, body: bytes = b"") -> bytes:
        while True:
            fields = sign(method, self._url + path, body, self.name, time.time(), self._key.sign)
            with contextlib.suppress(OSError, http.client.HTTPException, Unavailable):
                return self._request(method, path, body, fields)
            time.sleep(self._draw.uniform(0.05, 0.3))

    def _request(self, method: str, path: str, body: bytes, fields: dict[str, str]) -> bytes:
        with contextlib.closing(http.client.HTTPConnection(self._at.hostname or "", self._at.port, timeout=30)) as connection:
            connection.request(method, path, body or None, fields)
            answer = connection.getresponse()
            data = answer.read()
        if answer.status >= 500:
            raise Unavailable
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data


class Unavailable(Exception):
    """The server cannot keep it now."""


FAILING = threading.Event()  # half of the updates fail while it is set


@dataclass
class Trail:
    """What must be there for ever: the audit log as it was after each kill, and the rollouts that the server took."""

    heads: list[tuple[int, str]] = field(default_factory=list)
    rollouts: list[int] = field(default_factory=list)


def looked_at(control: Path, trail: Trail) -> str | None:
    """What a starting server would find amiss, or None."""
    database = Database(str(control), SystemClock())
    try:
        with database.reading() as connection:
            found = verify(connection)
    finally:
        database.close()
    if found.broken is not None:
        return f"the audit log is broken: {found.broken}"
    if trail.heads and found.count < trail.heads[-1][0]:
        return f"the audit log lost {trail.heads[-1][0] - found.count} entries"
    trail.heads.append((found.count, found.head))
    return None


# How often each device must have been assigned: once by each rollout, and once more to give back what it had.
_ASSIGNED = """
    SELECT device, count(*) + sum(rollouts.state = 'aborted' AND before IS NOT NULL)
    FROM members JOIN rollouts ON rollouts.id = members.rollout WHERE assigned_at IS NOT NULL GROUP BY device
"""


def wrong_at_the_end(control: Path, devices: list[Device], trail: Trail) -> list[str]:
    """All that is amiss in the database."""
    found: list[str] = []
    with contextlib.closing(sqlite3.connect(control / FILE)) as connection:
        digests = dict(connection.execute("SELECT place, digest FROM audit"))
        reports = set(connection.execute("SELECT device, boot, sequence FROM reports"))
        windows = set(connection.execute("SELECT device, stream, sequence FROM windows"))
        believed = dict(connection.execute("SELECT device, running FROM states"))
        rollouts = {row[0] for row in connection.execute("SELECT id FROM rollouts")}
        attempts = dict(connection.execute("SELECT device, attempt FROM assignments"))
        expected = dict(connection.execute(_ASSIGNED))
    found += [f"rollout {number} is lost" for number in trail.rollouts if number not in rollouts]
    found += [f"entry {count} of the audit log changed" for count, head in trail.heads if digests.get(count) != head]
    for device in devices:
        lost = [key for key in device.reports if (device.name, *key) not in reports]
        lost_windows = [number for number in device.windows if (device.name, device.boot, number) not in windows]
        if lost or lost_windows:
            found.append(f"{device.name}: {len(lost)} reports and {len(lost_windows)} windows are lost")
        if believed.get(device.name) != device.running:
            found.append(f"{device.name} runs {device.running}, and the server believes {believed.get(device.name)}")
        times = attempts.get(device.name, -1) + 1
        if times != expected.get(device.name, 0):
            found.append(f"{device.name} was assigned {times} times, not {expected.get(device.name, 0)}")
        for (one, first), (two, second) in itertools.pairwise(device.told):
            if second <= first:
                found.append(f"{device.name} was told {str(one)[:12]} (attempt {first}), then {str(two)[:12]} ({second})")
    return found


def keep_rolling(remote: Remote, trail: Trail, is_over: threading.Event) -> None:
    """One rollout after another, over two versions, until told to end; then to the end of the last."""
    while True:
        time.sleep(0.3)
        with contextlib.suppress(EdgewrightError):  # while no server runs
            listed = remote.call("GET", "rollouts")["rollouts"]
            # The answer to a request may have been lost, and its rollout made.
            trail.rollouts += [item["id"] for item in reversed(listed) if item["id"] not in trail.rollouts]
            if any(item["state"] not in ("completed", "aborted") for item in listed):
                continue
            if is_over.is_set() and listed:
                return
            kept = next((item["version"] for item in listed if item["state"] == "completed"), 2)
            (FAILING.set if listed and len(listed) % 2 == 0 else FAILING.clear)()
            trail.rollouts.append(remote.call("POST", "rollouts", body={**PLAN, "version": 3 - kept})["id"])


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds that a server lives at most")
    options = parser.parse_args()
    draw, trail, wrong = random.Random(options.seed), Trail(), []
    with tempfile.TemporaryDirectory() as name, files_of(Path(name) / "repo") as address:
        folder = Path(name)
        repository, control = folder / "repo", folder / "control"
        edgewright("repo", "init", str(repository))
        for version in (1, 2):
            edgewright("publish", str(write_tiny(folder / f"{version}.ewa", float(version))), "--repo", str(repository))
        secret = edgewright("server", "token", "--data", str(control), "--name", "benchmark", "--role", "admin").strip()
        command = [sys.executable, "-u", "-m", "edgewright.cli.main", "server", "--data", str(control)]
        root = repository / "metadata" / "1.root.json"
        server = Server([*command, "--repository", address, "--root", str(root), "--poll", "1"])
        url = server.start()
        remote = Remote(url, secret)
        tokens = [remote.call("POST", "enrolment-tokens", body={})["token"] for _ in range(options.devices)]
        devices = [Device(url, token, options.seed * 1000 + place) for place, token in enumerate(tokens)]
        is_over = threading.Event()
        operator = threading.Thread(target=keep_rolling, args=(remote, trail, is_over), daemon=True)
        for device in devices:
            device.begin()
        operator.start()
        begun = time.perf_counter()
        for count in range(options.kills):
            time.sleep(draw.uniform(0.1, options.longest))
            server.kill()
            found = looked_at(control, trail)
            if found is not None:
                wrong.append(f"kill {count}: {found}")
            server.start()
        is_over.set()
        operator.join()
        time.sleep(3.0)
        for device in devices:
            device.end()
        states = collections.Counter(remote.call("GET", "rollouts", number)["state"] for number in trail.rollouts)
        server.kill()
        found = looked_at(control, trail)
        wrong += [found] if found is not None else []
        wrong += wrong_at_the_end(control, devices, trail)
        reports = sum(len(device.reports) for device in devices)
    print(f"{options.kills} kills in {time.perf_counter() - begun:.0f} s; {options.devices} devices, {reports} reports taken")
    print("rollouts: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    print(f"the audit log: {trail.heads[-1][0]} entries")
    print("\n".join([*wrong, f"{len(wrong)} times something was wrong"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
