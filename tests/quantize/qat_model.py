"""A small model with what makes schemes differ, its data, and its training: for the tests of quantization-aware training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.moments import collect_moments
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.optimizer.quantize.plan import make_plan
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.optimizer.quantize.rounding import Rounder
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.needs import TrainingNeeds
from edgewright.runtimes import registry
from edgewright.runtimes.qdq import prepare
from onnx import TensorProto, helper, numpy_helper

SAMPLES = 320


def network(*, is_sparse: bool = False) -> Model:
    """Convolutions plain and depthwise, a residual sum, a constant summand, pooling, two fully connected layers; batch 1."""
    rng = np.random.default_rng(3)
    weights = {
        "w1": rng.normal(0, 0.4, (8, 3, 3, 3)) * np.exp(rng.normal(0, 1, (8, 1, 1, 1))),
        "b1": rng.normal(0, 0.2, 8),
        "w2": rng.normal(0, 0.4, (8, 1, 3, 3)),
        "b2": rng.normal(0, 0.2, 8),
        "k": rng.normal(0, 0.5, (1, 8, 1, 1)),
        "w3": rng.normal(0, 0.5, (16, 8)),
        "b3": rng.normal(0, 0.2, 16),
        "w4": rng.normal(0, 0.5, (16, 5)),
    }
    if is_sparse:
        for name in ("w1", "w2", "w3"):
            weights[name] = np.where(rng.random(weights[name].shape) < 0.5, 0, weights[name])
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("Add", ["r1", "c2"], ["s"]),
        helper.make_node("Add", ["s", "k"], ["t"]),
        helper.make_node("MaxPool", ["t"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w4"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"]),
    ]
    arrays = {name: array.astype(np.float32) for name, array in weights.items()} | {"shape": np.array([1, 8])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


@dataclass(frozen=True)
class Bench:
    """A model with everything that quantizing it takes."""

    base: Model

    @cached_property
    def x(self) -> np.ndarray:
        """Samples [n, 3, 8, 8]."""
        return np.random.default_rng(5).normal(size=(SAMPLES, 3, 8, 8)).astype(np.float32)

    @cached_property
    def unseen(self) -> np.ndarray:
        """Samples that are in no split."""
        return np.random.default_rng(6).normal(size=(96, 3, 8, 8)).astype(np.float32)

    def split(self, name: str, start: int, stop: int) -> Split:
        """Some of the samples."""
        return Split(name, bind(open_dataset({"x": self.x}), self.base.inputs), tuple(range(start, stop)))

    @cached_property
    def seen(self) -> tuple[Any, Rounder]:
        """Statistics and moments of the first samples."""
        split = self.split("calib", 0, 64)
        return collect(self.base, split, threads=1), Rounder(collect_moments(self.base, split, threads=1))

    def needs(self, runtime: str, profile: str = "x86-64-vnni", **changes: Any) -> QuantizeNeeds:
        """What `Quantize` is given."""
        statistics, rounder = self.seen
        training = TrainingNeeds(
            self.split("calib", 0, 256), self.split("search", 256, SAMPLES), training_form(self.base), threads=1
        )
        return QuantizeNeeds(registry.get(runtime).scheme(load(profile)), statistics, rounder, replace(training, **changes))

    def planned(self, runtime: str, profile: str, quantize: Quantize) -> tuple[Model, Any, Any]:
        """The statically quantized model, its plan and scheme."""
        given = self.needs(runtime, profile)
        return quantize.run(self.base, given).model, make_plan(self.base, given.scheme, quantize.keep_float), given.scheme


def tensors(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every quantized tensor of a model in ONNX Runtime's own integer kernels, sample by sample."""
    proto = onnx.load_from_string(prepare(model).to_bytes())
    names = [node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = [session.run(names, {"x": row[None]}) for row in x]
    return {name: np.concatenate([row[place] for row in rows]) for place, name in enumerate(names)}


def answers(model: Model, runtime: str, x: np.ndarray) -> np.ndarray:
    """What the lowered file answers to samples, one by one."""
    profile = load("x86-64-vnni")
    lowered = registry.get(runtime).lower(model, profile)
    executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
    return np.concatenate([executor.run({"x": row[None]})["y"] for row in x])
