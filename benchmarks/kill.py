"""kill -9 at random moments of a compile: the next run goes on to the same artifact, and nothing half-written is ever left.

python -m benchmarks.kill --kills 10 --seed 0
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from edgewright.core.artifact_read import open_artifact

from benchmarks.zoo import digits

_REMOTE = "raspberry-pi-5"  # not this machine, so that no timing decides


def command(folder: Path, out: str) -> list[str]:
    """The compile that is killed."""
    return [
        sys.executable, "-m", "edgewright.cli.main", "compile", str(folder / "net.onnx"), "--data", str(folder / "data.npz"),
        "--profile", _REMOTE, "--gate", "top1 >= -2pt", "--search-samples", "155", "--calib-samples", "122",
        "--out", str(folder / out / "dist"), "--store", str(folder / out / "store"),
    ]  # fmt: skip


def left_over(folder: Path) -> list[str]:
    """What a user would see that is not whole: visible files that are no finished result."""
    found = []
    for path in folder.glob("*") if folder.exists() else ():
        if path.name.startswith("."):
            continue
        if path.suffix == ".ewa":
            open_artifact(path)
        elif path.name not in ("report.json", "report.html", "measurements.json"):
            found.append(path.name)
    return found


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry = digits()
        import torch

        sample = torch.zeros(2, 1, 8, 8)
        program = torch.onnx.export(
            entry.model, (sample,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False
        )
        program.save(folder / "net.onnx")
        np.savez(folder / "data.npz", **entry.data)
        start = time.perf_counter()
        subprocess.run(command(folder, "whole"), check=True, **quiet)
        whole = time.perf_counter() - start
        expected = (folder / "whole" / "dist" / f"net-{_REMOTE}.ewa").read_bytes()
        print(f"undisturbed: {whole:.1f} s, {len(expected)} bytes")
        bad, killed = 0, 0
        while killed < options.kills:
            out = folder / "killed"
            shutil.rmtree(out, ignore_errors=True)
            child = subprocess.Popen(command(folder, "killed"), start_new_session=True, **quiet)
            moment = moments.uniform(0.3, 0.9 * whole)
            try:
                child.wait(moment)
                continue  # it was faster than its kill
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            killed += 1
            visible = left_over(out / "dist")
            steps = len(list((out / "store").glob("??/*"))) if (out / "store").exists() else 0
            start = time.perf_counter()
            subprocess.run(command(folder, "killed"), check=True, **quiet)
            same = (out / "dist" / f"net-{_REMOTE}.ewa").read_bytes() == expected
            bad += len(visible) + (not same)
            print(
                f"kill {killed} after {moment:.2f} s: half-written: {visible or 'none'}; went on from {steps} steps in "
                f"{time.perf_counter() - start:.1f} s: artifact {'identical' if same else 'DIFFERENT'}"
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
