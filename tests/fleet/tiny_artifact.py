"""Tiny real artifacts whose answers are exact and tell one version from another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import (
    DataRecord,
    GateRecord,
    HistogramBins,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    TargetRecord,
    Tolerance,
)

FEATURES, CLASSES = 4, 3


def affine_onnx(offset: float, batch: int | str) -> bytes:
    """y = x W + offset, with W of small whole numbers, so that answers are exact and tell the version."""
    weights = (np.arange(FEATURES * CLASSES) % 5).reshape(FEATURES, CLASSES).astype(np.float32)
    bias = np.full(CLASSES, offset, np.float32)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm")],
        "affine",
        [onnx.helper.make_tensor_value_info("x", kind, [batch, FEATURES])],
        [onnx.helper.make_tensor_value_info("y", kind, [batch, CLASSES])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def answer(x: np.ndarray, offset: float) -> np.ndarray:
    """What the model gives, in numpy."""
    weights = (np.arange(FEATURES * CLASSES) % 5).reshape(FEATURES, CLASSES).astype(np.float32)
    return np.asarray(x @ weights + np.float32(offset), np.float32)


def write_tiny(path: Path, offset: float = 0.0, batch: int | None = 1, wrong: bool = False, source: str = "0" * 64) -> Path:
    """Write an artifact of y = x W + offset; `wrong` has test vectors that it does not answer, `source` a digest."""
    x = np.arange(5 * FEATURES, dtype=np.float32).reshape(5, FEATURES)
    shape = (batch, FEATURES), (batch, CLASSES)
    manifest = Manifest(
        name="tiny",
        source=SourceRecord("tiny.onnx", "onnx", source),
        data=DataRecord("data.npz", "1" * 64, {"accept": 1000}),
        pipeline="canonicalize",
        precision="float32",
        target=TargetRecord("x86-64-avx2", "x86_64", ("avx2",), 1),
        runtime=RuntimeRecord("onnxruntime", "1.32.0"),
        entry="model.onnx",
        inputs=(TensorSpec("x", "float32", shape[0]),),
        outputs=(TensorSpec("y", "float32", shape[1]),),
        gates=(GateRecord("top1 >= -1pt", "passed"),),
        versions={"edgewright": "0.1.0"},
        measured_on="target",
        histograms=(
            HistogramBins("x", "input", (-1.0, 0.0, 1.0), (3, 8, 9, 0)),
            HistogramBins("y", "output", (0.0, 50.0, 100.0), (3, 8, 9, 0)),
            HistogramBins("y", "confidence", (0.4, 0.6, 0.8, 1.0), (2, 3, 4, 5, 0)),
        ),
    )
    expected = answer(x, offset + (1.0 if wrong else 0.0))
    vectors = TestVectors({"x": x}, {"y": expected}, {"y": Tolerance(1e-5, 1e-5)}, "numpy")
    data = affine_onnx(offset, "n" if batch is None else batch)
    write_artifact(path, ArtifactContent(manifest, {"model.onnx": data}, vectors, {}))
    return path
