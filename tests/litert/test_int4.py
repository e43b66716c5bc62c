"""int4 in a .tflite file: which kernels take it, how it is packed, and that no kernel computes anything else for it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from edgewright.runtimes.litert.flatbuffer import Writer
from edgewright.runtimes.litert.parts import take_apart
from hypothesis import given, settings
from hypothesis import strategies as st
from litert.build import lowered, node, normal, onnx_model
from litert.reference import walk

_MATRIX = {"Gemm": {"transB": 1}, "MatMul": {}}


def layer(kind: str, x: np.ndarray, shape: tuple[int, ...], integers: type, **attributes: object) -> onnx.ModelProto:
    """One quantized layer whose weights are integers of that type, the same for every type."""
    rng = np.random.default_rng(sum(shape))
    channels, axis = (shape[1], 1) if kind == "MatMul" else (shape[0], 0)
    scales = (0.05 + 0.05 * rng.random(channels)).astype(np.float32)
    weights = {
        "xs": np.float32(0.03),
        "xz": np.int8(-5),
        "ys": np.float32(0.1),
        "yz": np.int8(3),
        "w": rng.integers(-7, 8, shape).astype(integers),
        "ws": scales,
        "b": rng.integers(-90, 90, channels).astype(np.int32),
        "bs": (scales * np.float32(0.03)).astype(np.float32),
    }
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        node("DequantizeLinear", ["w", "ws"], ["wd"], axis=axis),
        node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
        node(kind, ["xd", "wd"] if kind == "MatMul" else ["xd", "wd", "bd"], ["r"], **attributes),
        node("QuantizeLinear", ["r", "ys", "yz"], ["yq"]),
        node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    return onnx_model(nodes, {"x": x}, ["y"], weights, opset=21)


def run(data: bytes, x: np.ndarray, resolver: OpResolverType) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()


# kind, input, weights, attributes -> kernel, type of its weights, kernels of padding before it
CASES = [
    ("Gemm", (1, 24), (10, 24), {"transB": 1}, "FULLY_CONNECTED", "int4", 0),
    ("Gemm", (3, 23), (10, 23), {"transB": 1}, "FULLY_CONNECTED", "int4", 1),
    ("MatMul", (2, 5, 24), (24, 9), {}, "FULLY_CONNECTED", "int4", 0),
    ("MatMul", (2, 5, 21), (21, 9), {}, "FULLY_CONNECTED", "int4", 1),
    ("Conv", (1, 8, 5, 6), (12, 8, 1, 1), {}, "FULLY_CONNECTED", "int4", 0),
    ("Conv", (1, 7, 5, 6), (12, 7, 1, 1), {}, "FULLY_CONNECTED", "int4", 1),
    ("Conv", (1, 8, 11), (12, 8, 1), {}, "FULLY_CONNECTED", "int4", 0),
    ("Conv", (1, 8, 5, 6), (12, 8, 1, 1), {"strides": [2, 2]}, "CONV_2D", "int8", 0),
    ("Conv", (1, 8, 5, 6), (12, 8, 1, 1), {"pads": [1, 1, 1, 1]}, "CONV_2D", "int8", 1),
    ("Conv", (1, 8, 5, 6), (12, 4, 1, 1), {"group": 2}, "CONV_2D", "int8", 0),
    ("Conv", (1, 8, 5, 6), (12, 8, 3, 3), {"pads": [1, 1, 1, 1]}, "CONV_2D", "int8", 0),
    ("Conv", (1, 8, 5, 6), (8, 1, 3, 3), {"group": 8}, "DEPTHWISE_CONV_2D", "int8", 0),
]


@pytest.mark.parametrize(("kind", "given", "shape", "attributes", "kernel", "stored", "pads"), CASES)
def test_a_layer_in_int4_computes_what_it_does_in_int8(kind, given, shape, attributes, kernel, stored, pads) -> None:
    x = normal(*given, seed=5)
    narrow, wide = (
        lowered(layer(kind, x, shape, integers, **attributes)).files["model.tflite"] for integers in (ml_dtypes.int4, np.int8)
    )
    found = [part for part in take_apart(narrow) if part.kind == kernel]
    assert [part.inputs[1].dtype for part in found] == [stored]
    assert sum(part.kind == "PAD" for part in take_apart(narrow)) == pads
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        got, wanted = run(narrow, x, resolver), run(wide, x, resolver)
        assert len(np.unique(wanted)) >= 10
        assert np.array_equal(got, wanted)


def test_a_layer_in_int4_is_within_a_step_of_exact_integers() -> None:
    x = normal(1, 23, seed=6)
    data = lowered(layer("Gemm", x, (10, 23), ml_dtypes.int4, transB=1)).files["model.tflite"]
    compared = [operator for operator in walk(data, {"x": x}) if operator.elements]
    assert {operator.kind for operator in compared} >= {"FULLY_CONNECTED", "PAD"}
    assert all(operator.within_one == operator.elements for operator in compared)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
def test_what_is_packed_is_read_again(numbers: list[int]) -> None:
    array = np.array(numbers, np.int8)[:, None]
    writer = Writer()
    given, made = writer.tensor("x", (1, 1), "int8"), writer.tensor("y", (1, len(numbers)), "int8")
    constant = writer.packed("w", array)
    assert writer.packed("v", array.copy()) is constant
    writer.operator("FULLY_CONNECTED", [given, constant, None], [made], "FullyConnectedOptions")
    (part,) = take_apart(writer.finish({"x": given}, {"y": made}))
    held = part.inputs[1]
    assert held is not None
    assert (held.dtype, held.shape) == ("int4", array.shape)
    assert np.array_equal(held.array, array)
