"""A step that Keras users know, before ingest: tensorflow-model-optimization in a process of its own.

It prunes, clusters or trains with fake quantization by TFMOT's own rules, so that its way and the compiler's can be judged in
one report. The process of its own is needed: TFMOT works with Keras 2 (tf-keras), which a process chooses once.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np

from ...calibration.dataset import Split, read_labels
from ...core.canonical import digest_file, dumps
from ...core.child import child_command
from ...core.code import code_digest
from ...core.errors import DataError, EdgewrightError, ModelError, UsageError
from ...core.progress import Progress
from ...core.store import StepStore
from ...ir.passes import Pass
from ...ir.pipeline import Pipeline, pass_text
from .detect import detect

Kind = Literal["prune", "cluster", "prune-cluster", "qat", "pqat", "cqat", "pcqat"]
Phase = Literal["prune", "cluster", "quantize"]
PHASES: Mapping[Kind, tuple[Phase, ...]] = {
    "prune": ("prune",),
    "cluster": ("cluster",),
    "prune-cluster": ("prune", "cluster"),
    "qat": ("quantize",),
    "pqat": ("prune", "quantize"),
    "cqat": ("cluster", "quantize"),
    "pcqat": ("prune", "cluster", "quantize"),
}
_PACKAGES = {
    "tensorflow_model_optimization": "tensorflow-model-optimization",
    "tf_keras": "tf-keras",
    "tensorflow": "tensorflow",
}
_ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "PYTHONHASHSEED": "0",
}
_BATCH = 256


@dataclass(frozen=True)
class TfmotStep:
    """`tfmot{kind=pqat,epochs=3,...}`: what TFMOT is to do with a Keras model.

    `kind`: "prune" (magnitude, polynomial schedule), "cluster" (k-means++ centroids shared by weights), "prune-cluster" (the
    zeros kept), "qat" (int8), and quantization-aware training that keeps zeros ("pqat"), clusters ("cqat") or both ("pcqat").
    `epochs` are those of each phase (pruning, clustering, quantization); `lr` is Adam's, a tenth of it while quantizing;
    `sparsity` is the share of zeros, `clusters` the number of centroids.

    Source: the guides of tensorflow-model-optimization 0.8 (sparsity, clustering, quantization, collaborative optimization).
    """

    name: ClassVar[str] = "tfmot"
    needs: ClassVar[type[Any] | None] = None

    kind: Kind = "pqat"
    epochs: int = 3
    batch: int = 128
    lr: float = 1e-4
    sparsity: float = 0.5
    clusters: int = 16

    def __post_init__(self) -> None:
        """Check what needs no model; raises ValueError."""
        if self.epochs < 1 or self.batch < 1:
            raise ValueError("epochs and batch must be at least 1")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr is {self.lr}; it must be above 0")
        if not 0 < self.sparsity < 1:
            raise ValueError(f"sparsity is {self.sparsity}; it must lie between 0 and 1")
        if self.clusters < 2:
            raise ValueError(f"clusters is {self.clusters}; it must be at least 2")

    def __str__(self) -> str:
        """The text form."""
        return pass_text(cast(Pass, self))


@dataclass(frozen=True)
class KerasStepResult:
    """The model that the step made: an .h5 file, or an int8 .tflite one where the step quantizes; what there is to tell.

    `seconds` of wall time are those of its making, also where it was found in the store.
    """

    path: Path
    seconds: float
    notes: tuple[str, ...]
    versions: Mapping[str, str]


def parse_keras_step(text: str) -> TfmotStep:
    """The step of its text; raises PassError for an unknown step or option, UsageError where it is not one step."""
    passes = Pipeline.parse(text, {TfmotStep.name: TfmotStep}).passes
    if len(passes) != 1 or not isinstance(passes[0], TfmotStep):
        raise UsageError(f"the Keras step {text!r} is not one step; write for example tfmot{{kind=pqat,epochs=3}}.")
    return passes[0]


def check_keras_step(source: Any) -> None:
    """Refuse before any work what no step can be made of: no Keras file, or no TFMOT; raises UsageError, ModelError."""
    if not isinstance(source, (str, Path)) or (isinstance(source, str) and ":" in source):
        raise UsageError("a Keras step needs the model's file; save it with model.save('model.keras') and give that.")
    if detect(Path(source)) not in ("keras", "hdf5"):
        raise UsageError(f"{source} is no Keras model, so no Keras step can be made of it; drop --keras-step.")
    missing = [package for module, package in _PACKAGES.items() if util.find_spec(module) is None]
    if missing:
        raise UsageError(f"a Keras step needs {' and '.join(missing)}; install them with pip install 'edgewright[tfmot]'.")


def run_keras_step(
    step: TfmotStep, model: Path, data: Split, *, trust: bool, seed: int, store: StepStore, progress: Progress
) -> KerasStepResult:
    """What `step` makes of the Keras model at `model`, trained on `data` (on the model's own answers where it has no labels).

    The result is kept in the store. Raises ModelError or DataError in the child's words, ModelError when the child dies.
    """
    if len(data) == 0:
        raise DataError(f"the Keras step {step} has no samples to train on; give more data, or a file with --calib.")
    key = store.key(
        "keras-step",
        options=asdict(step),
        model=digest_file(model),
        data=[data.data.digest, list(data.indices)],
        seed=seed,
        trust=trust,
        code=code_digest(),
        versions={package: metadata.version(package) for package in (*_PACKAGES.values(), "keras", "numpy")},
    )
    folder = store.step(key, lambda made: _make(made, step, model, data, trust, seed, progress))
    answer, told = (json.loads((folder / name).read_bytes()) for name in ("answer.json", "step.json"))
    return KerasStepResult(folder / answer["file"], told["seconds"], tuple(answer["notes"]), answer["versions"])


def _make(folder: Path, step: TfmotStep, model: Path, data: Split, trust: bool, seed: int, progress: Progress) -> None:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        scratch = Path(name)
        inputs = _spool(scratch, data)
        request = {
            "step": asdict(step),
            "model": str(model.absolute()),
            "inputs": inputs,
            "samples": len(data),
            "trust": trust,
            "seed": seed,
            "folder": str(folder),
        }
        (scratch / "request.json").write_text(json.dumps(request))
        with progress.task(str(step), len(PHASES[step.kind]) * step.epochs) as advance:
            _run_child(scratch, model, advance)
    (folder / "step.json").write_bytes(dumps({"seconds": time.perf_counter() - start}))


def _spool(scratch: Path, data: Split) -> list[str]:
    """Write inputs (one .npy a model input, in the model's order) and labels, batch by batch; names of the input files."""
    names = []
    for index, spec in enumerate(data.data.inputs):
        shape = (len(data), *(int(size or 1) for size in spec.shape[1:]))
        name = f"input-{index}.npy"
        file: np.memmap[Any, Any] = np.lib.format.open_memmap(scratch / name, "w+", np.dtype(spec.dtype), shape)
        start = 0
        for batch in data.batches(_BATCH):
            array = batch.inputs[spec.name]
            file[start : start + len(array)] = array
            start += len(array)
        file.flush()
        names.append(name)
    if data.data.has_labels:
        np.save(scratch / "labels.npy", read_labels(data.data, data.indices), allow_pickle=False)
    return names


def _run_child(scratch: Path, model: Path, advance: Callable[[int], None]) -> None:
    """Run the child to its end, an advance for each line that it writes; raises what it refuses."""
    command = child_command(f"{__package__}.keras_step_child", str(scratch))
    with (
        (scratch / "stderr").open("wb") as said,
        subprocess.Popen(
            command,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as child,
    ):
        try:
            for _ in child.stdout or ():
                advance(1)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    try:
        answer = json.loads((scratch / "failure.json").read_bytes())
    except (OSError, ValueError):
        answer = None
    if answer is not None:
        kinds: Mapping[str, type[EdgewrightError]] = {"DataError": DataError}
        raise kinds.get(answer["kind"], ModelError)(answer["error"])
    if code == -signal.SIGKILL:
        raise ModelError(
            f"TFMOT was killed on {model} (signal 9), as happens when memory runs short; compile again with more, "
            "or drop --keras-step."
        )
    if code != 0:
        last = (scratch / "stderr").read_text("utf-8", "replace").strip().splitlines()
        raise ModelError(f"TFMOT died on {model} (code {code}, {last[-1] if last else 'silently'}); drop --keras-step.")
