"""A fleet on this machine: a repository, a control plane, ten devices in processes of their own, and five versions of a model.

Run by `make demo-fleet`. Two versions are good and reach every device, stage by stage. Three are bad, each in its own way; the
canary stops each, and its devices go back. Everything is real: keys and signatures, downloads, workers, requests, tests. With
--keep the page stays open until Ctrl-C. What is made lies in dist/fleet.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import io
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demo_fleet_models import MODEL, PROFILE, Version, write_versions
from demo_fleet_traffic import Traffic, unknown_digits
from edgewright.cli.main import group
from edgewright.cli.remote import Remote
from rich.console import Console
from rich.table import Table

OUT = Path("dist/fleet")
DEVICES, CANARY = 10, 4
SITES = ("lab", "roof", "yard")
POLL_S, TRIAL_S, WINDOW_S, OBSERVE_S = 2, 3, 2, 6
# Ten devices can tell large shares of failures apart and no smaller ones: four good ones refute that 60 % fail.
PLAN: dict[str, Any] = {
    "model": MODEL,
    "stages": [{"count": CANARY}, {"share": 1.0}],
    "unacceptable": 0.6,
    "guards": ["slow <= +10pt", "errors <= +5pt"],
    "observe_s": float(OBSERVE_S),
    "silent_s": 300.0,
}
# What a device said last that has nothing on its way; one that went back says nothing more than that.
AT_REST = ("Idle", "Cleanup", "ArtifactCommit_Leave", "ArtifactFailure")
EXPECTED = ("completed", "completed", "aborted", "aborted", "aborted")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Told:
    """What came of a version: how its rollout ended, after how long, and how many requests failed until all was well again."""

    version: Version
    number: int
    rollout: dict[str, Any]
    assigned: int
    seconds: float
    failed: int


class Fleet:
    """The running fleet, as its operator sees it."""

    def __init__(self, remote: Remote, traffic: Traffic, patience_s: float, say: Callable[[str], None]) -> None:
        self.remote, self._traffic, self._say = remote, traffic, say
        self._patience_s = patience_s
        self._good, self._number = "", 0  # digest and number of the version that all devices run

    def bring(self, version: Version, number: int) -> Told:
        """Roll a version out, and wait until that has ended and every device runs what it shall."""
        self._say(f"\nversion {number}, {version.what}")
        failed = self._traffic.failed
        # What runs nowhere yet has nothing to be compared with, and no canary has to go before it.
        stages = [{"share": 1.0}] if number == 1 else PLAN["stages"]
        made = self.remote.call("POST", "rollouts", body={**PLAN, "version": number, "stages": stages})
        begun = time.monotonic()
        rollout = self._until(lambda: self._ended(made["id"]), f"the rollout of version {number} ended")
        seconds = time.monotonic() - begun
        self._say(f"  {rollout['state']} after {seconds:.0f} s: {rollout['why']}")
        if rollout["state"] == "completed":
            self._good, self._number = self._digest(number), number
        self._until(lambda: self._running() == DEVICES or None, f"all devices ran the good version after {number}")
        again = "" if self._number == number else " again"
        self._say(f"  all {DEVICES} devices run version {self._number}{again}")
        assigned = sum(counts["assigned"] for counts in rollout["evidence"]["counts"])
        time.sleep(2 * WINDOW_S)  # of telemetry, to compare the next version with
        return Told(version, number, rollout, assigned, seconds, self._traffic.failed - failed)

    def _until(self, look: Callable[[], Found | None], what: str) -> Found:
        return until(look, what, self._patience_s)

    def _ended(self, rollout: int) -> dict[str, Any] | None:
        found = self.remote.call("GET", "rollouts", rollout)
        if found["state"] == "paused":
            raise RuntimeError(f"the rollout waits for a person: {found['why']}")
        return found if found["state"] in ("completed", "aborted") else None

    def _digest(self, number: int) -> str:
        listed = self.remote.call("GET", "artifacts")["artifacts"]
        return next(str(item["sha256"]) for item in listed if item["version"] == number)

    def _running(self) -> int:
        """How many devices say that they run the good version, and have nothing on their way."""
        said = [item["models"].get(MODEL, {}).get("said") for item in self.remote.call("GET", "devices")["devices"]]
        return sum(item is not None and item["running"] == self._good and item["state"] in AT_REST for item in said)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Say nothing."""


