"""Small real artifacts for the demo of a fleet: two good classifiers of digits, and three that no device shall keep.

Made by hand in a second, where `edgewright compile` would take its time to search and to judge: `make demo` shows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from edgewright.core.artifact import ArtifactContent, TestVectors
from edgewright.core.artifact_write import write_artifact
from edgewright.core.canonical import digest
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
from numpy.typing import NDArray

MODEL, PROFILE = "digits", "x86-64-avx2"
PIXELS, CLASSES, BRIGHTEST = 64, 10, 16
KNOWN = 1000  # digits that the models are fitted to; the others are what applications ask
_GATE = 0.85  # of the digits that they were not fitted to, at least so many right
_WIDTH, _DEPTH = 512, 60  # of the matrices that a slow model multiplies in vain
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Version:
    """A version of the model: what is true of it, in words, and its artifact."""

    what: str
    artifact: Path


def digits() -> tuple[Floats, NDArray[np.int64]]:
    """scikit-learn's digits [n, 64], brightness 0 to 16, and what they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return found.data[order].astype(np.float32), found.target[order]


def write_versions(folder: Path) -> list[Version]:
    """All five, in the order of their release."""
    x, y = digits()
    by_means, fitted = _means(x[:KNOWN], y[:KNOWN]), _fitted(x[:KNOWN], y[:KNOWN])
    shifted = (np.roll(fitted[0], 1, axis=1), np.roll(fitted[1], 1))
    plain = _graph(fitted)
    made = [
        ("good: the nearest of ten means", _graph(by_means), None),
        ("good: logistic regression", plain, None),
        ("wrong answers: every digit is taken for the next", _graph(shifted), plain),
        (f"slow: {_DEPTH} matrices are multiplied in vain", _graph(fitted, *_idle()), plain),
        ("crashing: it divides by brightness less 17", _graph(fitted, *_crash()), plain),
    ]
    return [
        Version(what, _write(folder / f"digits-{number}.ewa", model, judged or model, x[KNOWN:], y[KNOWN:]))
        for number, (what, model, judged) in enumerate(made, 1)
    ]


Weights = tuple[Floats, Floats]
Nodes = list[onnx.NodeProto]


def _means(x: Floats, y: NDArray[np.int64]) -> Weights:
    """Scores that are largest for the nearest mean: x . m - |m|^2 / 2."""
    means = np.stack([x[y == label].mean(axis=0) for label in range(CLASSES)])
    return (means.T / 50).astype(np.float32), (-(means**2).sum(axis=1) / 100).astype(np.float32)


def _fitted(x: Floats, y: NDArray[np.int64]) -> Weights:
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=0.002, max_iter=500).fit(x, y)
    return found.coef_.T.astype(np.float32), found.intercept_.astype(np.float32)


def _idle() -> tuple[Nodes, list[onnx.TensorProto]]:
    """Work that changes nothing: `extra` is 0 * (x W S S ... S)."""
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    shift = np.roll(np.eye(_WIDTH, dtype=np.float32), 1, axis=1)
    nodes = [helper.make_node("MatMul", ["x", "wide"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{step}", "shift"], [f"h{step + 1}"]) for step in range(_DEPTH)]
    nodes.append(helper.make_node("MatMul", [f"h{_DEPTH}", "none"], ["extra"]))
    wide, none = np.ones((PIXELS, _WIDTH), np.float32), np.zeros((_WIDTH, CLASSES), np.float32)
    return nodes, [constant(shift, "shift"), constant(wide, "wide"), constant(none, "none")]


def _crash() -> tuple[Nodes, list[onnx.TensorProto]]:
    """The smallest int32 divided by the brightest pixel less 17: by -1 the quotient is none, and the processor traps.

    A digit that is nowhere as bright as it may be does no harm; test vectors of such digits find nothing.
    """
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["brightest"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["brightest", "limit"], ["below"]),
        helper.make_node("Cast", ["below"], ["divisor"], to=onnx.TensorProto.INT32),
        helper.make_node("Div", ["smallest", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["far"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["far", "nothing"], ["extra"]),
    ]
    values = {
        "limit": np.float32([[BRIGHTEST + 1]]),
        "smallest": np.int32([[-(2**31)]]),
        "nothing": np.float32([[0]]),
    }
    return nodes, [constant(np.asarray(value), name) for name, value in values.items()]


def _graph(weights: Weights, nodes: Nodes | None = None, constants: list[onnx.TensorProto] | None = None) -> bytes:
    """softmax(x W + b + extra) as an ONNX file; `nodes` make `extra`."""
    helper, constant, kind = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto.FLOAT
    all_nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["scores"]), *(nodes or [])]
    if nodes:
        all_nodes.append(helper.make_node("Add", ["scores", "extra"], ["sum"]))
    all_nodes.append(helper.make_node("Softmax", ["sum" if nodes else "scores"], ["y"], axis=1))
    graph = helper.make_graph(
        all_nodes,
        MODEL,
        [helper.make_tensor_value_info("x", kind, [1, PIXELS])],
        [helper.make_tensor_value_info("y", kind, [1, CLASSES])],
        [constant(weights[0], "w"), constant(weights[1], "b"), *(constants or [])],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString(deterministic=True))


def _answers(model: bytes, x: Floats) -> Floats:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": row[None]})[0] for row in x])


def _write(path: Path, model: bytes, judged: bytes, x: Floats, y: NDArray[np.int64]) -> Path:
    """An artifact of `model` that tells what is true of `judged`, as a mistake between test and release would."""
    answers = _answers(judged, x)
    right = float((answers.argmax(axis=1) == y).mean())
    dim = x.max(axis=1) < BRIGHTEST
    vectors = TestVectors({"x": x[dim][:8]}, {"y": answers[dim][:8]}, {"y": Tolerance(1e-4, 1e-4)}, "onnxruntime")
    gate = GateRecord(
        f"top1 >= {100 * _GATE:g}%",
        "passed" if right >= _GATE else "failed",
        measured=right,
        candidate=right,
        threshold=_GATE,
        n=len(y),
        measured_on="target",
    )
    edges = tuple(step / 10 for step in range(11))
    manifest = Manifest(
        name=MODEL,
        source=SourceRecord("digits.onnx", "onnx", digest(judged)),
        data=DataRecord("scikit-learn digits", digest(x.tobytes()), {"accept": len(y)}),
        pipeline="none",
        precision="float32",
        target=TargetRecord(PROFILE, "x86_64", ("avx2",), 1),
        runtime=RuntimeRecord("onnxruntime", onnxruntime.__version__),
        entry="model.onnx",
        inputs=(TensorSpec("x", "float32", (1, PIXELS)),),
        outputs=(TensorSpec("y", "float32", (1, CLASSES)),),
        gates=(gate,),
        versions={"onnx": onnx.__version__},
        measured_on="target",
        histograms=(
            _bins("x", "input", (0.0, 4.0, 8.0, 12.0, 16.0), x),
            _bins("y", "confidence", edges, answers.max(axis=1)),
        ),
    )
    write_artifact(path, ArtifactContent(manifest, {"model.onnx": model}, vectors, {}))
    return path


def _bins(tensor: str, kind: Any, edges: tuple[float, ...], values: Floats) -> HistogramBins:
    between, _ = np.histogram(values, edges)
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    return HistogramBins(tensor, kind, edges, (below, *map(int, between), above))
