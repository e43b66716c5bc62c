"""What the agent takes of a device: megabytes on the disk, resident memory of the updater and of the serving worker.

python -m benchmarks.agent_footprint --python python3.10 --python python3.11 --seconds 60 --runtime onnxruntime

For each Python: a fresh environment with the wheel's `edgewright[agent]` and one runtime, a real agent in it that enrols at a
control plane of this machine, installs an artifact, and idles (a poll every two seconds). Shows megabytes by package, resident
and proportional memory (smaps_rollup) at the start and at the end of that time, and libraries that the updater has mapped and
should not have. Ends with 1 when the updater is above its limit or has such a library. Time is that of an environment's
installation; --keep DIR keeps the environments for the next run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .small_fleet import ROOT, Fleet, pure_wheel, small_fleet, until

sys.path.append(str(ROOT))
from tests.fleet.tiny_artifact import write_tiny

UPDATER_MIB = 45.0
# Compiled parts of what the updater must not import; they would be mapped.
FOREIGN = re.compile(r"site-packages/(numpy|onnx|onnxruntime|torch|pandas|sqlalchemy|scipy|openvino|ai_edge_litert)\b")
MODEL = "tiny"
CLOSE_S = 30.0


@dataclass(frozen=True)
class Memory:
    """MiB of a process: resident, and with pages that others have too counted by their share."""

    resident: float
    proportional: float

    @staticmethod
    def of(pid: int) -> Memory:
        """Raises FileNotFoundError when the process is gone."""
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
        kib = {key: int(value) for key, value in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE)}
        return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024)


def environment(python: str, place: Path, wheel: Path, runtime: str) -> Path:
    """Python of an environment with the agent and a runtime; one that is there is brought up to date."""
    found = place / "bin" / "python"
    if not found.exists():
        subprocess.run([python, "-m", "venv", str(place)], check=True)
    install = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"{wheel}[agent]", runtime], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*install, "--no-deps", "--force-reinstall", str(wheel)], check=True)
    return found


def megabytes(place: Path) -> dict[str, float]:
    """Installed megabytes by distribution, without pip and what came with it."""
    (packages,) = (place / "lib").glob("python*/site-packages")
    found = {}
    for item in metadata.distributions(path=[str(packages)]):
        files = [Path(str(item.locate_file(file))) for file in item.files or ()]
        found[item.metadata["Name"]] = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    return {name: size for name, size in found.items() if name not in ("pip", "setuptools")}


def worker_of(pid: int) -> int | None:
    """The only child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return int(children[0]) if len(children) == 1 else None


def foreign(pid: int) -> list[str]:
    """Libraries that are mapped into the updater and should not be."""
    return sorted(set(FOREIGN.findall(Path(f"/proc/{pid}/maps").read_text("utf-8"))))


@contextmanager
def agent(python: Path, data: Path, fleet: Fleet) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent, enrolled and with an assignment."""
    command = [str(python), "-m", "edgewright.cli.main", "agent", "--data", str(data), "--poll", "2", "--trial", "2"]
    command += ["--server", fleet.server, "--token", fleet.token()]
    known = {item["device"] for item in fleet.devices()}
    # Nothing of this program's own environment may reach it: it shall find its own packages only.
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with subprocess.Popen(command, cwd=data.parent, env=own) as process:
        try:
            names = until(lambda: {item["device"] for item in fleet.devices()} - known or None, "it enrolled", 300, process)
            fleet.assign(names.pop(), MODEL)
            yield process
        finally:
            process.terminate()
            process.wait(CLOSE_S)


def idle(process: subprocess.Popen[bytes], fleet: Fleet, seconds: float) -> list[tuple[str, Memory, Memory]]:
    """Memory of updater and worker as soon as the server knows that the artifact runs, and some time later."""

    def committed() -> bool | None:
        said = [item["models"].get(MODEL, {}).get("said") or {} for item in fleet.devices()]
        return True if any(item.get("state") == "Idle" and item.get("running") for item in said[-1:]) else None

    until(committed, "its update was committed", 600, process)
    worker = until(lambda: worker_of(process.pid), "its worker was there", 60, process)
    rows = []
    for label, wait in (("at first", 5.0), (f"after {seconds:.0f} s", seconds)):
        time.sleep(wait)
        rows.append((label, Memory.of(process.pid), Memory.of(worker)))
    return rows


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", dest="pythons", action="append", help="an interpreter, by name or path; can be repeated")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the agent idles")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--keep", type=Path, help="folder for environments that the next run can use")
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = pure_wheel(folder / "wheel")
        artifact = write_tiny(folder / "tiny.ewa")
        for number, python in enumerate(options.pythons or ["python3.10", "python3.11"]):
            version = subprocess.run([python, "-V"], check=True, capture_output=True, text=True).stdout.strip()
            place = (options.keep or folder) / version.replace(" ", "-")
            inside = environment(python, place, wheel, options.runtime)
            sizes = megabytes(place)
            print(f"\n{version}: {sum(sizes.values()):.1f} MB installed")
            print(
                "  " + ", ".join(f"{key} {size:.1f}" for key, size in sorted(sizes.items(), key=lambda one: -one[1])),
                flush=True,
            )
            own = folder / str(number)
            own.mkdir()
            with small_fleet(own) as fleet:
                fleet.publish(artifact)
                with agent(inside, own / "device", fleet) as process:
                    rows = idle(process, fleet, options.seconds)
                    mapped = foreign(process.pid)
            for label, updater, worker in rows:
                print(
                    f"  {label:<12} updater {updater.resident:5.1f} MiB resident, {updater.proportional:5.1f} proportional",
                    end="",
                )
                print(f"; worker {worker.resident:5.1f} and {worker.proportional:5.1f}")
                if updater.resident > UPDATER_MIB:
                    wrong.append(
                        f"{version}: the updater takes {updater.resident:.1f} MiB {label}, {UPDATER_MIB:g} are allowed"
                    )
            if mapped:
                wrong.append(f"{version}: the updater has mapped {', '.join(mapped)}")
    print("\n".join(["", *wrong, f"{len(wrong)} limits are broken"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
