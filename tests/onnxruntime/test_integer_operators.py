"""The integer operators that `lower` writes: those that ONNX Runtime would make, no others, and the same answers to the bit."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.onnxruntime.run import session_options
from edgewright.runtimes.onnxruntime.runtime import RUNTIME
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")


class Network:
    """Quantized operators in a row; every tensor has a grid of its own unless one is given."""

    def __init__(self, shape: list[int]) -> None:
        self.shape, self.rng = shape, np.random.default_rng(12)
        self.nodes: list[onnx.NodeProto] = []
        self.held: dict[str, np.ndarray] = {}

    def op(self, kind: str, inputs: list[str], **attributes: object) -> str:
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [made], name=f"{kind}.{made}", **attributes))
        return made

    def hold(self, array: object) -> str:
        name = f"k{len(self.held)}"
        self.held[name] = np.asarray(array)
        return name

    def around(self, value: str, scale: float, zero: int) -> str:
        grid = [self.hold(np.float32(scale)), self.hold(np.uint8(zero))]
        return self.op("DequantizeLinear", [self.op("QuantizeLinear", [value, *grid]), *grid])

    def layer(
        self, kind: str, data: str, shape: tuple[int, ...], scale: float, *, axis: int = 0, bias_error: float = 1, **attributes
    ) -> str:
        count = shape[axis]
        scales = (0.5 + 0.5 * self.rng.random(count)).astype(np.float32) / np.float32(127 * np.sqrt(np.prod(shape[1:])))
        w = [self.rng.integers(-127, 128, shape).astype(np.int8), scales, np.zeros(count, np.int8)]
        weights = self.op("DequantizeLinear", [self.hold(array) for array in w], axis=axis)
        steps = (scales * np.float32(scale) * np.float32(bias_error)).astype(np.float32)
        parts = [self.hold(self.rng.integers(-4000, 4000, count).astype(np.int32)), self.hold(steps)]
        return self.op(kind, [data, weights, self.op("DequantizeLinear", parts, axis=0)], **attributes)

    def model(self, result: str, shape: list[int]) -> Model:
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [result], ["y"], name="last")],
            "case",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(array, name) for name, array in self.held.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


def everything() -> Model:
    n = Network([1, 8, 12, 12])
    x = n.around("x", 0.03, 120)
    first = n.around(n.op("Relu", [n.layer("Conv", x, (16, 8, 3, 3), 0.03, pads=[1, 1, 1, 1])]), 0.02, 0)
    pooled = n.around(n.op("MaxPool", [first], kernel_shape=[2, 2], strides=[2, 2]), 0.02, 0)
    deep = n.around(n.layer("Conv", pooled, (16, 1, 3, 3), 0.02, group=16, pads=[1, 1, 1, 1]), 0.03, 128)
    joined = n.around(n.op("Add", [pooled, deep]), 0.03, 100)
    mean = n.around(n.op("GlobalAveragePool", [joined]), 0.01, 90)
    flat = n.around(n.op("Flatten", [mean]), 0.01, 90)
    hidden = n.around(n.op("Relu", [n.layer("Gemm", flat, (24, 16), 0.01, transB=1)]), 0.02, 0)
    return n.model(n.layer("Gemm", hidden, (24, 10), 0.02, axis=1), [1, 10])


def left_alone() -> Model:
    """A bias on steps of its own, weights with a scale for each input, a sum that is read twice, a move to another grid."""
    n = Network([1, 8, 6, 6])
    x = n.around("x", 0.03, 120)
    odd = n.around(n.layer("Conv", x, (8, 8, 3, 3), 0.03, bias_error=1.5, pads=[1, 1, 1, 1]), 0.02, 128)
    pooled = n.around(n.op("MaxPool", [odd], kernel_shape=[2, 2], strides=[2, 2]), 0.04, 128)
    total = n.op("Add", [pooled, pooled])
    once, again = n.around(total, 0.05, 128), n.around(total, 0.06, 128)
    flat = n.op("Flatten", [n.op("Mul", [once, again])])
    w = [n.hold(n.rng.integers(-9, 9, (72, 5)).astype(np.int8)), n.hold(n.rng.random(72).astype(np.float32))]
    w.append(n.hold(np.zeros(72, np.int8)))
    return n.model(n.op("Gemm", [n.around(flat, 0.02, 128), n.op("DequantizeLinear", w, axis=0)]), [1, 5])


def kernels(data: bytes) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def answers(data: bytes, shape: list[int]) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, session_options(1), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    return np.concatenate([session.run(None, {"x": rng.normal(size=shape).astype(np.float32)})[0] for _ in range(20)])


@pytest.mark.parametrize("make", [everything, left_alone])
def test_the_kernels_and_the_answers_are_those_of_the_longer_form(make) -> None:
    model = make()
    shape = list(model.inputs[0].shape)
    long, short = model.to_bytes(), RUNTIME.lower(model, PROFILE).files["model.onnx"]
    wanted = answers(long, shape)
    assert len(np.unique(wanted)) > 50
    assert np.array_equal(answers(short, shape), wanted)
    without = {"Identity"}
    assert {k: v for k, v in kernels(short).items() if k not in without} == {
        k: v for k, v in kernels(long).items() if k not in without
    }


def test_what_is_written() -> None:
    proto = onnx.ModelProto.FromString(RUNTIME.lower(everything(), PROFILE).files["model.onnx"])
    assert Counter(node.op_type for node in proto.graph.node) == {
        "QuantizeLinear": 1,
        "QLinearConv": 2,
        "MaxPool": 1,
        "QLinearAdd": 1,
        "QLinearGlobalAveragePool": 1,
        "Flatten": 1,
        "QGemm": 2,
        "Identity": 1,
    }
    assert not [node for node in proto.graph.node if node.metadata_props]
    assert not list(proto.graph.value_info)


def test_what_would_change_an_answer_is_left_alone() -> None:
    proto = onnx.ModelProto.FromString(RUNTIME.lower(left_alone(), PROFILE).files["model.onnx"])
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert {"Conv", "MaxPool", "Add", "Mul", "Gemm"} <= set(kinds)
    assert not [kind for kind in kinds if kind.startswith("QLinear") or kind == "QGemm"]


def test_a_product_that_is_scaled_keeps_its_bias() -> None:
    n = Network([1, 16])
    scaled = n.layer("Gemm", n.around("x", 0.03, 120), (8, 16), 0.03, transB=1, alpha=0.5)
    model = n.model(n.around(scaled, 0.02, 128), [1, 8])
    short = RUNTIME.lower(model, PROFILE).files["model.onnx"]
    assert np.array_equal(answers(short, [1, 16]), answers(model.to_bytes(), [1, 16]))


def test_integer_operators_lead_back_to_the_layers() -> None:
    model = everything()
    lowered = RUNTIME.lower(model, PROFILE)
    assert set(lowered.debug_map.values()) <= {node.name for node in model.graph}
    x = {"x": np.zeros(model.inputs[0].shape, np.float32)}
    times = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, x, 1)
    found = {kind: lowered.debug_map[name].split(".")[0] for name, kind, _ in times if name in lowered.debug_map}
    assert found.items() >= {"QLinearConv": "Conv", "QGemm": "Gemm", "QLinearAdd": "Add", "NhwcMaxPool": "MaxPool"}.items()


def biased_product(bias: tuple[int, ...] = (6,), axis: int = 1, *, twice: bool = False) -> Model:
    """Tokens of a transformer through a dense layer whose sum stays in float: x -> Q -> DQ -> MatMul -> Add -> Sigmoid."""
    n = Network([1, 5, 24])
    scales = (0.01 + 0.01 * n.rng.random((24, 6)[axis])).astype(np.float32)
    w = [n.rng.integers(-127, 128, (24, 6)).astype(np.int8), scales, np.zeros(scales.shape, np.int8)]
    product = n.op("MatMul", [n.around("x", 0.03, 120), n.op("DequantizeLinear", [n.hold(array) for array in w], axis=axis)])
    total = n.op("Add", [n.hold(n.rng.normal(size=bias).astype(np.float32)), product])
    made = n.op("Sigmoid", [total])
    return n.model(n.op("Mul", [made, product]) if twice else made, [1, 5, 6])


def test_a_product_with_a_bias_in_float_is_one_of_integers() -> None:
    """Otherwise its weights are dequantized in every run, and the product is one of floats."""
    model = biased_product()
    lowered = RUNTIME.lower(model, PROFILE)
    short = lowered.files["model.onnx"]
    assert {"MatMulIntegerToFloat": 1, "QuantizeLinear": 1}.items() <= kernels(short).items()
    assert not {"MatMul", "Gemm", "DequantizeLinear"} & set(kernels(short))
    assert "Gemm" in kernels(model.to_bytes())  # what ONNX Runtime would make of it
    assert answers(short, [1, 5, 24]) == pytest.approx(answers(model.to_bytes(), [1, 5, 24]), abs=1e-5)
    runs = {item.op_type: item.runs for item in RUNTIME.supports(model, PROFILE)}
    assert (runs["MatMul"], runs["Add"], runs["Sigmoid"]) == ("int8", "int8", "float32")
    assert "MatMul" in {name.split(".")[0] for name in lowered.debug_map.values()}


@pytest.mark.parametrize("change", [{"bias": (5, 6)}, {"bias": (1,)}, {"axis": 0}, {"twice": True}])
def test_products_that_no_integer_operator_makes_are_left_alone(change: dict) -> None:
    model = biased_product(**change)
    short = RUNTIME.lower(model, PROFILE).files["model.onnx"]
    assert "MatMulIntegerToFloat" not in {node.op_type for node in onnx.ModelProto.FromString(short).graph.node}
    assert answers(short, [1, 5, 24]) == pytest.approx(answers(model.to_bytes(), [1, 5, 24]), abs=1e-5)
