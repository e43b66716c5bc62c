"""TFMOT as a step before ingest, with the real library in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import DataError, ModelError, PassError, UsageError
from edgewright.core.progress import Advance, Progress, Silent
from edgewright.core.store import StepStore
from edgewright.ir.verify import operators
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.ingest.keras_step import check_keras_step, parse_keras_step, run_keras_step


@pytest.fixture(scope="module")
def model(tfmot_files) -> Path:
    return tfmot_files / "small.keras"


def samples(labels: np.ndarray | None = None) -> Split:
    draw = np.random.default_rng(0)
    arrays = {"picture": draw.standard_normal((64, 8, 8, 1)).astype(np.float32)}
    if labels is not None:
        arrays["y"] = labels
    data = open_dataset(arrays, inputs={"picture": "picture"})
    return Split("calib", data, tuple(range(len(data))))


def run(text: str, path: Path, split: Split, root: Path, progress: Progress | None = None):
    return run_keras_step(
        parse_keras_step(text), path, split, trust=False, seed=0, store=StepStore(root), progress=progress or Silent()
    )


class AfterAnEpoch(Silent):
    """Does something to the step's child process, which is at work, once its first epoch is over."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.act, self.child = act, 0

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        yield self._advance

    def _advance(self, units: int, /, said: str | None = None) -> None:
        if not self.child:
            (self.child,) = step_children()
            self.act(self.child)


class WhileItImports(AfterAnEpoch):
    """Does it to a child that has begun to import TensorFlow."""

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        watch = threading.Thread(target=self._wait)
        watch.start()
        try:
            yield lambda *_, **__: None
        finally:
            watch.join()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while not any(map(imports_tensorflow, step_children())) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._advance(1)


def imports_tensorflow(child: int) -> bool:
    """Whether a process has a library of TensorFlow's in its memory."""
    return b"/tensorflow/" in Path(f"/proc/{child}/maps").read_bytes()


def step_children() -> list[int]:
    """Ids of the processes that work on a Keras step for this one."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int((line.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"keras_step_child" in line.read_bytes():
                found.append(int(line.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child in /proc")
def test_pruning_that_was_killed_and_then_stopped_goes_through_the_third_time(model, tmp_path):
    text, split, root = "tfmot{kind=prune,epochs=40,batch=16,sparsity=0.75}", samples(np.arange(64) % 4), tmp_path / "store"
    killed = AfterAnEpoch(lambda child: os.kill(child, signal.SIGKILL))
    with pytest.raises(ModelError) as raised:
        run(text, model, split, root, killed)
    assert str(raised.value).startswith(f"TFMOT was killed on {model} (signal 9)")
    assert str(raised.value).endswith("drop --keras-step.")
    stopped = WhileItImports(lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(text, model, split, root, stopped)
    for progress in (killed, stopped):
        with pytest.raises(ProcessLookupError):
            os.kill(progress.child, 0)
    assert not [path for path in root.rglob("*") if path.is_file()]

    made = run(text, model, split, root)
    found = ingest(made.path)
    assert found.parity is not None
    assert found.parity.ok
    weights = [array for array in found.model.weights().values() if array.ndim == 4]
    assert weights
    assert all(np.mean(array == 0) == pytest.approx(0.75, abs=0.02) for array in weights)
    assert [note for note in made.notes if "no speed-up" in note]
    assert made.seconds > 0
    assert run(text, model, split, root) == made


def test_quantized_keeping_zeros_without_labels_is_an_int8_file(model, tmp_path):
    made = run("tfmot{kind=pqat,epochs=1,batch=16}", model.with_suffix(".h5"), samples(), tmp_path / "store")
    found = ingest(made.path)
    assert made.path.suffix == ".tflite"
    assert operators(found.model)["QuantizeLinear"] > 3
    assert found.parity is not None
    assert found.parity.ok


def test_labels_beyond_the_classes_are_refused(model, tmp_path):
    with pytest.raises(DataError, match="labels lie in 0 to 6, the Keras model has 4 classes"):
        run("tfmot{kind=qat}", model, samples(np.arange(64) % 7), tmp_path / "store")
    assert not list((tmp_path / "store").rglob("answer.json"))


def test_no_samples_are_refused(model, tmp_path):
    split = samples()
    with pytest.raises(DataError, match="no samples to train on"):
        run("tfmot{kind=qat}", model, Split("calib", split.data, ()), tmp_path / "store")


def test_only_keras_files_are_taken(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(UsageError, match="is no Keras model"):
        check_keras_step(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="needs the model's file"):
        check_keras_step("package:factory")
    with pytest.raises(ModelError, match="cannot read the model"):
        check_keras_step(tmp_path / "absent.keras")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("tfmot{kind=pqta}", PassError, "pqat"),
        ("tfmot{epoch=3}", PassError, "did you mean 'epochs'"),
        ("tfmot{lr=0}", PassError, "lr is 0.0"),
        ("tfmot{sparsity=1}", PassError, "sparsity is 1.0"),
        ("tfmot{clusters=1}", PassError, "at least 2"),
        ("tfmot{epochs=0}", PassError, "at least 1"),
        ("prune", PassError, "unknown pass 'prune'"),
        ("tfmot,tfmot", UsageError, "is not one step"),
        ("", UsageError, "is not one step"),
    ],
)
def test_wrong_steps_are_refused(text, kind, said):
    with pytest.raises(kind, match=said):
        parse_keras_step(text)


def test_text_round_trips():
    step = parse_keras_step("tfmot{kind=pcqat,clusters=8,sparsity=0.8}")
    assert parse_keras_step(str(step)) == step
