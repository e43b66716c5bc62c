"""What every runtime makes of int4 weights: the kernels, the support and the very answers of the same integers in int8."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.bench.batches import example_inputs
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")
SHAPES = {"wide": (16, 8, 3, 3), "point": (64, 16, 1, 1), "deep": (64, 1, 3, 3), "last": (33, 64), "head": (10, 33)}


class Network:
    """wide Conv -> pointwise Conv -> depthwise Conv -> mean -> Gemm -> Relu -> Gemm, quantized by hand (or weights only)."""

    def __init__(self, kind: np.dtype, activation: str | None) -> None:
        self.kind, self.activation = kind, activation
        self.rng = np.random.default_rng(11)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def weights(self, name: str, input_scale: float) -> list[str]:
        """Names of the dequantized weights and bias of a layer."""
        shape = SHAPES[name]
        scales = (0.2 + 0.2 * self.rng.random(shape[0])).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        self.constants |= {
            f"{name}.w": self.rng.integers(-7, 8, shape).astype(self.kind),
            f"{name}.s": scales,
            f"{name}.z": np.zeros(shape[0], self.kind),
            f"{name}.b": self.rng.integers(-50, 50, shape[0]).astype(np.int32),
            f"{name}.bs": (scales * np.float32(input_scale)).astype(np.float32),
        }
        self.op("DequantizeLinear", [f"{name}.w", f"{name}.s", f"{name}.z"], f"{name}.wd", axis=0)
        self.op("DequantizeLinear", [f"{name}.b", f"{name}.bs"], f"{name}.bd", axis=0)
        return [f"{name}.wd", f"{name}.bd"]

    def op(self, kind: str, inputs: list[str], made: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [made], name=f"node.{made}", **attributes))
        return made

    def around(self, value: str, scale: float, zero: int) -> str:
        if self.activation is None:
            return value
        low = np.iinfo(self.activation).min
        self.constants |= {f"{value}.s": np.float32(scale), f"{value}.z": np.array(low + zero, self.activation)}
        integers = self.op("QuantizeLinear", [value, f"{value}.s", f"{value}.z"], f"{value}.q")
        return self.op("DequantizeLinear", [integers, f"{value}.s", f"{value}.z"], f"{value}.d")

    def model(self) -> Model:
        x = self.around("x", 0.03, 120)
        x = self.op("Relu", [self.op("Conv", [x, *self.weights("wide", 0.03)], "a", pads=[1, 1, 1, 1])], "ar")
        x = self.around(x, 0.02, 0)
        x = self.around(self.op("Conv", [x, *self.weights("point", 0.02)], "p"), 0.02, 128)
        x = self.around(self.op("Conv", [x, *self.weights("deep", 0.02)], "d", group=64), 0.02, 128)
        x = self.around(self.op("GlobalAveragePool", [x], "g"), 0.01, 128)
        x = self.around(self.op("Flatten", [x], "f"), 0.01, 128)
        x = self.op("Relu", [self.op("Gemm", [x, *self.weights("last", 0.01)], "l", transB=1)], "lr")
        x = self.around(x, 0.01, 0)
        y = self.op("Gemm", [x, *self.weights("head", 0.01)], "y", transB=1)
        if self.activation is not None:
            y = self.around(y, 0.01, 100)
        ports = (
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 9, 7])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, 10])],
        )
        held = [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "case", *ports, held)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


def pair(activation: str | None) -> tuple[Model, Model]:
    """The network in int4 and, with the same integers, in int8."""
    return tuple(Network(np.dtype(kind), activation).model() for kind in (ml_dtypes.int4, np.int8))


def answers(runtime, lowered) -> np.ndarray:
    executor = runtime.load(lowered.files, lowered.entry, 1)
    rng = np.random.default_rng(3)
    spec = executor.inputs[0]
    return np.concatenate(
        [next(iter(executor.run({spec.name: rng.standard_normal(spec.shape).astype(np.float32)}).values())) for _ in range(16)]
    )


def test_int4_answers_to_the_bit_as_the_same_integers_in_int8(runtime):
    narrow, wide = pair(runtime.scheme(PROFILE).activation)
    files = [runtime.lower(model, PROFILE) for model in (narrow, wide)]
    got, wanted = (answers(runtime, lowered) for lowered in files)
    assert len(np.unique(wanted)) > 20
    assert np.array_equal(got, wanted)
    # Matrices and pointwise kernels are packed in every runtime: half of their bytes go.
    packed = sum(np.prod(SHAPES[name]) for name in ("point", "last", "head"))
    assert files[0].size_bytes < files[1].size_bytes - 0.25 * packed


def test_int4_runs_in_the_arithmetic_of_int8_and_is_traced(runtime):
    narrow, wide = pair(runtime.scheme(PROFILE).activation)
    assert runtime.supports(narrow, PROFILE) == runtime.supports(wide, PROFILE)
    runs = {item.node: item.runs for item in runtime.supports(narrow, PROFILE)}
    assert {name: runs[name] for name in ("node.a", "node.p", "node.d")} == dict.fromkeys(
        ("node.a", "node.p", "node.d"), "int8"
    )
    names = {node.name for node in narrow.graph}
    traced = []
    for model in (narrow, wide):
        lowered = runtime.lower(model, PROFILE)
        assert set(lowered.debug_map.values()) <= names
        executor = runtime.load(lowered.files, lowered.entry, 1)
        timed = runtime.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 1)
        traced.append({lowered.debug_map.get(name) for name, _, _ in timed})
    assert traced[0] == traced[1]
    assert {"node.a", "node.p", "node.d"} <= traced[0]


def test_int4_as_storage_of_weights_alone(runtime):
    narrow, wide = pair(None)
    files = [runtime.lower(model, PROFILE) for model in (narrow, wide)]
    got, wanted = (answers(runtime, lowered) for lowered in files)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert files[0].size_bytes <= files[1].size_bytes


def test_lowering_int4_is_deterministic_and_leaves_the_model_alone(runtime):
    model, _ = pair(runtime.scheme(PROFILE).activation)
    before = model.digest()
    first, second = (runtime.lower(model, PROFILE) for _ in range(2))
    assert dict(first.files) == dict(second.files)
    assert model.digest() == before
