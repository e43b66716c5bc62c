"""kill -9 at random moments of a training: the next run goes on to the same model, to the byte.

python -m benchmarks.kill_training --seconds 300 --kills 5 --seed 0

A residual network with batch norm learns scikit-learn's digits from the demo's trained CNN, features matched and images
shifted: weights, optimizer, averages, statistics, regressors, the best state, and the order and augmentation of data all have
to come back. It is trained once undisturbed, for about as long as was asked for, then again in a store of its own, killed at
random moments of that time, and started anew until it ends by itself. Seconds are those of training, without starting.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.zoo import digits

_TRIAL_EPOCHS = 6
_STARTED, _SECONDS, _DIGEST = "started", "seconds", "digest"
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def student() -> Any:
    """A residual network of three stages, with random weights."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inner: int, outer: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
                nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer),
            )  # fmt: skip
            self.short = nn.Conv2d(inner, outer, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.short(x))

    torch.manual_seed(0)
    return nn.Sequential(
        Block(1, 16, 1), Block(16, 24, 2), Block(24, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    ).eval()


def prepare(folder: Path) -> None:
    """Write teacher, student and data into `folder`."""
    from edgewright.optimizer.ingest.ingest import ingest
    from edgewright.optimizer.train.form import training_form

    entry = digits()
    np.savez(folder / "data.npz", **entry.data)
    for name, module in (("teacher", entry.model), ("student", student())):
        found = ingest(module, samples={"x": np.asarray(entry.data["x"][:4], np.float32)})
        (folder / f"{name}.onnx").write_bytes(training_form(found.model).to_bytes())


def train(folder: Path, store: Path, epochs: int) -> None:
    """What is killed: distil, and write the digest of the model into `store`."""
    from edgewright.calibration.bind import bind
    from edgewright.calibration.dataset import Split
    from edgewright.calibration.opening import open_dataset
    from edgewright.core.store import StepStore
    from edgewright.ir.model import Model
    from edgewright.optimizer.distill.distill import Distill
    from edgewright.optimizer.distill.lesson import Lesson
    from edgewright.optimizer.train.needs import TrainingNeeds

    teacher = Model.load(folder / "teacher.onnx")
    data = bind(open_dataset(folder / "data.npz"), teacher.inputs)
    places = tuple(range(len(data)))
    needs = TrainingNeeds(
        train=Split("calib", data, places[: len(places) * 3 // 4]),
        search=Split("search", data, places[len(places) * 3 // 4 :]),
        reference=teacher,
        student=Model.load(folder / "student.onnx"),
        store=StepStore(store / "steps"),
        threads=1,
    )
    options = Distill(epochs=epochs, method=("kd", "features"), augment="shift", batch_norm="re-estimate", patience=0)
    (store / _STARTED).touch()
    begun = time.perf_counter()
    result = Lesson(options, teacher, needs).teach()
    (store / _SECONDS).write_text(str(time.perf_counter() - begun), "utf-8")
    (store / _DIGEST).write_text("\n".join((result.model.digest(), *result.notes)), "utf-8")


def start(folder: Path, store: Path, epochs: int) -> subprocess.Popen[bytes]:
    """The training in a process of its own."""
    store.mkdir(exist_ok=True)
    (store / _STARTED).unlink(missing_ok=True)
    given = [str(folder), str(store), str(epochs)]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kill_training", "--train", *given], start_new_session=True, **_QUIET
    )


def timed(folder: Path, store: Path, epochs: int) -> float:
    """Seconds of a training that nothing disturbs; ends the benchmark where it fails."""
    if start(folder, store, epochs).wait() != 0:
        sys.exit(f"the training itself failed; run python -m benchmarks.kill_training --train {folder} {store} {epochs}")
    return float((store / _SECONDS).read_text("utf-8"))


def killed(folder: Path, store: Path, epochs: int, moments: list[float]) -> None:
    """Train, killed after each of `moments` seconds of training, of all processes together; print a line a kill."""
    worked = 0.0
    for number, moment in enumerate(sorted(moments), start=1):
        child = start(folder, store, epochs)
        while not (store / _STARTED).exists() and child.poll() is None:
            time.sleep(0.05)
        begun = time.perf_counter()
        try:
            child.wait(max(0.1, moment - worked))
            print(f"kill {number}: it had ended before")
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            files = list((store / "steps" / "unfinished").rglob("checkpoint"))
            age = f"{time.time() - files[0].stat().st_mtime:.1f} s old" if files else "none yet"
            print(f"kill {number} after {moment:.1f} s of training: checkpoint {age}", flush=True)
        worked += time.perf_counter() - begun


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=3, metavar=("FOLDER", "STORE", "EPOCHS"), help="what is killed")
    options = parser.parse_args()
    if options.train is not None:
        train(Path(options.train[0]), Path(options.train[1]), int(options.train[2]))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        trial = timed(folder, folder / "trial", _TRIAL_EPOCHS)
        epochs = max(2, round(options.seconds * _TRIAL_EPOCHS / trial))
        whole = timed(folder, folder / "whole", epochs)
        expected = (folder / "whole" / _DIGEST).read_text("utf-8").splitlines()
        print(f"undisturbed: {epochs} epochs in {whole:.1f} s, model {expected[0][:16]}: {'; '.join(expected[1:])}", flush=True)
        generator = random.Random(options.seed)
        moments = [generator.uniform(0.02, 0.98) * whole for _ in range(options.kills)]
        killed(folder, folder / "killed", epochs, moments)
        last = timed(folder, folder / "killed", epochs)
        found = (folder / "killed" / _DIGEST).read_text("utf-8").splitlines()
        is_same = found == expected
        print(f"went on to the end in {last:.1f} s, model {found[0][:16]}: {'IDENTICAL' if is_same else 'DIFFERENT'}")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
