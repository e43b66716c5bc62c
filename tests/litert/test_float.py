"""Every emitter in float32 against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from litert.build import assert_close, node, normal, onnx_model, single

MAP = normal(1, 6, 8, 8)
ODD = normal(1, 6, 9, 9)
LINE = normal(2, 6, 20)
CHANNELS = normal(6, 1, 1, seed=3)


def f(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def i(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


# (kind, input x, weights, attributes)
CONVOLUTIONS = [
    ("Conv", ODD, {"w": normal(8, 6, 3, 3), "b": normal(8)}, {"pads": [1, 1, 1, 1]}),
    ("Conv", MAP, {"w": normal(8, 6, 3, 3), "b": normal(8)}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", MAP, {"w": normal(8, 6, 3, 3)}, {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    ("Conv", MAP, {"w": normal(8, 3, 3, 3), "b": normal(8)}, {"pads": [1, 1, 1, 1], "group": 2}),
    ("Conv", MAP, {"w": normal(6, 1, 3, 3), "b": normal(6)}, {"pads": [1, 1, 1, 1], "group": 6}),
    ("Conv", MAP, {"w": normal(12, 1, 3, 3), "b": normal(12)}, {"pads": [1, 0, 1, 0], "group": 6}),
    ("Conv", normal(1, 1, 8, 8), {"w": normal(12, 1, 3, 3)}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("Conv", LINE, {"w": normal(8, 6, 5), "b": normal(8)}, {"pads": [2, 2], "strides": [2]}),
    ("Conv", LINE, {"w": normal(8, 6, 5), "b": normal(8)}, {"pads": [0, 4], "dilations": [2]}),
    ("ConvTranspose", MAP, {"w": normal(6, 4, 2, 2), "b": normal(4)}, {"strides": [2, 2]}),
    ("ConvTranspose", MAP, {"w": normal(6, 4, 4, 4)}, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (
        "ConvTranspose",
        MAP,
        {"w": normal(6, 4, 3, 3), "b": normal(4)},
        {"pads": [1, 1, 1, 1], "strides": [2, 2], "output_padding": [1, 1]},
    ),
    ("ConvTranspose", MAP, {"w": normal(6, 4, 2, 2), "b": normal(4)}, {"strides": [3, 3], "output_padding": [2, 2]}),
    ("ConvTranspose", MAP, {"w": normal(6, 4, 3, 3), "b": normal(8)}, {"group": 2, "dilations": [2, 2]}),
    ("ConvTranspose", LINE, {"w": normal(6, 4, 4), "b": normal(4)}, {"strides": [2], "pads": [1, 1]}),
    ("ConvTranspose", MAP, {"w": normal(6, 4, 3, 3)}, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
]

POOLS = [
    {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    {"ceil_mode": 1, "strides": [2, 2]},
    {"strides": [2, 2]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"pads": [0, 1, 1, 0]},
]

ACTIVATIONS = [
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "LogSoftmax"),
    *("Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Softsign"),
    "Tanh",
]

# (kind, input x, weights, order of the inputs, attributes)
OTHERS = [
    ("HardSigmoid", MAP, {}, "x", {"alpha": 1 / 6, "beta": 0.5}),
    ("Softmax", MAP, {}, "x", {"axis": 1}),
    ("Log", np.abs(MAP) + number(0.1), {}, "x", {}),
    ("Sqrt", np.abs(MAP), {}, "x", {}),
    ("Clip", MAP, {"l": number(-0.5), "h": number(0.7)}, "xlh", {}),
    ("Clip", MAP * 5, {"l": number(0), "h": number(6)}, "xlh", {}),
    ("Clip", MAP, {"h": number(0.5)}, ["x", "", "h"], {}),
    ("PRelu", MAP, {"s": normal(6, 1, 1)}, "xs", {}),
    ("PRelu", MAP, {"s": normal(1)}, "xs", {}),
    ("GlobalAveragePool", MAP, {}, "x", {}),
    ("GlobalMaxPool", LINE, {}, "x", {}),
    ("ReduceSum", MAP, {"a": i(1, 2)}, "xa", {"keepdims": 0}),
    ("ReduceSum", MAP, {}, "x", {"keepdims": 0}),
    ("ArgMax", MAP, {}, "x", {"axis": 1, "keepdims": 0}),
    ("ArgMin", MAP, {}, "x", {"axis": -1}),
    ("CumSum", MAP, {"a": np.array(1, np.int64)}, "xa", {"reverse": 1}),
    ("Gemm", normal(3, 5), {"w": normal(7, 5), "b": normal(7)}, "xwb", {"transB": 1}),
    ("Gemm", normal(3, 5), {"w": normal(5, 7), "b": normal(7)}, "xwb", {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", normal(5, 3), {"w": normal(5, 7), "b": normal(3, 7)}, "xwb", {"transA": 1}),
    ("Gemm", normal(3, 5), {"w": normal(5, 7), "b": normal(1)}, "xwb", {}),
    ("MatMul", normal(2, 3, 5), {"w": normal(5, 7)}, "xw", {}),
    ("MatMul", normal(2, 4, 3, 5), {"w": normal(4, 5, 7)}, "xw", {}),
    ("MatMul", normal(5, 3), {"w": normal(4, 5)}, "wx", {}),
    ("Einsum", normal(2, 3, 4), {"w": normal(4, 5)}, "xw", {"equation": "abc,cd->abd"}),
    ("Einsum", normal(2, 3, 4), {"w": normal(2, 5, 4)}, "xw", {"equation": "bij,bkj->bki"}),
    ("Reshape", MAP, {"s": i(1, -1, 4)}, "xs", {}),
    ("Flatten", MAP, {}, "x", {"axis": 2}),
    ("Squeeze", normal(1, 3, 1), {"s": i(0, 2)}, "xs", {}),
    ("Unsqueeze", normal(3, 4), {"s": i(0, 2)}, "xs", {}),
    ("Transpose", MAP, {}, "x", {"perm": [2, 0, 3, 1]}),
    ("Concat", MAP, {"b": normal(1, 2, 8, 8)}, "xb", {"axis": 1}),
    ("Slice", MAP, {"s": i(1, 2), "e": i(5, 100), "a": i(1, -1)}, "xsea", {}),
    ("Slice", MAP, {"s": i(-1, 1), "e": i(-100, 7), "a": i(1, 2), "t": i(-2, 3)}, "xseat", {}),
    ("Pad", MAP, {"p": i(0, 0, 1, 2, 0, 0, 3, 0)}, "xp", {}),
    ("Pad", MAP, {"p": i(0, 0, 1, 2, 0, 0, 3, 0), "v": number(1.5)}, "xpv", {}),
    ("Pad", MAP, {"p": i(0, 0, 1, 2, 0, 0, 3, 0)}, "xp", {"mode": "reflect"}),
    ("Expand", normal(1, 6, 1, 8), {"s": i(1, 1, 4, 8)}, "xs", {}),
    ("Expand", normal(6, 1), {"s": i(2, 6, 4)}, "xs", {}),
    ("Tile", MAP, {"s": i(1, 2, 1, 3)}, "xs", {}),
    ("Gather", MAP, {"j": i(0, -1, 2)}, "xj", {"axis": 1}),
    ("Gather", MAP, {"j": np.array(-1, np.int64)}, "xj", {"axis": 1}),
    ("Gather", i(0, 5, 2).reshape(1, 3), {"t": normal(9, 4)}, "tx", {}),
    ("GatherND", normal(4, 5, 3), {"j": i(0, 1, 3, 4).reshape(2, 2)}, "xj", {}),
    ("OneHot", i(0, 5, 2).reshape(1, 3), {"d": np.array(6, np.int64), "v": f(0, 1)}, "xdv", {}),
    ("DepthToSpace", normal(1, 8, 3, 4), {}, "x", {"blocksize": 2}),
    ("DepthToSpace", normal(1, 12, 3, 4), {}, "x", {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", normal(1, 3, 4, 6), {}, "x", {"blocksize": 2}),
    ("Cast", MAP * 5, {}, "x", {"to": 6}),
    ("BatchNormalization", MAP, {"g": normal(6), "b": normal(6), "m": normal(6), "v": np.abs(normal(6))}, "xgbmv", {}),
    ("LayerNormalization", MAP, {"g": normal(8), "b": normal(8)}, "xgb", {}),
    ("LayerNormalization", MAP, {"g": normal(6, 8, 8)}, "xg", {"axis": 1}),
    ("InstanceNormalization", MAP, {"g": normal(6), "b": normal(6)}, "xgb", {}),
    ("LRN", MAP, {}, "x", {"size": 5}),
    ("LpNormalization", MAP, {}, "x", {"axis": 1}),
]


def name(case: object) -> str | None:
    return case if isinstance(case, str) else None


@pytest.mark.parametrize(("kind", "x", "weights", "attributes"), CONVOLUTIONS, ids=name)
def test_convolutions(kind, x, weights, attributes):
    assert_close(single(kind, {"x": x}, weights, **attributes), {"x": x})


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "padded"])
@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("size", [8, 9])
def test_pools(kind, attributes, size):
    if kind == "padded":
        kind, attributes = "AveragePool", {**attributes, "count_include_pad": 1}
    x = normal(1, 6, size, size)
    if "auto_pad" in attributes and "count_include_pad" in attributes and size == 8:
        pytest.skip("ONNX Runtime and the specification differ on what it divides by")
    assert_close(single(kind, {"x": x}, kernel_shape=[3, 3], **attributes), {"x": x})


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_pools_of_one_axis(kind):
    assert_close(single(kind, {"x": LINE}, kernel_shape=[3], strides=[2], pads=[1, 1]), {"x": LINE})


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"])
def test_binary_operators_with_variables_constants_and_other_layouts(kind):
    a, b = np.abs(MAP) + number(0.1), np.abs(CHANNELS) + number(0.5)
    assert_close(single(kind, {"a": a, "b": b}), {"a": a, "b": b})
    assert_close(single(kind, {"a": a}, {"b": b}), {"a": a})
    chain = [node("Conv", "xw", "c"), node("Abs", "c", "d"), node(kind, "db", "y")]
    assert_close(onnx_model(chain, {"x": MAP}, ["y"], {"w": normal(6, 6, 1, 1), "b": b}), {"x": MAP})


@pytest.mark.parametrize("kind", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod"])
def test_integer_operators(kind):
    feeds = {"a": np.array([1, 2, 3], np.int32), "b": np.array([3, 2, 1], np.int32)}
    assert_close(single(kind, feeds), feeds)


@pytest.mark.parametrize("kind", ["And", "Or"])
def test_logic(kind):
    feeds = {"a": np.array([True, False, True]), "b": np.array([True, True, False])}
    assert_close(single(kind, feeds), feeds)
    assert_close(single("Not", {"a": feeds["a"]}), {"a": feeds["a"]})


def test_where_and_sum():
    feeds = {"c": np.array([True, False, True]), "a": normal(3), "b": normal(1, 3, seed=1)}
    assert_close(single("Where", feeds), feeds)
    feeds = {"a": MAP, "b": normal(8, seed=1), "c": normal(1, 6, 1, 1, seed=2)}
    assert_close(single("Sum", feeds), feeds)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(kind):
    assert_close(single(kind, {"x": MAP}, opset=18), {"x": MAP})


@pytest.mark.parametrize("attributes", [{}, {"approximate": "tanh"}])
def test_gelu(attributes):
    assert_close(single("Gelu", {"x": MAP}, opset=20, **attributes), {"x": MAP})


NUMBERS = {"r": 2**0.5, "o": 1, "h": 0.5, "t": 2, "k": 0.044715, "p": (2 / np.pi) ** 0.5, "n": 3}
ERF = [node("Div", "xr", "d"), node("Erf", "d", "e"), node("Add", "eo", "a")]
CUBE = [node("Mul", "kx", "b"), node("Mul", "xb", "c"), node("Mul", "xc", "d")]
POWER = [node("Pow", "xn", "c"), node("Mul", "ck", "d")]
TANH = [node("Add", "xd", "e"), node("Mul", "pe", "f"), node("Tanh", "f", "g"), node("Add", "og", "a")]
WRITTEN_OUT = {
    "erf, half last": [*ERF, node("Mul", "xa", "m"), node("Mul", "mh", "y")],
    "erf, half first": [node("Mul", "xh", "g"), *ERF, node("Mul", "ga", "y")],
    "erf, divided by two": [*ERF, node("Mul", "ax", "m"), node("Div", "mt", "y")],
    "tanh of products": [*CUBE, *TANH, node("Mul", "ha", "m"), node("Mul", "xm", "y")],
    "tanh of a power": [*POWER, *TANH, node("Mul", "xh", "m"), node("Mul", "ma", "y")],
}


def written_out(nodes):
    used = {entry for item in nodes for entry in item.input}
    return onnx_model(nodes, {"x": MAP}, ["y"], {key: number(value) for key, value in NUMBERS.items() if key in used})


@pytest.mark.parametrize("nodes", WRITTEN_OUT.values(), ids=WRITTEN_OUT)
def test_written_out_gelu_becomes_one_kernel(nodes):
    assert assert_close(written_out(nodes), {"x": MAP}) == {"GELU": 1}


@pytest.mark.parametrize(
    "nodes",
    [
        [*ERF, node("Mul", "xa", "m"), node("Mul", "mt", "y")],
        [*ERF, node("Mul", "xa", "m"), node("Mul", "mx", "y")],
        [*ERF, node("Add", "xa", "y")],
        [*CUBE, *TANH, node("Mul", "ka", "m"), node("Mul", "xm", "y")],
        [node("Mul", "xr", "d"), *TANH, node("Mul", "ha", "m"), node("Mul", "xm", "y")],
    ],
)
def test_what_only_looks_like_gelu_stays_as_it_is(nodes):
    assert assert_close(written_out(nodes), {"x": MAP})["GELU"] == 0


@pytest.mark.parametrize(("kind", "x", "weights", "order", "attributes"), OTHERS, ids=name)
def test_other_operators(kind, x, weights, order, attributes):
    assert_close(single(kind, {"x": x}, weights, order=order, **attributes), {"x": x})


@pytest.mark.parametrize("kind", ["Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"])
def test_reductions(kind):
    assert_close(single(f"Reduce{kind}", {"x": MAP}, axes=[1, 3], keepdims=0), {"x": MAP}, 2e-4)
    assert_close(single(f"Reduce{kind}", {"x": MAP}, axes=[-1], keepdims=1), {"x": MAP}, 2e-4)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("scales", [f(1, 1, 2, 2), f(1, 1, 1.5, 3), f(1, 1, 0.5, 0.5)])
def test_resize(mode, coordinates, scales):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if coordinates == "asymmetric":
        attributes["nearest_mode"] = "floor"
    assert_close(single("Resize", {"x": MAP}, {"s": scales}, order=["x", "", "s"], **attributes), {"x": MAP})


def test_resize_to_sizes_of_one_axis():
    sizes = {"s": i(2, 6, 33)}
    assert_close(single("Resize", {"x": LINE}, sizes, order=["x", "", "", "s"], mode="linear"), {"x": LINE})


def test_operators_with_two_results():
    weights = {"s": i(2, 4), "k": i(3)}
    assert_close(onnx_model([node("Split", "xs", "ab", axis=1)], {"x": MAP}, ["a", "b"], {"s": weights["s"]}), {"x": MAP})
    assert_close(onnx_model([node("TopK", "xk", "ab")], {"x": MAP}, ["a", "b"], {"k": weights["k"]}), {"x": MAP})


def test_group_norm():
    weights = {"g": normal(6), "b": normal(6)}
    assert_close(single("GroupNormalization", {"x": MAP}, weights, num_groups=2, opset=21), {"x": MAP})


def test_matmul_takes_its_bias_and_activation_along():
    nodes = [node("MatMul", "xw", "m"), node("Add", "bm", "a"), node("Relu", "a", "y")]
    weights = {"w": normal(5, 7), "b": normal(7)}
    x = {"x": normal(2, 3, 5)}
    assert assert_close(onnx_model(nodes, x, ["y"], weights), x) == {"FULLY_CONNECTED": 1}


def test_what_depends_on_shapes_alone_is_known_when_lowering():
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "si", "n"),
        node("Concat", "nm", "t", axis=0),
        node("Reshape", "xt", "y"),
    ]
    x = {"x": normal(3, 4, 5)}
    assert assert_close(onnx_model(nodes, x, ["y"], {"i": i(0), "m": i(-1)}), x) == {"RESHAPE": 1}


def test_outputs_may_be_inputs_constants_and_each_other():
    nodes = [node("Identity", "x", "a"), node("Identity", "x", "b"), node("Identity", "w", "c"), node("Neg", "x", "d")]
    assert_close(onnx_model(nodes, {"x": MAP}, ["a", "b", "c", "d"], {"w": normal(3)}), {"x": MAP})


def test_an_output_that_is_an_input_keeps_both_names():
    model = onnx_model([node("Relu", "x", "y")], {"x": MAP}, ["x", "y"])
    model.graph.output[0].CopyFrom(model.graph.input[0])
    assert_close(model, {"x": MAP})
