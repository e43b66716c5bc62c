"""Benchmark jobs through a real server: three local agents at once and, with --root-fs, one on an emulated arm64 device.

python -m benchmarks.bench_devices [--root-fs /var/tmp/arm64]

Trains a small CNN on scikit-learn's digits, compiles it for this machine's x86-64 profile (and for raspberry-pi-4b), publishes,
starts a control plane and the agents, and asks by `edgewright bench --on`. The emulated device needs what
`benchmarks.arm64_device` needs; its times are nobody's and are not in the report. Ends with 1 where a device did not measure,
or a figure claims what it may not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewright.device_profiles import loader
from edgewright.device_profiles.host import measured_on
from edgewright.runtimes.bench.record import EMULATED, BenchReport

from . import arm64_root
from .small_fleet import ROOT, Fleet, edgewright, pure_wheel, small_fleet, until

MODEL, RUNTIME, PI = "digits", "onnxruntime", "raspberry-pi-4b"
LOCAL_AGENTS = 3
POLL_S = "5"
PATIENCE_S = 900.0
DATA = "var/lib/edgewright"


def own_profile() -> str:
    """The profile of the package that this machine is the target of, else the one that it can run."""
    names = ("x86-64-vnni", "x86-64-avx2")
    return next((name for name in names if measured_on(loader.load(name), RUNTIME, "latency") == "target"), names[-1])


def compiled(folder: Path, profiles: list[str]) -> dict[str, Path]:
    """An artifact for each profile, of the precision that the compiler releases."""
    sys.path.append(str(ROOT))
    import edgewright as package

    from docs.demo import trained_digits

    net, digits = trained_digits()
    result = package.compile(
        net, data=digits, name=MODEL, profiles=profiles, runtimes=[RUNTIME], precisions=["float32", "int8"],
        gates=["top1 >= -2pt"], out=folder / "out", store=folder / "store", calib_samples=128,
    )  # fmt: skip
    missing = [profile for profile in profiles if profile not in result.artifacts]
    if missing:
        sys.exit(f"nothing was released for {', '.join(missing)}: exit code {result.exit_code}.")
    return {profile: Path(result.artifacts[profile]) for profile in profiles}


@contextlib.contextmanager
def local_agent(folder: Path, fleet: Fleet, number: int) -> Iterator[subprocess.Popen[str]]:
    """A device of this machine, with its log beside its folder."""
    data = folder / f"device-{number}"
    command = [sys.executable, "-m", "edgewright.cli.main", "agent", "--data", str(data), "--poll", POLL_S, "--verbose"]
    command += ["--server", fleet.server, "--token", fleet.token(), "--attribute", f"place=desk-{number}"]
    with (
        (folder / f"device-{number}.log").open("w") as log,
        subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def emulated_agent(root: Path, fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """A new device in the root, with its log in `agent.log` of it."""
    shutil.rmtree(root / DATA, ignore_errors=True)
    command = ["python3", "-m", "edgewright.cli.main", "agent", "--data", f"/{DATA}", "--poll", POLL_S, "--verbose"]
    command += ["--server", fleet.server, "--token", fleet.token()]
    with (root / "agent.log").open("w") as log, arm64_root.start(root, *command, log=log.fileno()) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def measured(fleet: Fleet, artifact: Path, who: str, out: Path) -> tuple[BenchReport, dict[str, Any], float]:
    """The report of `edgewright bench --on`, what the server has of it, and the seconds that it took."""
    where = ("--server", fleet.server, "--token-file", str(fleet.token_file))
    began = time.monotonic()
    edgewright("bench", str(artifact), "--on", who, "--within", "30m", "--json", str(out), *where)
    took = time.monotonic() - began
    return BenchReport.from_json(json.loads(out.read_text())), newest(fleet), took


def newest(fleet: Fleet) -> dict[str, Any]:
    """The server's record of the last measuring."""
    from edgewright.cli.remote import Remote

    server = Remote(fleet.server, fleet.token_file.read_text().strip())
    found: dict[str, Any] = server.call("GET", "benches", query={"limit": 1})["benches"][0]
    return found


