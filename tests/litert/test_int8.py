"""Wrapped operators: one int8 kernel each, within one step of an integer reference and of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.ir.model import Model
from edgewright.runtimes.litert.parts import take_apart
from edgewright.runtimes.litert.runtime import RUNTIME
from hypothesis import given, settings
from hypothesis import strategies as st
from litert.build import PROFILE, answers, expected, int8_kinds, kinds, lowered, node, normal, onnx_model, operators, single
from litert.reference import walk
from litert.wrap import wrap
from onnx import numpy_helper

X = normal(1, 8, 9, 9)
EVEN = normal(1, 8, 10, 10)


def f(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def i(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def check(model, inputs, kernel: str, *, unsigned: bool = False) -> None:
    """The wrapped model has `kernel` in int8 and no float arithmetic, and is exact to a step."""
    wrapped = wrap(model, inputs, unsigned=unsigned)
    file = lowered(wrapped)
    assert int8_kinds(file)[kernel] >= 1, kinds(file)
    assert set(kinds(file)) - set(int8_kinds(file)) <= {"QUANTIZE", "DEQUANTIZE"}
    assert_within_one(file, inputs)
    scale = next(numpy_helper.to_array(entry) for entry in wrapped.graph.initializer if entry.name == "y/scale")
    have, want = answers(file, inputs)["y"], expected(wrapped, inputs)["y"]
    steps = np.abs(have - want) / scale
    assert (steps < 1.01).mean() >= 0.999


def assert_within_one(file, inputs) -> None:
    for operator in walk(file.files[file.entry], inputs):
        assert operator.within_one >= 0.999 * operator.elements, operator


# (kind, kernel, input x, weights, order, attributes)
CASES = [
    ("Conv", "CONV_2D", X, {"w": normal(8, 8, 3, 3), "b": normal(8)}, "xwb", {"pads": [1, 1, 1, 1]}),
    ("Conv", "CONV_2D", EVEN, {"w": normal(8, 8, 3, 3)}, "xw", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", "CONV_2D", X, {"w": normal(8, 4, 3, 3)}, "xw", {"group": 2}),
    ("Conv", "CONV_2D", normal(1, 8, 20), {"w": normal(4, 8, 5), "b": normal(4)}, "xwb", {"pads": [2, 2]}),
    ("Conv", "DEPTHWISE_CONV_2D", X, {"w": normal(8, 1, 3, 3), "b": normal(8)}, "xwb", {"group": 8, "dilations": [2, 2]}),
    ("Conv", "DEPTHWISE_CONV_2D", X, {"w": normal(16, 1, 3, 3)}, "xw", {"group": 8, "strides": [2, 2]}),
    (
        "ConvTranspose",
        "TRANSPOSE_CONV",
        X,
        {"w": normal(8, 4, 3, 3), "b": normal(4)},
        "xwb",
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    ("ConvTranspose", "TRANSPOSE_CONV", X, {"w": normal(8, 4, 2, 2)}, "xw", {"strides": [2, 2]}),
    ("ConvTranspose", "TRANSPOSE_CONV", X, {"w": normal(8, 4, 3, 3), "b": normal(8)}, "xwb", {"group": 2, "dilations": [2, 2]}),
    ("Gemm", "FULLY_CONNECTED", normal(3, 5), {"w": normal(7, 5), "b": normal(7)}, "xwb", {"transB": 1}),
    ("Gemm", "FULLY_CONNECTED", normal(3, 5), {"w": normal(5, 7)}, "xw", {}),
    ("MatMul", "FULLY_CONNECTED", normal(2, 3, 5), {"w": normal(5, 7)}, "xw", {}),
    *((kind, kind.upper(), X, {"b": normal(8, 1, 1)}, "xb", {}) for kind in ("Add", "Sub", "Mul")),
    *((kind, kind.upper(), X, {"b": f(3.0)}, "bx", {}) for kind in ("Add", "Sub", "Mul")),
    ("Sigmoid", "LOGISTIC", X * 4, {}, "x", {}),
    ("Tanh", "TANH", X * 4, {}, "x", {}),
    ("Softmax", "SOFTMAX", X, {}, "x", {"axis": 1}),
    ("LeakyRelu", "LEAKY_RELU", X, {}, "x", {"alpha": 0.1}),
    ("Relu", "RELU", X, {}, "x", {}),
    ("Clip", "RELU6", X * 8, {"l": f(0).reshape(()), "h": f(6).reshape(())}, "xlh", {}),
    ("Clip", "MINIMUM", X, {"l": f(-0.5).reshape(()), "h": f(0.7).reshape(())}, "xlh", {}),
    ("GlobalAveragePool", "MEAN", X, {}, "x", {}),
    ("GlobalMaxPool", "REDUCE_MAX", X, {}, "x", {}),
    ("MaxPool", "MAX_POOL_2D", EVEN, {}, "x", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("AveragePool", "AVERAGE_POOL_2D", X, {}, "x", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    (
        "AveragePool",
        "AVERAGE_POOL_2D",
        EVEN,
        {},
        "x",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
    ),
    ("ReduceMean", "MEAN", X, {}, "x", {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", "MEAN", X, {}, "x", {"axes": [-1]}),
    ("ReduceMax", "REDUCE_MAX", X, {}, "x", {"axes": [1]}),
    ("Reshape", "RESHAPE", X, {"s": i(1, -1, 3)}, "xs", {}),
    ("Transpose", "TRANSPOSE", X, {}, "x", {"perm": [0, 2, 3, 1]}),
    ("Slice", "SLICE", X, {"s": i(1, 2), "e": i(5, 100), "a": i(1, -1)}, "xsea", {}),
    ("Slice", "STRIDED_SLICE", X, {"s": i(-1, 1), "e": i(-100, 7), "a": i(1, 2), "t": i(-2, 3)}, "xseat", {}),
    ("Pad", "PAD", X, {"p": i(0, 0, 1, 2, 0, 0, 3, 0)}, "xp", {}),
    ("Expand", "BROADCAST_TO", normal(1, 6, 1, 8), {"s": i(1, 1, 4, 8)}, "xs", {}),
    ("Tile", "TILE", X, {"s": i(1, 2, 1, 3)}, "xs", {}),
    ("Gather", "GATHER", X, {"j": i(0, -1, 2)}, "xj", {"axis": 1}),
    ("DepthToSpace", "DEPTH_TO_SPACE", normal(1, 8, 3, 4), {}, "x", {"blocksize": 2}),
    ("SpaceToDepth", "SPACE_TO_DEPTH", normal(1, 3, 4, 6), {}, "x", {"blocksize": 2}),
    (
        "Resize",
        "RESIZE_NEAREST_NEIGHBOR",
        X,
        {"s": f(1, 1, 2, 2)},
        ["x", "", "s"],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    ("Resize", "RESIZE_BILINEAR", X, {"s": f(1, 1, 2, 2)}, ["x", "", "s"], {"mode": "linear"}),
]


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize(
    ("kind", "kernel", "x", "weights", "order", "attributes"), CASES, ids=lambda case: case if isinstance(case, str) else None
)
def test_operators(kind, kernel, x, weights, order, attributes, unsigned):
    check(single(kind, {"x": x}, weights, order=order, **attributes), {"x": x}, kernel, unsigned=unsigned)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_operators_of_two_variables(kind):
    feeds = {"a": X, "b": normal(1, 8, 9, 9, seed=3) * 3}
    check(single(kind, feeds), feeds, kind.upper())


def test_concat_and_products_of_variables():
    feeds = {"a": X, "b": normal(1, 3, 9, 9) * 2}
    check(single("Concat", feeds, axis=1), feeds, "CONCATENATION")
    feeds = {"a": normal(2, 3, 5), "b": normal(2, 5, 7)}
    check(single("MatMul", feeds), feeds, "BATCH_MATMUL")


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.0, 1.0), (0.0, np.inf), (-0.5, 0.7), (0.0, 1.0)])
def test_a_clip_after_a_convolution_is_taken_along(low, high):
    bounds = {"l": f(low).reshape(()), "h": f(min(high, 1e30)).reshape(())}
    nodes = [node("Conv", "xw", "c"), node("Clip", "clh", "y")]
    check(onnx_model(nodes, {"x": X}, ["y"], {"w": normal(8, 8, 3, 3), **bounds}), {"x": X}, "CONV_2D")


def test_the_order_of_flattened_maps_goes_into_the_weights():
    nodes = [node("Conv", "xw", "c"), node("Relu", "c", "r"), node("Flatten", "r", "f"), node("Gemm", "fvb", "y", transB=1)]
    model = onnx_model(nodes, {"x": X}, ["y"], {"w": normal(8, 8, 3, 3), "v": normal(5, 392), "b": normal(5)})
    check(model, {"x": X}, "FULLY_CONNECTED")
    assert kinds(lowered(wrap(model, {"x": X})))["TRANSPOSE"] == 1


def test_average_pool_with_its_own_result_scale_is_a_depthwise_convolution():
    model = single("AveragePool", {"x": X}, kernel_shape=[3, 3])
    own = wrap(model, {"x": X})
    for entry in own.graph.node:
        if entry.name in ("QuantizeLinear_y/integers", "DequantizeLinear_y"):
            entry.input[1] = "other"
    own.graph.initializer.append(numpy_helper.from_array(np.array(0.01, np.float32), "other"))
    file = lowered(own)
    assert int8_kinds(file)["DEPTHWISE_CONV_2D"] == 1
    assert_within_one(file, {"x": X})


def test_weights_alone_in_int8_stay_int8_in_the_file_and_are_widened_exactly():
    model = wrap(single("Conv", {"x": X}, {"w": normal(8, 8, 3, 3)}), {"x": X})
    kept = [entry for entry in model.graph.node if entry.output[0] == "w/read" or entry.op_type == "Conv"]
    weights = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer if entry.name.startswith("w/")}
    kept[-1].input[0], kept[-1].output[0] = "x", "y"
    alone = onnx_model(kept, {"x": X}, ["y"], weights)
    file = lowered(alone)
    np.testing.assert_allclose(answers(file, {"x": X})["y"], expected(alone, {"x": X})["y"], rtol=1e-4, atol=1e-4)
    assert kinds(file)["DEQUANTIZE"] == 1
    assert file.size_bytes < weights["w/integers"].size * 2 + 3000


def test_weights_that_int8_kernels_cannot_multiply_exactly_stay_float():
    model = wrap(single("Conv", {"x": X}, {"w": normal(8, 8, 3, 3)}), {"x": X})
    for entry in model.graph.initializer:
        if entry.name == "w/integers":
            array = numpy_helper.to_array(entry).copy()
            array.flat[0] = -128
            entry.CopyFrom(numpy_helper.from_array(array, entry.name))
    file = lowered(model)
    assert int8_kinds(file)["CONV_2D"] == 0
    steps = np.abs(answers(file, {"x": X})["y"] - expected(model, {"x": X})["y"])
    assert steps.max() < 0.3


def test_float16_weights_stay_float16_in_the_file():
    w = normal(16, 8, 3, 3).astype(np.float16)
    model = onnx_model([node("Cast", "h", "w", to=1), node("Conv", "xw", "y")], {"x": X}, ["y"], {"h": w})
    file = lowered(model)
    np.testing.assert_allclose(answers(file, {"x": X})["y"], expected(model, {"x": X})["y"], rtol=1e-4, atol=1e-4)
    assert file.size_bytes < w.nbytes + 3000


@pytest.mark.parametrize("bias", [{}, {"b": np.zeros(8, np.float32)}, {"b": normal(8)}])
def test_every_int8_convolution_has_a_bias_with_scales(bias):
    """XNNPACK leaves layers to slow kernels whose int32 bias has none."""
    file = lowered(wrap(single("Conv", {"x": X}, {"w": normal(8, 8, 3, 3), **bias}), {"x": X}))
    part = next(part for part in take_apart(file.files[file.entry]) if part.kind == "CONV_2D")
    given, weights, added = (tensor.quant for tensor in part.inputs)
    np.testing.assert_allclose(added.scales, np.float32(given.scale) * np.asarray(weights.scales, np.float32), rtol=1e-6)
    assert set(added.zeros) == {0}


@pytest.mark.parametrize("kind", ["Conv", "Add"])
def test_a_scale_that_no_kernel_can_multiply_to_runs_in_float(kind):
    """A layer whose result is always zero gets such a scale; XNNPACK refuses to load it."""
    model = wrap(single(kind, {"x": X}, {"w": normal(8, 8, 1, 1) if kind == "Conv" else normal(8, 1, 1)}), {"x": X})
    for entry in model.graph.initializer:
        if entry.name == "y/scale":
            entry.CopyFrom(numpy_helper.from_array(np.array(1e-7, np.float32), entry.name))
    file = lowered(model)
    assert int8_kinds(file)["CONV_2D"] + int8_kinds(file)["ADD"] == 0
    np.testing.assert_allclose(answers(file, {"x": X})["y"], expected(model, {"x": X})["y"], atol=1e-7)
    report = RUNTIME.supports(Model.from_bytes(model.SerializeToString()), PROFILE)
    assert "too fine" in next(found.reason for found in report if found.op_type == kind)


@pytest.mark.parametrize(("scale", "why"), [(30.0, "rounded to steps"), (1e-8, "overflows int32")])
def test_a_bias_of_another_scale_that_cannot_be_rounded_to_its_own(scale, why):
    model = wrap(single("Conv", {"x": X}, {"w": normal(8, 8, 3, 3), "b": normal(8)}), {"x": X})
    for entry in model.graph.initializer:
        if entry.name == "x/scale":
            entry.CopyFrom(numpy_helper.from_array(np.array(scale, np.float32), entry.name))
    file = lowered(model)
    assert int8_kinds(file)["CONV_2D"] == 0
    report = RUNTIME.supports(Model.from_bytes(model.SerializeToString()), PROFILE)
    assert why in next(found.reason for found in report if found.op_type == "Conv")


@pytest.mark.parametrize(
    ("kind", "kernel", "shape", "attributes"),
    [
        ("Conv", "CONV_2D", (8, 8, 3, 3), {}),
        ("Conv", "DEPTHWISE_CONV_2D", (8, 1, 3, 3), {"group": 8}),
        ("MatMul", "FULLY_CONNECTED", (9, 5), {}),
    ],
)
def test_weights_with_one_scale(kind, kernel, shape, attributes):
    model = wrap(single(kind, {"x": X}, {"w": normal(*shape)}, **attributes), {"x": X})
    for entry in model.graph.initializer:
        if entry.name in ("w/scale", "w/zero"):
            entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry)[0], entry.name))
    file = lowered(model)
    assert int8_kinds(file)[kernel] == 1
    assert_within_one(file, {"x": X})
    steps = np.abs(answers(file, {"x": X})["y"] - expected(model, {"x": X})["y"])
    assert (
        steps <= 1.01 * next(numpy_helper.to_array(entry) for entry in model.graph.initializer if entry.name == "y/scale")
    ).all()


def test_hard_swish_is_float_between_int8_tensors():
    model = wrap(single("HardSwish", {"x": X * 4}), {"x": X * 4})
    file = lowered(model)
    assert kinds(file) == {"QUANTIZE": 2, "DEQUANTIZE": 2, "HARD_SWISH": 1}
    np.testing.assert_allclose(answers(file, {"x": X})["y"], expected(model, {"x": X})["y"], atol=1e-6)


def test_images_are_padded_before_they_are_transposed():
    image = {"x": normal(1, 3, 8, 8)}
    model = wrap(single("Conv", image, {"w": normal(8, 3, 3, 3)}, pads=[1, 1, 1, 1], strides=[2, 2]), image)
    file = lowered(model)
    assert [kind for kind, _ in operators(file)][:3] == ["QUANTIZE", "PAD", "TRANSPOSE"]
    assert_within_one(file, image)


def test_unwrapped_operators_get_floats():
    nodes = [node("Conv", "xw", "c"), node("Sin", "c", "s"), node("Conv", "sv", "y")]
    weights = {"w": normal(8, 8, 1, 1), "v": normal(8, 8, 1, 1, seed=1)}
    model = wrap(onnx_model(nodes, {"x": X}, ["y"], weights), {"x": X}, kinds=("Conv",))
    file = lowered(model)
    assert int8_kinds(file)["CONV_2D"] == 2
    assert kinds(file)["SIN"] == 1
    assert_within_one(file, {"x": X})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_integer_inputs_and_outputs_keep_their_type(dtype):
    scales = {"s": f(0.1).reshape(()), "z": np.array(3, dtype), "t": f(0.05).reshape(()), "o": np.array(1, dtype)}
    x = {"x": np.random.default_rng(0).integers(0, 100, (1, 4, 6, 6)).astype(dtype)}
    nodes = [
        node("DequantizeLinear", "xsz", "d"),
        node("Sigmoid", "d", "g"),
        node("QuantizeLinear", "gto", "y"),
    ]
    model = onnx_model(nodes, x, ["y"], scales)
    have, want = answers(lowered(model), x)["y"], expected(model, x)["y"]
    assert have.dtype == dtype
    assert np.abs(have.astype(int) - want).max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    per_group=st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 3)]),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    spatial=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    seed=st.integers(0, 99),
)
def test_any_convolution(groups, per_group, size, spatial, strides, dilations, pads, seed):
    inputs, outputs = (count * groups for count in per_group)
    x = {"x": normal(1, inputs, *spatial, seed=seed)}
    weights = {"w": normal(outputs, per_group[0], *size, seed=seed + 1), "b": normal(outputs, seed=seed + 2)}
    model = single("Conv", x, weights, group=groups, strides=strides, dilations=dilations, pads=pads)
    want = expected(model, x)["y"]
    np.testing.assert_allclose(answers(lowered(model), x)["y"], want, rtol=1e-4, atol=1e-4)
    check(model, x, "DEPTHWISE_CONV_2D" if per_group[0] == 1 and groups > 1 else "CONV_2D")


@settings(max_examples=15, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    spatial=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    crop=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_transposed_convolution(channels, size, spatial, strides, extra, crop, seed):
    x = {"x": normal(1, channels[0], *spatial, seed=seed)}
    weights = {"w": normal(*channels, *size, seed=seed + 1), "b": normal(channels[1], seed=seed + 2)}
    padding = [min(more, stride - 1) for more, stride in zip(extra, strides, strict=True)]
    pads = [int(crop and tap > 1) for tap in size] * 2
    model = single("ConvTranspose", x, weights, strides=strides, pads=pads, output_padding=padding)
    np.testing.assert_allclose(answers(lowered(model), x)["y"], expected(model, x)["y"], rtol=1e-4, atol=1e-4)
    check(model, x, "TRANSPOSE_CONV")
