"""Parts of a compile, on models and data of a given size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_read import open_artifact
from edgewright.core.artifact_write import write_artifact
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import DataRecord, GateRecord, Manifest, RuntimeRecord, SourceRecord, TargetRecord, Tolerance
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.ir.pipeline import Pipeline
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.ingest.ingest import ingest
from edgewright.optimizer.prepare import prepare_model
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.runtimes import registry

from benchmarks.sized import CLASSES, random_images, write_sized

_PROFILE = "x86-64-avx2"
_RESAMPLES = 500
Timed = Callable[[], object]


def ingesting(size: int, folder: Path) -> Timed:
    """Reading an ONNX file of `size` parameters, canonicalizing it, and holding it against itself."""
    model = _written(size, folder)
    return lambda: ingest(model)


def passes(size: int, folder: Path) -> Timed:
    """From the ingested model to what every candidate starts from: fold-bn and two times canonicalize."""
    ingested = ingest(_written(size, folder))
    return lambda: prepare_model(ingested)


def quantizing(size: int, folder: Path) -> Timed:
    """Static int8 for ONNX Runtime, to the nearest integers (compensated rounding has a bound of its own)."""
    base = _prepared(size, folder)
    statistics = collect(base, _split(base, 4))
    given = QuantizeNeeds(registry.get("onnxruntime").scheme(load(_PROFILE)), statistics)
    return lambda: Pipeline([Quantize(rounding="nearest")]).run(base, {QuantizeNeeds: given})


def calibrating(size: int, folder: Path) -> Timed:
    """Statistics of every tensor of a small model over `size` samples."""
    base = _prepared(300_000, folder)
    split = _split(base, size)
    return lambda: collect(base, split, threads=1)


def lowering(runtime: str) -> Callable[[int, Path], Timed]:
    """The runtime's file of the float model."""

    def make(size: int, folder: Path) -> Timed:
        base, target = _prepared(size, folder), registry.get(runtime)
        return lambda: target.lower(base, load(_PROFILE))

    return make


def gating(text: str) -> Callable[[int, Path], Timed]:
    """A verdict on `size` samples; bootstraps take 500 resamples."""

    def make(size: int, folder: Path) -> Timed:
        draw = np.random.default_rng(0)
        reference = draw.standard_normal((size, CLASSES), dtype=np.float32)
        candidate = reference + 0.01 * draw.standard_normal(reference.shape, dtype=np.float32)
        labels = reference.argmax(axis=1)
        gate = parse_gate(text)
        return lambda: judge(gate, reference, candidate, labels, resamples=_RESAMPLES)

    return make


def writing(size: int, folder: Path) -> Timed:
    """An artifact around a model file of `size` bytes, written and read back."""
    content = _content(size)
    return lambda: write_artifact(folder / "model.ewa", content)


def reading(size: int, folder: Path) -> Timed:
    """The artifact opened: every digest checked."""
    write_artifact(folder / "model.ewa", _content(size))
    return lambda: open_artifact(folder / "model.ewa")


def _written(size: int, folder: Path) -> Path:
    write_sized(folder / "model.onnx", size)
    return folder / "model.onnx"


def _prepared(size: int, folder: Path) -> Model:
    return prepare_model(ingest(_written(size, folder)))[0]


def _split(base: Model, samples: int) -> Split:
    data = bind(open_dataset({"x": random_images(samples)}), base.inputs)
    return Split("calib", data, tuple(range(samples)))


def _content(size: int) -> ArtifactContent:
    x, y = TensorSpec("x", "float32", (1, 4)), TensorSpec("y", "float32", (1, 2))
    manifest = Manifest(
        name="speed",
        source=SourceRecord("speed", "onnx", "0" * 64),
        data=DataRecord("none", "0" * 64, {"accept": 4}),
        pipeline="",
        precision="float32",
        target=TargetRecord(_PROFILE, "x86_64", ("avx2",), 1),
        runtime=RuntimeRecord("onnxruntime", "1"),
        entry="model.onnx",
        inputs=(x,),
        outputs=(y,),
        gates=(GateRecord("top1 >= -1pt", "passed", n=4),),
        versions={},
        measured_on="target",
        seed=0,
    )
    arrays = {"x": np.zeros((4, 4), np.float32)}, {"y": np.ones((4, 2), np.float32)}
    vectors = TestVectors(*arrays, tolerances={"y": Tolerance(1e-3, 1e-3)}, arithmetic="none")
    model = np.random.default_rng(0).bytes(size)
    return ArtifactContent(replace(manifest), {"model.onnx": model}, vectors, {})