def edgewright(*arguments: str) -> str:
    """What a command prints that runs in this process, as its own takes a second to start."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        group.main(args=list(arguments), prog_name="edgewright", standalone_mode=False)
    return said.getvalue()


def until(look: Callable[[], Found | None], what: str, patience_s: float, logs: Path = OUT / "logs") -> Found:
    """What `look` finds first; raises TimeoutError when it takes too long."""
    end = time.monotonic() + patience_s
    while (found := look()) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{patience_s:.0f} s passed before {what}; look into {logs}.")
        time.sleep(0.25)
    return found


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """A static file server of a folder, as a repository needs; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def process(log: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own until the block ends; what it logs goes into a file."""
    command = [sys.executable, "-u", "-m", "edgewright.cli.main", *arguments]
    with log.open("w") as kept, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=kept, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()


def start(
    stack: ExitStack, versions: list[Version], port: int, patience_s: float, say: Callable[[str], None]
) -> tuple[Fleet, Traffic, str, Path]:
    """Everything but the versions: the fleet, what applications ask, the page's address, and the file with a token for it."""
    repository, control, logs = OUT / "repo", OUT / "control", OUT / "logs"
    logs.mkdir(parents=True)
    edgewright("repo", "init", str(repository))
    edgewright("publish", "--repo", str(repository), *(str(version.artifact) for version in versions))
    root = str(repository / "metadata" / "1.root.json")
    token = OUT / "admin.token"
    token.touch(0o600)
    token.write_text(edgewright("server", "token", "--data", str(control), "--name", "demo", "--role", "admin"))
    served = ["server", "--data", str(control), "--port", str(port), "--root", root, "--poll", str(POLL_S)]
    address = stack.enter_context(files_of(repository))
    server = stack.enter_context(process(logs / "server.log", *served, "--repository", address))
    said = server.stdout.readline() if server.stdout is not None else ""
    if " at " not in said:
        raise RuntimeError(f"the server did not start; look into {logs / 'server.log'}.")
    url = said.split(" at ")[1].split(";")[0]
    remote = Remote(url, token.read_text().strip())
    sockets = []
    for number in range(DEVICES):
        folder = OUT / "devices" / f"{number:02}"
        one = remote.call("POST", "enrolment-tokens", body={})["token"]
        seconds = ["--poll", str(POLL_S), "--trial", str(TRIAL_S), "--window", str(WINDOW_S)]
        called = ["--profile", PROFILE, "--attribute", f"site={SITES[number % len(SITES)]}"]
        given = ["--data", str(folder), "--server", url, "--token", one]
        stack.enter_context(process(logs / f"device-{number:02}.log", "agent", *given, *seconds, *called))
        sockets.append(folder / "run" / f"{MODEL}.sock")
    until(lambda: len(remote.call("GET", "devices")["devices"]) == DEVICES or None, "all devices enrolled", patience_s)
    traffic = Traffic(sockets, unknown_digits())
    traffic.begin()
    stack.callback(traffic.end)
    return Fleet(remote, traffic, patience_s, say), traffic, url, token


def shown(found: list[Told]) -> Table:
    """What came of each version."""
    table = Table("version", "what is true of it", "devices", "ended", "after", "why", title="five versions, ten devices")
    for item in found:
        reason = item.rollout["why"]
        colour = "green" if item.rollout["state"] == "completed" else "red"
        table.add_row(
            str(item.number),
            item.version.what,
            str(item.assigned),
            f"[{colour}]{item.rollout['state']}[/]",
            f"{item.seconds:.0f} s",
            reason,
        )
    return table


def main() -> int:
    """Run the demo; 0 when each version ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="serve on when all is done")
    parser.add_argument("--port", type=int, default=8440, help="of the control plane and its page; 0 for any free one")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to wait for each step on a busy machine")
    options = parser.parse_args()
    console, begun = Console(), time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    versions = write_versions(OUT)
    with ExitStack() as stack:
        fleet, traffic, url, token = start(stack, versions, options.port, options.patience, console.print)
        console.print(f"{DEVICES} devices are enrolled at {url} ({time.monotonic() - begun:.0f} s)")
        found = [fleet.bring(version, number) for number, version in enumerate(versions, 1)]
        counts = traffic.counts
        console.print(shown(found))
        console.print(
            f"applications asked {sum(counts.values()):,} times: {counts['right']:,} answers right, {counts['wrong']:,} wrong, "
            f"{counts['failed']:,} none (version 5 ends its own process)"
        )
        verified = fleet.remote.call("GET", "audit", "verify")
        console.print(f"the audit log holds together: {verified['count']} entries; {time.monotonic() - begun:.0f} s in all")
        if options.keep:
            console.print(f"the page: {url}/  (log in with the token in {token}); Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        else:
            console.print(f"the page is at {url}/ while it runs: `make demo-fleet KEEP=--keep`, then the token in {token}")
    ended = tuple(item.rollout["state"] for item in found)
    return 0 if ended == EXPECTED and verified["broken"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
