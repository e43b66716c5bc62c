"""The agent on an emulated arm64 device, from enrolment over an update to answers that are compared with this machine's.

python -m benchmarks.arm64_device --root-fs /var/tmp/arm64

Makes a Debian for arm64 in that folder (once; minutes), installs the pure wheel with `agent` and onnxruntime there from aarch64
wheels, trains a small CNN on scikit-learn's digits and compiles it for raspberry-pi-4b in float32 and int8 (once; the artifacts
lie beside the folder), publishes them one after the other, and runs the real agent in a chroot by qemu: it enrols, downloads,
checks, serves and reports, while this program sends requests to its socket. Then all unseen digits are asked there and here.
Needs root, and Debian's debootstrap, qemu-user-static and binfmt-support. Times are those of an emulator. Ends with 1 when
an answer lies outside the artifact's tolerance, another class comes out, or a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.core.artifact_read import open_artifact
from edgewright.core.errors import EdgewrightError
from edgewright.fleet.serve.client import Client
from edgewright.runtimes.remote import RemoteExecutor
from numpy.typing import NDArray

from . import arm64_root
from .small_fleet import ROOT, Fleet, pure_wheel, small_fleet, until

MODEL, PROFILE = "digits", "raspberry-pi-4b"
PRECISIONS = ("float32", "int8")
DATA = "var/lib/edgewright"
PATIENCE_S = 900.0


def compiled(beside: Path) -> tuple[list[Path], NDArray[Any], NDArray[Any]]:
    """The artifacts in the order in which they are published, and digits with labels that took no part in training."""
    paths = [beside.with_name(f"{beside.name}-{precision}.ewa") for precision in PRECISIONS]
    kept = beside.with_name(f"{beside.name}-digits.npz")
    if not all(path.exists() for path in (*paths, kept)):
        sys.path.append(str(ROOT))
        import edgewright

        from docs.demo import trained_digits

        net, digits = trained_digits()
        for path, precision in zip(paths, PRECISIONS, strict=True):
            with tempfile.TemporaryDirectory() as name:
                result = edgewright.compile(
                    net, data=digits, name=MODEL, profiles=[PROFILE], runtimes=["onnxruntime"], precisions=[precision],
                    gates=["top1 >= -2pt"], out=Path(name) / "out", store=Path(name) / "store", calib_samples=128,
                )  # fmt: skip
                shutil.copyfile(result.artifacts[PROFILE], path)
        np.savez(kept, **digits)
    with np.load(kept) as found:
        return paths, found["x"], found["y"]


class Steps:
    """A table of what was done and how long it took, printed as it comes."""

    def __init__(self) -> None:
        self._before = time.monotonic()

    def done(self, what: str, figures: str = "") -> None:
        """A row with the seconds since the row before."""
        now = time.monotonic()
        print(f"{what:<58} {now - self._before:7.1f} s  {figures}".rstrip(), flush=True)
        self._before = now


class Requests(threading.Thread):
    """One request after another, as long as the block lasts, counted."""

    def __init__(self, place: Path, sample: dict[str, NDArray[Any]]) -> None:
        super().__init__(daemon=True)
        self._place, self._sample, self._is_over = place, sample, threading.Event()
        self.answered, self.failed = 0, list[str]()

    def run(self) -> None:
        """Until told to end."""
        with Client(self._place, MODEL) as client:
            while not self._is_over.is_set():
                try:
                    client.infer(self._sample)
                    self.answered += 1
                except EdgewrightError as error:
                    self.failed.append(str(error))
                time.sleep(0.05)

    def __enter__(self) -> Requests:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *given: object) -> None:
        """End."""
        self._is_over.set()
        self.join()


@contextlib.contextmanager
def agent(root: Path, fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """A new device that enrols, with its log in `agent.log` of the root."""
    shutil.rmtree(root / DATA, ignore_errors=True)
    command = [
        "python3",
        "-m",
        "edgewright.cli.main",
        "agent",
        "--data",
        f"/{DATA}",
        "--poll",
        "2",
        "--trial",
        "5",
        "--verbose",
    ]
    command += ["--profile", PROFILE, "--server", fleet.server, "--token", fleet.token()]
    with (root / "agent.log").open("w") as log, arm64_root.start(root, *command, log=log.fileno()) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def running(fleet: Fleet, before: str | None) -> str | None:
    """Digest of what the device says that it runs, once it idles and that is another than `before`."""
    (known,) = fleet.devices()
    said = known["models"].get(MODEL, {}).get("said") or {}
    found: str | None = said.get("running")
    return found if found != before and said.get("state") == "Idle" else None


def compare(artifact_path: Path, place: Path, x: NDArray[Any], y: NDArray[Any]) -> tuple[str, bool]:
    """Answers of the device and of this machine to the same samples: the figures, and whether they are the same."""
    artifact = open_artifact(artifact_path)
    manifest = artifact.manifest
    (inlet,), (outlet,) = manifest.inputs, manifest.outputs
    with RemoteExecutor(manifest.runtime.name, 1) as executor:
        here = executor.load(artifact.files, manifest.entry).run({inlet.name: x})[outlet.name].astype(np.float64)
    latencies, rows = [], []
    with Client(place, MODEL) as client:
        for sample in x:
            start = time.perf_counter()
            rows.append(client.infer({inlet.name: sample[None]})[outlet.name])
            latencies.append((time.perf_counter() - start) * 1e3)
    there = np.concatenate(rows).astype(np.float64)
    allowed = artifact.test_vectors.tolerances[outlet.name]
    gap = np.abs(there - here)
    outside = int(np.sum(gap > allowed.absolute + allowed.relative * np.abs(here)))
    differ = int(np.sum(there.argmax(1) != here.argmax(1)))
    right = [float(np.mean(answers.argmax(1) == y)) for answers in (there, here)]
    figures = (
        f"{len(x)} digits: largest difference {gap.max():.3g}, {outside} values outside {allowed}; {differ} other classes; "
        f"right {right[0]:.2%} there, {right[1]:.2%} here; p50 {np.median(latencies):.1f} ms by emulation"
    )
    return figures, outside == 0 and differ == 0


def moves(log: Path) -> str:
    """The states that the device went through, with seconds since the first, from its log."""
    found = re.findall(r"^\S+ (\d+):(\d+):(\d+),(\d+) \w+ digits: \S+ -> (\w+)", log.read_text("utf-8"), re.MULTILINE)
    moments = [int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1e3 for h, m, s, ms, _ in found]
    return ", ".join(f"{state} {moment - moments[0]:.1f}" for moment, (*_, state) in zip(moments, found, strict=True))


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root-fs", type=Path, required=True, help="folder of the device's file system, made if it is not there"
    )
    root = parser.parse_args().root_fs.resolve()
    why = arm64_root.why_not()
    if why is not None:
        sys.exit(why)
    steps, is_well = Steps(), True
    paths, x, y = compiled(root)
    steps.done("artifacts for raspberry-pi-4b", ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in paths))
    arm64_root.make_root(root)
    arm64_root.register()
    steps.done("Debian bookworm for arm64", arm64_root.run(root, "uname", "-m").strip())
    with tempfile.TemporaryDirectory() as name:
        runtime = f"onnxruntime=={metadata.version('onnxruntime')}"
        arm64_root.install(root, f"{pure_wheel(Path(name))}[agent]", runtime)
        versions = arm64_root.run(
            root, "python3", "-c", "import onnxruntime, sys; print(sys.version.split()[0], onnxruntime.__version__)"
        )
        python, told = versions.split()
        steps.done("edgewright[agent] and onnxruntime from wheels", f"Python {python}, onnxruntime {told}")
        with small_fleet(Path(name) / "fleet") as fleet, agent(root, fleet) as device:
            steps.done("publisher and control plane; the device starts")
            (known,) = until(lambda: fleet.devices() or None, "it enrolled", PATIENCE_S, device)
            steps.done("enrolled", known["facts"]["arch"])
            place, serving = root / DATA / "run" / f"{MODEL}.sock", None
            fleet.assign(known["device"], MODEL)
            for number, path in enumerate(paths):
                with contextlib.ExitStack() as stack:
                    asking = stack.enter_context(Requests(place, {"input": x[:1]})) if number else None
                    fleet.publish(path)
                    before = serving
                    serving = until(lambda before=before: running(fleet, before), "the update", PATIENCE_S, device)  # type: ignore[misc]
                figures = f"runs {serving[:12]}"
                if asking is not None:
                    figures += f"; {asking.answered} requests answered meanwhile, {len(asking.failed)} failed"
                    is_well &= not asking.failed and asking.answered > 0
                steps.done(f"{path.stem.rpartition('-')[2]} published, downloaded, checked, committed", figures)
                figures, is_same = compare(path, place, x, y)
                is_well &= is_same
                steps.done("  answers", figures)
        print(f"states: {moves(root / 'agent.log')}")
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