def known(fleet: Fleet, artifacts: list[Path], process: subprocess.Popen[str]) -> None:
    """Wait until the server has seen what was published."""
    from edgewright.cli.remote import Remote

    server = Remote(fleet.server, fleet.token_file.read_text().strip())
    until(
        lambda: len(server.call("GET", "artifacts")["artifacts"]) >= len(artifacts) or None, "it saw them", PATIENCE_S, process
    )


def shown(title: str, report: BenchReport, record: dict[str, Any], took: float) -> None:
    """What came of a measuring."""
    print(f"{title}: {took:.0f} s from the question to the report")
    for run in record["runs"]:
        figures = run["measurement"]
        health = run["health"] or {"disturbed": [], "during": []}
        told = "no figure" if figures is None else f"p50 {figures['p50_ms']:.4f}, p90 {figures['p90_ms']:.4f} ms"
        remarks = "; ".join([*health["disturbed"], *([run["worth"]] if run["worth"] else [])]) or "undisturbed"
        print(
            f"  {run['device'][:8]} {run['cpu']['model']} {run['state']}: {told}; measured_on {run['measured_on']}; "
            f"{len(health['during'])} readings: {remarks}"
        )
    for item in record["merged"]:
        bounds = f"{item['low']:.4f} to {item['high']:.4f}, median {item['middle']:.4f}"
        print(f"  {item['figure']}: {bounds} of {item['devices']} devices")
    if not record["merged"]:
        print(f"  nothing to merge: each of {len(report.results)} was disturbed, or is an emulation")


def local_is_right(report: BenchReport, record: dict[str, Any], profile: str) -> bool:
    """Whether each local device measured once, and no figure claims more than this machine is."""
    expected = measured_on(loader.load(profile), RUNTIME, "latency")
    devices = {item.place for item in report.results}
    return (
        len(report.results) == len(devices) == LOCAL_AGENTS
        and EMULATED not in devices
        and {item.measured_on for item in report.results} == {expected}
        and [run["state"] for run in record["runs"]] == ["measured"] * LOCAL_AGENTS
    )


def emulated_is_right(report: BenchReport, record: dict[str, Any]) -> bool:
    """Whether the emulated device measured, and none of its times are in the report."""
    (run,), (result,) = record["runs"], report.results
    return (run["state"], run["is_emulated"], run["measured_on"], result.place, result.measurement) == (
        "measured", True, None, EMULATED, None,
    )  # fmt: skip


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root-fs", type=Path, help="folder of an emulated arm64 device's file system, made if it is not there"
    )
    root: Path | None = parser.parse_args().root_fs
    if root is not None and (why := arm64_root.why_not()) is not None:
        sys.exit(why)
    profile = own_profile()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        artifacts = compiled(folder, [profile, *([PI] if root is not None else [])])
        fleet = stack.enter_context(small_fleet(folder / "fleet", "--poll", POLL_S))
        for path in artifacts.values():
            fleet.publish(path)
        agents = [stack.enter_context(local_agent(folder, fleet, number)) for number in range(LOCAL_AGENTS)]
        until(lambda: len(fleet.devices()) == LOCAL_AGENTS or None, "they enrolled", PATIENCE_S, agents[0])
        known(fleet, list(artifacts.values()), agents[0])
        report, record, took = measured(fleet, artifacts[profile], "arch = x86_64", folder / "local.json")
        shown(f"{LOCAL_AGENTS} local agents, {profile}", report, record, took)
        is_right = local_is_right(report, record, profile)
        if root is not None:
            root = root.resolve()
            arm64_root.make_root(root)
            arm64_root.register()
            wheel = f"{pure_wheel(folder)}[agent]"
            arm64_root.install(root, wheel, f"{RUNTIME}=={metadata.version(RUNTIME)}")
            device = stack.enter_context(emulated_agent(root, fleet))
            until(lambda: len(fleet.devices()) == LOCAL_AGENTS + 1 or None, "it enrolled", PATIENCE_S, device)
            report, record, took = measured(fleet, artifacts[PI], "arch = aarch64", folder / "emulated.json")
            shown(f"an emulated arm64 agent, {PI}", report, record, took)
            is_right &= emulated_is_right(report, record)
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
