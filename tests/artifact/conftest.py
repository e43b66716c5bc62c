"""A tiny real model, and the content of an artifact around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from edgewright.core.artifact import ArtifactContent, TestVectors
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
ISA = ("avx2", "fma")


def tiny_onnx() -> bytes:
    """softmax(relu(x W + b)) with batch 1, as ONNX bytes."""
    random = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(random.normal(size=(FEATURES, CLASSES)).astype(np.float32), "w")
    bias = onnx.numpy_helper.from_array(random.normal(size=CLASSES).astype(np.float32), "b")
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="gemm"),
        onnx.helper.make_node("Relu", ["h"], ["r"], name="relu"),
        onnx.helper.make_node("Softmax", ["r"], ["y"], name="softmax"),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [onnx.helper.make_tensor_value_info("x", kind, [1, FEATURES])],
        [onnx.helper.make_tensor_value_info("y", kind, [1, CLASSES])],
        [weights, bias],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def expected(data: bytes, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What ONNX Runtime gives for each sample."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["y"], {"x": row[None]})[0] for row in inputs])


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    return tiny_onnx()


@pytest.fixture(scope="session")
def vectors(model_bytes: bytes) -> TestVectors:
    inputs = np.random.default_rng(1).normal(size=(5, FEATURES)).astype(np.float32)
    outputs = expected(model_bytes, inputs)
    return TestVectors({"x": inputs}, {"y": outputs}, {"y": Tolerance(1e-6, 1e-6)}, "onnxruntime on x86_64 with avx2")


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return Manifest(
        name="tiny",
        source=SourceRecord("tiny.onnx", "onnx", "0" * 64),
        data=DataRecord("data.npz", "1" * 64, {"accept": 1000, "search": 200, "calib": 100}),
        pipeline="canonicalize,fold-bn",
        precision="float32",
        target=TargetRecord("x86-64-avx2", "x86_64", ISA, 1),
        runtime=RuntimeRecord("onnxruntime", "1.32.0"),
        entry="model.onnx",
        inputs=(TensorSpec("x", "float32", (1, FEATURES)),),
        outputs=(TensorSpec("y", "float32", (1, CLASSES)),),
        gates=(
            GateRecord(
                "top1 >= -1pt", "passed", measured=0.0, low=-0.002, high=0.001, bound=-0.002, margin=-0.01,
                alpha=0.05, psi=0.01, negative_flips=4, n=1000,
                n_needed=300, reference=0.91, candidate=0.91, why="the 95 % bound lies inside the margin", measured_on="target",
            ),
            GateRecord("top1[group] report-only", "undecided", slice="group=old", report_only=True, n=12, n_needed=300),
        ),
        versions={"edgewright": "0.1.0", "numpy": "2.4.6"},
        measured_on="target",
        seed=7,
        ledger={"looks": 1, "alpha_spent": 0.05},
        histograms=(
            HistogramBins("x", "input", (-1.0, 0.0, 1.0), (3, 8, 9, 0)),
            HistogramBins("x", "input", (0.0, 0.5, 1.0), (0, 8, 2, 0), "missing 1"),
            HistogramBins("y", "confidence", (0.5, 0.75, 1.0), (0, 8, 9, 0), "class 1", (0, 5, 9, 0)),
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def content(manifest: Manifest, model_bytes: bytes, vectors: TestVectors) -> ArtifactContent:
    measurements = {"latency_ms": {"p50": 0.01, "p90": 0.02, "p99": 0.05}, "cpu": "a test"}
    return ArtifactContent(manifest, {"model.onnx": model_bytes}, vectors, measurements)
