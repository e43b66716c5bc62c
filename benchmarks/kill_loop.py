"""kill -9 of the server or of the retraining worker at random moments of the loop: it goes on, and nothing is done twice.

python -m benchmarks.kill_loop --kills 20 --devices 6 --seed 0

Server and worker are `edgewright server` and `edgewright retrain` in processes of their own, on SQLite and a signed
repository; the worker compiles for real (a small perceptron, float32, trained by scikit-learn as a user's own entry point) and
has the offline keys. Devices are threads that sign and send real requests. An alert and labelled samples are put into the
database as the engine of drift and the devices leave them there; all that follows is the loop's own: a policy opens a
retraining, the worker collects, trains, compiles, gates and publishes, the canary's rollout goes, the worker signs for all, the
fleet's rollout goes. Then the world turns on, and the next alert comes. At the end, when the loop has come to its end
undisturbed:

- each alert led to one retraining, and no step of one stands in the audit log twice;
- each version was published once for canaries and once for all, and each has the two rollouts of its retraining and no more;
- the ledger of looks holds each look once;
- every device was assigned once by each rollout and runs the newest version, and every report that the server took is there;
- the chain of the audit log is whole, with its entries from before every kill.

Ends with 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.cli.remote import Remote
from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.control import audit
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.tables import ALERTS, SAMPLES
from edgewright.fleet.telemetry.sample_file import pack
from edgewright.fleet.trust.repository import Repository, listed

from .kill_server import MODEL, Device, Server, Trail, looked_at, wrong_at_the_end
from .small_fleet import edgewright, files_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "retrain"))
from world import samples, write_npz, write_source  # noqa: E402

PROFILE = "x86-64-avx2"
LABELLED = 900  # samples of each turn of the world
TURN = 0.5
TOML = f"""
model = "{MODEL}"
source = "source.onnx"
data = "old.npz"
train = "{ROOT}/tests/retrain/own_training.py:with_replay"
old = ["top1 >= -8pt"]

[compile]
gates = ["top1 >= -3pt"]
precisions = ["float32"]
runtimes = ["onnxruntime"]
objective = "size"

[canary]
observe_s = 0.5
unacceptable = 0.5
when_undecided = "promote"

