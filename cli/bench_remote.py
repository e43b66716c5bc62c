"""The part of `edgewright bench --on`: devices measure a published artifact, and what they tell becomes a report."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..core.canonical import digest_file
from ..core.errors import RuntimeFailure, UsageError
from ..runtimes.bench.here import Case
from ..runtimes.bench.measurement import Measurement
from ..runtimes.bench.opening import open_model
from ..runtimes.bench.record import EMULATED, BenchReport, BenchResult, spread_of
from .amounts import seconds
from .remote import Remote, connecting

_LOOK_S = 2.0
_DEVICE = "device:"
_OPEN = ("waiting", "taken")


@dataclass(frozen=True)
class Elsewhere:
    """Who measures in place of this machine: the devices of `query`, all of them within `within_s` seconds."""

    server: Remote
    query: str
    within_s: float

    def report(self, cases: Iterable[Case]) -> BenchReport:
        """Ask, wait and gather; what gave no figure is told on standard error.

        Raises UsageError for what is no published artifact, in the server's words, and RuntimeFailure where no device measured.
        Taken back where this is interrupted.
        """
        files: dict[Path, list[Case]] = {}
        for case in cases:
            files.setdefault(case.file, []).append(case)
        asked = []
        try:
            for file, of_file in files.items():
                asked.append((file, self._ask(file, of_file)))
            results = [result for file, number in asked for result in _results(file, self._wait(number))]
        except KeyboardInterrupt:
            for _, number in asked:
                self.server.call("POST", "benches", number, "cancel")
            raise
        if not results:
            raise RuntimeFailure(f"no device of {self.query!r} measured anything; what each said stands above.")
        sound = [item for item in results if _is_sound(item)]
        # Machines of another CPU say nothing of the profile's devices.
        return BenchReport(tuple(results), spread_of([item for item in sound if item.measured_on == "target"] or sound))

    def _ask(self, file: Path, cases: Sequence[Case]) -> int:
        if file.suffix != ".ewa":
            raise UsageError(f"{file} is no artifact; devices measure what is published, so give an .ewa file.")
        own = open_model(file).threads
        body = {
            "sha256": digest_file(file),
            "query": self.query,
            "threads": list(dict.fromkeys(case.threads or own for case in cases)),
            "batches": list(dict.fromkeys(case.batch for case in cases)),
            "deadline_s": self.within_s,
        }
        made = self.server.call("POST", "benches", body=body)
        devices = len({run["device"] for run in made["runs"]})
        click.echo(
            f"measuring {made['id']}: {made['name']} on {devices} device{'s' if devices > 1 else ''}, at their next polls",
            err=True,
        )
        return int(made["id"])

    def _wait(self, number: int) -> dict[str, Any]:
        """The measuring once it has ended; each change of a device is told on standard error."""
        told: dict[int, str] = {}
        while True:
            found = self.server.call("GET", "benches", number)
            for run in found["runs"]:
                if told.get(run["id"], "waiting") != run["state"]:
                    click.echo(f"{run['device']}: {_said(run)}", err=True)
                told[run["id"]] = run["state"]
            if found["is_ended"]:
                return found
            time.sleep(_LOOK_S)


def elsewhere(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take `where`, an `Elsewhere` or None, and the options that it is made from."""

    @click.option(
        "--on", metavar="WHO", help="Let devices measure: device:NAME, or a query such as 'profile = raspberry-pi-4b'."
    )
    @click.option("--within", default="1h", show_default=True, help="With --on: how long devices have.")
    @connecting
    @functools.wraps(command)
    def wrapped(*, on: str | None, within: str, connect: Callable[[], Remote], **given: Any) -> None:
        where = None
        if on is not None:
            name = on.removeprefix(_DEVICE).strip()
            query = f'device = "{name}"' if on.startswith(_DEVICE) else on
            if '"' in name and on.startswith(_DEVICE):
                raise UsageError(f"--on {on[:60]!r} names no device; give device:NAME as `edgewright devices list` shows it.")
            where = Elsewhere(connect(), query, seconds(within, "--within"))
        command(where=where, **given)

    return wrapped


def refuse_with_on(**given: object) -> None:
    """Raise UsageError for options that devices cannot follow."""
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} is for measuring on this machine; leave it out with --on.")


def _results(file: Path, found: dict[str, Any]) -> list[BenchResult]:
    size = file.stat().st_size
    return [
        BenchResult(
            file=str(file),
            name=found["model"],
            sha256=found["sha256"],
            bytes=size,
            runtime=found["runtime"],
            measured_on=run["measured_on"],
            place=EMULATED if run["is_emulated"] else run["device"],
            threads=run["threads"],
            batch=run["batch"],
            profile=found["profile"],
            # The times of an emulation are nobody's.
            measurement=None if run["is_emulated"] else Measurement.from_json(run["measurement"]),
            health={"device": run["device"], **run["health"]},
        )
        for run in found["runs"]
        if run["measurement"] is not None
    ]


def _is_sound(result: BenchResult) -> bool:
    """Whether a device was undisturbed."""
    found = result.measurement
    return found is not None and not found.is_disturbed and not (result.health or {}).get("disturbed")


def _said(run: dict[str, Any]) -> str:
    """A device's part in a line."""
    case = f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}, batch {run['batch']}"
    if run["state"] in _OPEN:
        return f"{case}: it is being measured"
    if run["measurement"] is None:
        return f"{case}: {run['state']}: {run['why']}"
    remarks = "; ".join([*run["health"]["disturbed"], *([run["worth"]] if run["worth"] else [])])
    return f"{case}: median {run['measurement']['median_ms']:.4g} ms{f' ({remarks})' if remarks else ''}"
