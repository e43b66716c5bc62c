"""The loop that closes, on this machine: a model is trained, compiled and shipped, the world changes, and it is trained again.

Run by `make demo-loop`. Ten devices in processes of their own serve a network that reads digits. Then dust falls on the lenses
of all cameras. The server sees it in counts alone, opens an alert and, as the policy says, a retraining; a person labels what
devices sent; the worker trains, compiles and gates a new version, which goes to four canaries and, once a person has signed it,
to all. Everything is real: keys and signatures, downloads, requests, tests. What is made lies in dist/loop.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from demo_fleet import AT_REST, edgewright, files_of, process, until
from demo_fleet_models import MODEL, PROFILE
from demo_fleet_traffic import Traffic
from demo_loop_world import World, write_model
from edgewright.cli.remote import Remote
from rich.console import Console
from rich.table import Table

OUT = Path("dist/loop")
LOGS = OUT / "logs"
DEVICES, CANARIES = 10, 4
A_SECOND = 4.0  # requests to each device
POLL_S, TRIAL_S, WINDOW_S, DRIFT_WINDOW_S = 2, 3, 2, 10
SAMPLED = 0.4  # share of the requests whose pictures devices send
LABELS = 400  # that a person gives
CALM_WINDOWS = 3  # of drift, judged before the world changes
OLD_GATE = "top1 >= -3pt"
POLICY = "on: drift severe for 2 windows; at most once a day; approve: canary by machine, fleet by person"
ENDED = ("refused", "failed", "stopped", "cancelled")  # states of a retraining of which nothing more comes
PLAN = {"unacceptable": 0.6, "observe_s": 6.0, "silent_s": 300.0}
SETTINGS = f"""
model = "{MODEL}"
source = "digits.onnx"
data = "old.npz"
accept = "accept.npz"
train = "distill{{epochs=40,teacher-weight=0.1}}"
held-out = 0.3
search = 0.15
replay = 2
old = "{OLD_GATE}"

[compile]
gates = ["{OLD_GATE}"]
runtimes = ["onnxruntime"]

[canary]
unacceptable = {PLAN["unacceptable"]}
observe_s = {PLAN["observe_s"]}
silent_s = {PLAN["silent_s"]}