[fleet]
stages = ["all"]
observe_s = 0.5
unacceptable = 0.5
when_undecided = "promote"
"""
# Of each of these a retraining has one entry in the audit log at most.
ONCE = (
    "open-retraining", "retrain-collect", "retrain-train", "retrain-compile", "retrain-gate", "retrain-publish", "begin-canary",
    "canary-passed", "retrain-sign", "begin-release", "retraining-done", "refuse-retraining", "fail-retraining",
    "stop-retraining",
)  # fmt: skip


@dataclass
class Worker:
    """The worker's process."""

    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    before: int = 0

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.before = log.tell()
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    @property
    def is_at_work(self) -> bool:
        """Whether it has said something since it was started, which takes seconds."""
        return self.log.stat().st_size > self.before

    def kill(self) -> None:
        """End it as a power cut would, but for the disk."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def turn_the_world(control: Path, deployed: str, device: str, number: int) -> None:
    """Leave an alert about the deployed version, and labelled samples of a world that turned on, as server and devices do."""
    x, y = samples(LABELLED, 100 + number, TURN * number)
    now = time.time()
    database = Database(str(control), SystemClock())
    try:
        with database.transaction() as connection:
            for row, label in zip(x, y, strict=True):
                data = pack({"input.x": row[None]}, {"turn": number})
                values = {
                    "id": digest(data), "device": device, "model": MODEL, "sha256": deployed, "at": now, "received_at": now,
                    "reasons": '["random"]', "confidence": 0.5, "predicted": 0, "bytes": len(data), "data": data,
                    "label": str(label), "labelled_at": now, "labelled_by": "benchmark",
                }  # fmt: skip
                connection.execute(SAMPLES.insert().values(**values))
            told = {
                "key": f"turn {number}", "model": MODEL, "sha256": deployed, "measure": "input x", "scope": "fleet",
                "severity": "severe", "state": "open", "first_at": now, "last_at": now, "windows": 3,
                "evidence": json.dumps({"in_a_row": {"severe": 3}}),
            }  # fmt: skip
            connection.execute(ALERTS.insert().values(**told))
    finally:
        database.close()


def wrong_with_the_loop(control: Path, repository: Path, work: Path, turns: int, listed_now: list[dict[str, Any]]) -> list[str]:
    """All that was done twice or not at all."""
    found = []
    database = Database(str(control), SystemClock())
    try:
        with database.reading() as connection:
            entries = audit.entries(connection, limit=1_000_000)
    finally:
        database.close()
    counted = collections.Counter((entry.subject, entry.action) for entry in entries if entry.action in ONCE)
    found += [f"{subject}: {action} {count} times" for (subject, action), count in counted.items() if count > 1]
    alerts = collections.Counter(item["alert"] for item in listed_now)
    found += [f"alert {number} led to {alerts[number]} retrainings" for number in range(1, turns + 1) if alerts[number] != 1]
    done = [item for item in listed_now if item["state"] == "done"]
    signed = collections.Counter((item.role, item.offer.version) for item in listed(Repository(repository).load()))
    versions = {step["details"]["version"] for item in listed_now for step in item["steps"] if step["step"] == "publish"}
    if signed != collections.Counter(
        [("targets", 1), *((role, version) for version in versions for role in ("canary", "targets"))]
    ):
        found.append(f"the repository has {dict(signed)} for the versions {sorted(versions)}")
    made = collections.Counter(entry.actor for entry in entries if entry.action == "create-rollout")
    for item in done:
        count = made[f"retraining {item['id']}"]
        if count != 2:
            found.append(f"retraining {item['id']} made {count} rollouts")
    looks = [json.loads(line) for line in (work / MODEL / "looks.jsonl").read_text().splitlines()]
    twice = [
        key for key, count in collections.Counter((item["judged"], item["candidate"]) for item in looks).items() if count > 1
    ]
    return [*found, *(f"the look at {candidate[:12]} was taken twice" for _, candidate in twice)]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=25.0, help="seconds of work between two kills at most")
    options = parser.parse_args()
    draw, trail, wrong = random.Random(options.seed), Trail(), []
    with tempfile.TemporaryDirectory() as name, files_of(Path(name) / "repo") as address:
        folder = Path(name)
        repository, control, work = folder / "repo", folder / "control", folder / "work"
        x, y = samples(3000, 1)
        write_npz(folder / "old.npz", x, y)
        write_source(folder / "source.onnx", x[:2000], y[:2000])
        (folder / "retrain.toml").write_text(TOML)
        compile_options = [
            "--precision",
            "float32",
            "--runtime",
            "onnxruntime",
            "--objective",
            "size",
            "--gate",
            "top1 >= -3pt",
        ]
        edgewright(
            "compile", str(folder / "source.onnx"), "--data", str(folder / "old.npz"), "--profile", PROFILE, "--name", MODEL,
            "--out", str(folder / "dist"), "--store", str(folder / "store"), *compile_options,
        )  # fmt: skip
        edgewright("repo", "init", str(repository))
        edgewright("publish", str(folder / "dist" / f"{MODEL}-{PROFILE}.ewa"), "--repo", str(repository))
        token = folder / "token"
        token.write_text(edgewright("server", "token", "--data", str(control), "--name", "benchmark", "--role", "admin"))
        command = [sys.executable, "-u", "-m", "edgewright.cli.main"]
        root = repository / "metadata" / "1.root.json"
        server = Server(
            [*command, "server", "--data", str(control), "--repository", address, "--root", str(root), "--poll", "1"]
        )
        url = server.start()
        remote = Remote(url, token.read_text().strip())
        tokens = [remote.call("POST", "enrolment-tokens", body={})["token"] for _ in range(options.devices)]
        devices = [Device(url, told, options.seed * 1000 + place) for place, told in enumerate(tokens)]
        for device in devices[:2]:
            remote.call("PUT", "devices", device.name, "attributes", body={"attributes": {"canary": "yes"}})
        for device in devices:
            device.begin()
            remote.call("PUT", "devices", device.name, "assignments", MODEL, body={})
        policy = "on: drift severe; at most 1000 times an hour; approve: canary by machine, fleet by machine"
        remote.call("PUT", "policies", MODEL, body={"policy": policy})
        first = {item["version"]: item["sha256"] for item in remote.call("GET", "artifacts")["artifacts"]}.get(1)
        while not first or any(device.running != first for device in devices):
            first = {item["version"]: item["sha256"] for item in remote.call("GET", "artifacts")["artifacts"]}.get(1)
            for device in devices:
                remote.call("PUT", "devices", device.name, "assignments", MODEL, body={"sha256": first})
            time.sleep(2.0)
        worker = Worker(
            [*command, "retrain", str(folder / "retrain.toml"), "--repo", str(repository), "--work", str(work), "--look", "1s",
             "--lease", "5s", "--fleet-keys", str(folder / "repo.keys" / "offline"), "--server", url,
             "--token-file", str(token)],
            folder / "worker.log",
        )  # fmt: skip
        worker.start()
        killed: collections.Counter[str] = collections.Counter()
        turns, begun, next_kill = 0, time.perf_counter(), None
        now: list[dict[str, Any]] = []
        while True:
            time.sleep(0.2)
            is_idle = all(item["state"] not in ("waiting", "running") for item in now)
            if next_kill is None and now and (worker.is_at_work or is_idle):
                next_kill = time.monotonic() + draw.uniform(0.0, options.longest)
            if sum(killed.values()) < options.kills and next_kill is not None and time.monotonic() >= next_kill:
                which: Any = draw.choice((server, worker))
                which.kill()
                killed["server" if which is server else "worker"] += 1
                found = looked_at(control, trail)
                wrong += [] if found is None else [f"kill {sum(killed.values())}: {found}"]
                which.start()
                next_kill = None
            with contextlib.suppress(EdgewrightError):  # while no server runs
                now = remote.call("GET", "retrainings")["retrainings"]
                if all(item["state"] in ("done", "refused", "failed", "stopped") for item in now) and len(now) == turns:
                    if sum(killed.values()) >= options.kills and turns:
                        break
                    turns += 1
                    turn_the_world(control, str(devices[-1].running), devices[0].name, turns)
        trail.rollouts = [item["id"] for item in remote.call("GET", "rollouts")["rollouts"]]
        retrainings = remote.call("GET", "retrainings")["retrainings"]
        newest = next((item for item in retrainings if item["state"] == "done"), None)
        time.sleep(3.0)
        for device in devices:
            device.end()
        worker.kill()
        server.kill()
        found = looked_at(control, trail)
        wrong += [] if found is None else [found]
        wrong += wrong_with_the_loop(control, repository, work, turns, retrainings)
        # Devices were assigned by hand until version 1 ran: that is no rollout's.
        wrong += [item for item in wrong_at_the_end(control, devices, trail) if "was assigned" not in item]
        if newest is not None:
            sha256 = next(step for step in newest["steps"] if step["step"] == "publish")["details"]["artifacts"][PROFILE]
            wrong += [f"{device.name} does not run the newest version" for device in devices if device.running != sha256]
        if wrong:
            sys.stderr.write((folder / "worker.log").read_text()[-4000:])
    states = collections.Counter(item["state"] for item in retrainings)
    print(f"{sum(killed.values())} kills ({', '.join(f'{count} of the {what}' for what, count in sorted(killed.items()))}) "
          f"in {time.perf_counter() - begun:.0f} s")  # fmt: skip
    print(f"retrainings of {turns} alerts: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    print(f"the audit log: {trail.heads[-1][0]} entries; {len(trail.rollouts)} rollouts, {options.devices} devices")
    for item in reversed(retrainings):
        print(f"  {item['id']}: {item['state']}: {item['why']}")
    print("\n".join([*wrong, f"{len(wrong)} times something was wrong"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