[fleet]
stages = ["all"]
unacceptable = {PLAN["unacceptable"]}
observe_s = {PLAN["observe_s"]}
silent_s = {PLAN["silent_s"]}
"""
# What the audit log must tell of the loop, in this order.
ARROWS = {
    "learn-artifact": "the server learns of a signed version",
    "complete-rollout": "it runs on every device",
    "open-alert": "the alert of drift",
    "open-retraining": "a retraining, as the policy says",
    "push-labels": "labels of a person",
    "retrain-collect": "old data and new",
    "retrain-train": "the network trained again",
    "retrain-compile": "compiled",
    "retrain-gate": "gates passed",
    "retrain-publish": "published under the canary's key",
    "begin-canary": "rolled out to canaries",
    "canary-passed": "the canary passed",
    "begin-release": "signed for all by a person, and rolled out",
    "retraining-done": "the new version runs on every device",
}


@dataclass(frozen=True)
class Loop:
    """The running fleet, as those who tend it see it."""

    remote: Remote
    traffic: Traffic
    patience_s: float

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """What `look` finds first that is not None."""
        return until(look, what, self.patience_s, LOGS)

    def running(self, version: int) -> list[str]:
        """The devices that say they run the version, and have nothing on their way."""
        listed = self.remote.call("GET", "artifacts")["artifacts"]
        digests = {item["sha256"] for item in listed if item["model"] == MODEL and item["version"] == version}
        devices = self.remote.call("GET", "devices")["devices"]
        said = {item["device"]: item["models"].get(MODEL, {}).get("said") for item in devices}
        return [name for name, item in said.items() if item and item["running"] in digests and item["state"] in AT_REST]

    def accuracy(self, seconds: float) -> float:
        """The share of answers that are right, over so many seconds from now."""
        before = self.traffic.counts
        time.sleep(seconds)
        after = self.traffic.counts
        right, wrong = (after[name] - before[name] for name in ("right", "wrong"))
        return right / max(1, right + wrong)

    def judged(self) -> int:
        """Windows of drift that the server has judged."""
        listed = self.remote.call("GET", "drift")["models"]
        return int(self.remote.call("GET", "drift", MODEL)["windows"]) if listed else 0

    def alerts(self) -> list[dict[str, Any]]:
        """Open alerts of inputs and answers; latency and errors are no matter of training."""
        found = self.remote.call("GET", "alerts", query={"model": MODEL})["alerts"]
        return [item for item in found if item["measure"] not in ("latency", "errors")]

    def retraining(self) -> dict[str, Any] | None:
        """The newest retraining."""
        found = self.remote.call("GET", "retrainings", query={"model": MODEL})["retrainings"]
        return found[0] if found else None

    def retraining_in(self, *states: str) -> dict[str, Any] | None:
        """The retraining once it is in one of these states; raises RuntimeError where it ended otherwise."""
        found = self.retraining()
        if found is not None and found["state"] in ENDED:
            raise RuntimeError(f"the retraining is {found['state']}: {found['why']}")
        return found if found is not None and found["state"] in states else None


def tool(*arguments: str) -> None:
    """A command in a process of its own; raises CalledProcessError with what it said."""
    command = [sys.executable, "-m", "edgewright.cli.main", *arguments]
    # One thread: those of a small network wait for each other for longer than they work, beside ten devices.
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ended.returncode:
        print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr)
        raise subprocess.CalledProcessError(ended.returncode, command)


@contextmanager
def fleet(world: World, port: int, patience_s: float) -> Iterator[tuple[Loop, str]]:
    """Server, ten devices of which some take canaries, and applications; the address of the page."""
    with ExitStack() as stack:
        repository, control = OUT / "repo", OUT / "control"
        root = str(repository / "metadata" / "1.root.json")
        token = OUT / "admin.token"
        token.touch(0o600)
        token.write_text(edgewright("server", "token", "--data", str(control), "--name", "demo", "--role", "admin"))
        address = stack.enter_context(files_of(repository))
        seconds = ["--poll", str(POLL_S), "--drift-window", str(DRIFT_WINDOW_S)]
        served = ["server", "--data", str(control), "--port", str(port), "--root", root, "--repository", address, *seconds]
        server = stack.enter_context(process(LOGS / "server.log", *served))
        said = server.stdout.readline() if server.stdout is not None else ""
        if " at " not in said:
            raise RuntimeError(f"the server did not start; look into {LOGS / 'server.log'}.")
        url = said.split(" at ")[1].split(";")[0]
        os.environ.update(EDGEWRIGHT_SERVER=url, EDGEWRIGHT_TOKEN=token.read_text().strip())
        remote, sockets = Remote(url, token.read_text().strip()), []
        for number in range(DEVICES):
            folder = OUT / "devices" / f"{number:02}"
            one = remote.call("POST", "enrolment-tokens", body={})["token"]
            given = ["--data", str(folder), "--server", url, "--token", one, "--profile", PROFILE]
            given += ["--poll", str(POLL_S), "--trial", str(TRIAL_S), "--window", str(WINDOW_S)]
            given += ["--samples-consent", "whoever runs this demo", "--samples-share", str(SAMPLED), "--samples-upload"]
            given += ["--samples-below", "0", *(["--canary"] if number < CANARIES else [])]
            stack.enter_context(process(LOGS / f"device-{number:02}.log", "agent", *given))
            sockets.append(folder / "run" / f"{MODEL}.sock")
        loop = Loop(remote, Traffic(sockets, world.ask, A_SECOND), patience_s)
        loop.until(lambda: len(remote.call("GET", "devices")["devices"]) == DEVICES or None, "all devices enrolled")
        loop.traffic.begin()
        stack.callback(loop.traffic.end)
        yield loop, url


def label(loop: Loop, world: World, since: float) -> int:
    """What a person does: look at pictures since then, write down what they show, and push that; how many."""
    pictures, sheet = OUT / "look.npz", OUT / "labels.csv"

    def sent() -> int | None:
        listed = loop.remote.pages("samples", "samples", query={"model": MODEL, "state": "unlabelled", "limit": 1000})
        count = sum(item["at"] >= since for item in listed)
        return count if count >= LABELS else None

    loop.until(sent, f"devices had sent {LABELS} pictures")
    edgewright("samples", "export", "--model", MODEL, "--unlabelled", "--out", str(pictures))
    with np.load(pictures) as found:
        rows = zip(found["sample"], found["at"], found["x"], strict=True)
        told = [(name, world.label(image)) for name, at, image in rows if at >= since]
    with sheet.open("w", newline="") as kept:
        csv.writer(kept, lineterminator="\n").writerows([("sample", "label"), *told])
    edgewright("labels", "push", str(sheet), "--model", MODEL)
    return len(told)


def explained(loop: Loop, moments: dict[str, tuple[float, int | None]]) -> bool:
    """Whether `edgewright explain` names the version that ran, for each device at each moment (None: one or the other)."""
    is_well = True
    for device in (item["device"] for item in loop.remote.call("GET", "devices")["devices"]):
        for at, version in moments.values():
            query = {"device": device, "at": repr(at), "model": MODEL}
            (told,) = loop.remote.call("GET", "explain", query=query)["explained"]
            is_well &= told["artifact"] is not None and (version is None or told["artifact"]["version"] == version)
    return is_well


def arrows(loop: Loop) -> Table:
    """The entries of the audit log that tell of the loop, in their order; raises RuntimeError where one is missing."""
    table = Table("place", "UTC", "who", "what", "which is", title="the loop, as the audit log has it")
    entries = list(loop.remote.pages("entries", "audit"))
    place = 0
    for action, what in ARROWS.items():
        found = next((item for item in entries if item["action"] == action and item["place"] > place), None)
        if found is None:
            raise RuntimeError(f"the audit log has no {action!r} behind entry {place}.")
        place = found["place"] if action != "open-retraining" else place  # labels may come before it
        when = time.strftime("%H:%M:%S", time.gmtime(found["at"]))
        table.add_row(str(found["place"]), when, found["actor"], action, what)
    return table


def main() -> int:
    """Run the demo; 0 when the new version wins on the new world and the old one is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8440, help="of the control plane and its page; 0 for any free one")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds to wait for each step on a busy machine")
    options = parser.parse_args()
    console, begun = Console(), time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:4.0f} s[/]  {text}")

    shutil.rmtree(OUT, ignore_errors=True)
    LOGS.mkdir(parents=True)
    world = World()
    write_model(OUT, world)
    (OUT / "retrain.toml").write_text(SETTINGS)
    say("a network is trained on clean digits")
    compiling = ["--profile", PROFILE, "--gate", OLD_GATE, "--runtime", "onnxruntime", "--store", str(OUT / "store")]
    given = [str(OUT / "digits.onnx"), "--data", str(OUT / "old.npz"), "--accept", str(OUT / "accept.npz"), *compiling]
    tool("compile", *given, "--out", str(OUT / "compiled"))
    edgewright("repo", "init", str(OUT / "repo"))
    edgewright("publish", "--repo", str(OUT / "repo"), str(OUT / "compiled" / f"{MODEL}-{PROFILE}.ewa"))
    say("compiled, signed and published as version 1")
    with fleet(world, options.port, options.patience) as (loop, url):
        say(f"{DEVICES} devices are enrolled at {url}, {CANARIES} of them take canaries")
        edgewright("retrain", "policy", MODEL, POLICY)
        loop.remote.call("POST", "rollouts", body={"model": MODEL, "version": 1, "stages": [{"share": 1.0}], **PLAN})
        loop.until(lambda: len(loop.running(1)) == DEVICES or None, "all devices ran version 1")
        shipped = time.time()
        calm = loop.judged() + CALM_WINDOWS
        loop.until(lambda: loop.judged() >= calm or None, f"{CALM_WINDOWS} windows were judged")
        say(f"version 1 runs everywhere, {100 * loop.accuracy(5):.1f} % of the answers are right, {len(loop.alerts())} alerts")
        world.is_dirty, changed = True, time.time()
        before = loop.accuracy(5)
        say(f"dust falls on the lenses: {100 * before:.1f} % of the answers are right")
        alert = loop.until(lambda: next(iter(loop.alerts()), None), "drift was seen")
        say(f"alert: {alert['measure']} in {alert['scope']}, {alert['severity']}")
        found = loop.until(loop.retraining, "a retraining was opened")
        say(f"retraining {found['id']}: {found['cause']}")
        say(f"a person labels {label(loop, world, changed)} pictures that devices sent")
        worked = ["--repo", str(OUT / "repo"), "--work", str(OUT / "work"), "--once"]
        tool("retrain", str(OUT / "retrain.toml"), *worked)
        gates = next(step for step in loop.retraining()["steps"] if step["step"] == "gate")["details"]["judged"]
        for item in (verdict | {"part": judged["part"]} for judged in gates for verdict in judged["verdicts"]):
            shares = f"{100 * item['reference']:.1f} % -> {100 * item['candidate']:.1f} %"
            say(f"gate '{item['gate']}' on {item['part']} data: {shares}, {item['status']}")
        found = loop.until(lambda: loop.retraining_in("to-sign"), "the canary passed")
        canaries = time.time()
        say(f"version 2 runs on {len(loop.running(2))} canaries: {found['why']}")
        made = sorted((OUT / "work").glob(f"{MODEL}/jobs/*/dist/*.ewa"))
        edgewright("publish", "--repo", str(OUT / "repo"), "--version", "2", *map(str, made))
        loop.until(lambda: loop.retraining_in("done"), "the new version ran everywhere")
        loop.until(lambda: len(loop.running(2)) == DEVICES or None, "all devices ran version 2")
        world.is_late = True
        after = loop.accuracy(8)
        released = time.time()
        say(f"version 2 runs everywhere: {100 * after:.1f} % of the answers are right, on digits that it never saw")
        world.is_dirty = False
        clean = loop.accuracy(8)
        say(f"lenses are cleaned: {100 * clean:.1f} % of the answers are right")
        console.print(arrows(loop))
        console.print(edgewright("audit", "--verify").strip())
        device = loop.running(2)[-1]
        console.print(f"$ edgewright explain {device[:12]}...")
        console.print(edgewright("explain", device, "--model", MODEL).strip(), highlight=False)
        moments = {"shipped": (shipped, 1), "canaries": (canaries, None), "released": (released, 2)}
        is_explained = explained(loop, moments)
        knows = "knows" if is_explained else "does not know"
        say(f"explain {knows} what ran on each of {DEVICES} devices at {len(moments)} moments")
        failed = loop.traffic.failed
    say(f"{failed} requests failed; accuracy in the dust {100 * before:.1f} % before, {100 * after:.1f} % after")
    return 0 if is_explained and after > before + 0.1 and clean > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
