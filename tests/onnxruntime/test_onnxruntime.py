"""What is ONNX Runtime's alone: which operators of the scheme fuse, what the file carries, how it is loaded."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from edgewright.core.errors import LoweringError, RuntimeFailure
from edgewright.device_profiles.loader import known, load
from edgewright.ir.model import Model, initializer
from edgewright.runtimes.bench.batches import example_inputs
from edgewright.runtimes.onnxruntime.runtime import RUNTIME
from edgewright.runtimes.onnxruntime.scheme import OPERATORS
from onnx import TensorProto, helper, numpy_helper

X = [1, 16, 8, 8]


def ints(*values):
    return np.array(values, np.int64)


# Operator: shapes of its quantized inputs, attributes, other inputs, whether it has weights (and their scale's axis).
CASES = {
    "Conv": ([X], {"pads": [1, 1, 1, 1]}, [], ((16, 16, 3, 3), 0)),
    "Gemm": ([[1, 32]], {}, [], ((32, 16), 1)),
    "MatMul": ([[1, 4, 32]], {}, [], ((32, 16), 1)),
    "Add": ([X, X], {}, [], None),
    "Mul": ([X, X], {}, [], None),
    "Concat": ([X, X], {"axis": 1}, [], None),
    "AveragePool": ([X], {"kernel_shape": [2, 2]}, [], None),
    "GlobalAveragePool": ([X], {}, [], None),
    "ReduceMean": ([X], {"axes": [2, 3], "keepdims": 1}, [], None),
    "MaxPool": ([X], {"kernel_shape": [2, 2]}, [], None),
    "Resize": ([X], {"mode": "nearest"}, [None, np.array([1, 1, 2, 2], np.float32)], None),
    "Softmax": ([[1, 32]], {}, [], None),
    "Sigmoid": ([X], {}, [], None),
    "LeakyRelu": ([X], {"alpha": 0.1}, [], None),
    "Reshape": ([X], {}, [ints(1, -1)], None),
    "Transpose": ([X], {"perm": [0, 2, 3, 1]}, [], None),
    "Flatten": ([X], {}, [], None),
    "Squeeze": ([[1, 16, 1, 1]], {}, [ints(2, 3)], None),
    "Unsqueeze": ([[1, 16]], {}, [ints(2, 3)], None),
    "Slice": ([X], {}, [ints(0), ints(8), ints(1)], None),
    "Split": ([X], {"axis": 1}, [ints(8, 8)], None),
    "Gather": ([X], {"axis": 1}, [ints(0, 3)], None),
    "Expand": ([[1, 16, 1, 1]], {}, [ints(1, 16, 4, 4)], None),
    "DepthToSpace": ([X], {"blocksize": 2}, [], None),
}


def quantized(op_type: str, kind: str) -> Model:
    """One operator between DequantizeLinear and QuantizeLinear."""
    shapes, attributes, others, held = CASES[op_type]
    integer = np.dtype(kind).type
    zero = np.iinfo(kind).min + 110
    rule = OPERATORS[op_type]
    constants = {"s": np.float32(0.05), "z": integer(zero), "t": np.float32(0.03), "u": integer(zero + 3)}
    if rule.fixed_output:
        constants |= {"t": np.float32(rule.fixed_output[0]), "u": integer(np.iinfo(kind).min)}
    nodes, inputs, names = [], [], []
    for index, shape in enumerate(shapes):
        inputs.append(helper.make_tensor_value_info(f"x{index}", TensorProto.FLOAT, shape))
        nodes.append(helper.make_node("QuantizeLinear", [f"x{index}", "s", "z"], [f"q{index}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{index}", "s", "z"], [f"d{index}"]))
        names.append(f"d{index}")
    if held is not None:
        shape, axis = held
        w = np.random.default_rng(0).integers(-100, 100, shape).astype(np.int8)
        constants |= {"w": w, "ws": np.full(shape[axis], 0.01, np.float32), "wz": np.zeros(shape[axis], np.int8)}
        nodes.append(helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=axis))
        names.append("wd")
    for index, other in enumerate(others):
        names.append("" if other is None else f"c{index}")
        constants |= {} if other is None else {f"c{index}": other}
    results = ["o0", "o1"] if op_type == "Split" else ["o0"]
    nodes.append(helper.make_node(op_type, names, results, name="operator", **attributes))
    scale = ["s", "z"] if rule.same_scale else ["t", "u"]
    outputs = []
    for index, result in enumerate(results):
        nodes.append(helper.make_node("QuantizeLinear", [result, *scale], [f"r{index}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"r{index}", *scale], [f"y{index}"]))
        outputs.append(helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    made = helper.make_graph(nodes, "case", inputs, outputs, tensors)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def test_every_operator_of_the_scheme_has_a_case():
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize("profile", ["x86-64-vnni", "raspberry-pi-4b"])
@pytest.mark.parametrize("op_type", sorted(CASES))
def test_an_operator_of_the_scheme_fuses_into_an_integer_kernel(op_type, profile):
    target = load(profile)
    model = quantized(op_type, RUNTIME.scheme(target).activation)
    answers = {item.node: item.runs for item in RUNTIME.supports(model, target)}
    assert answers["operator"] == "int8"
    lowered = RUNTIME.lower(model, target)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    kinds = {kind for _, kind, _ in RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 1)}
    assert not kinds & {"Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "Add", "Mul", "Softmax", "Sigmoid", "ReduceMean"}


def test_the_scheme_follows_the_cpu():
    schemes = {name: RUNTIME.scheme(load(name)) for name in known()}
    assert {name for name, scheme in schemes.items() if scheme.saturating_pairs} == {"x86-64-avx2"}
    assert {scheme.activation for scheme in schemes.values()} == {"uint8"}
    assert {scheme.weight for scheme in schemes.values()} == {"int8"}


def test_a_linear_resize_between_scales_is_said_to_run_in_float():
    model = quantized("Resize", "uint8")
    next(node for node in model.graph if node.op_type == "Resize").attributes["mode"] = _text("mode", "linear")
    assert {item.node: item.runs for item in RUNTIME.supports(model, load("x86-64-vnni"))}["operator"] == "float32"


def _text(name, value):
    import onnx_ir

    return onnx_ir.AttrString(name, value)


CLIPPED = """
<ir_version: 9, opset_import: ["" : 17]>
case (float[1,8,6,6] x) => (float[1,8,6,6] y)
<uint8 z = {0}, float s = {SCALE}, float low = {0.0}, float high = {6.0}>
{
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    k = Clip(d, low, high)
    p = QuantizeLinear(k, s, z)
    y = DequantizeLinear(p, s, z)
}
"""


@pytest.mark.parametrize(("scale", "is_kept"), [(6.0 / 255.0, False), (0.02352942, False), (0.03, True), (0.01, False)])
def test_a_clip_is_dropped_only_where_the_quantizer_does_its_work(scale, is_kept):
    text = CLIPPED.replace("SCALE", repr(float(np.float32(scale))))
    model = Model.from_bytes(onnx.parser.parse_model(text).SerializeToString())
    lowered = RUNTIME.lower(model, load("x86-64-vnni"))
    kinds = [node.op_type for node in onnx.load_from_string(lowered.files[lowered.entry]).graph.node]
    assert ("Clip" in kinds) == is_kept
    x = np.random.default_rng(0).uniform(-3, 12, (1, 8, 6, 6)).astype(np.float32)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    wanted = _unoptimised(model, x)
    np.testing.assert_array_equal(executor.run({"x": x})["y"], wanted)


def _unoptimised(model, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.to_bytes(), options).run(None, {"x": x})[0]


def test_the_file_carries_no_traces_of_its_making():
    proto = onnx.load_from_string(quantized("Conv", "uint8").to_bytes())
    proto.producer_name, proto.doc_string = "exporter", "/home/somebody/model.py"
    proto.metadata_props.add(key="path", value="/home/somebody")
    for node in proto.graph.node:
        node.doc_string = "File /home/somebody/model.py, line 3"
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/somebody/model.py")
        node.metadata_props.add(key="edgewright.made_by", value="quantize")
    lowered = RUNTIME.lower(Model.from_bytes(proto.SerializeToString()), load("x86-64-vnni"))
    data = lowered.files[lowered.entry]
    assert b"somebody" not in data
    assert b"quantize" in data


def test_weights_alone_in_int8_are_widened_once():
    model = quantized("Conv", "uint8")
    proto = onnx.load_from_string(model.to_bytes())
    for node in list(proto.graph.node):
        if node.op_type == "QuantizeLinear" or node.input[0].startswith(("q", "r")):
            proto.graph.node.remove(node)
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    conv.input[0], conv.output[0] = "x0", "y0"
    lowered = RUNTIME.lower(Model.from_bytes(proto.SerializeToString()), load("x86-64-vnni"))
    assert b"DequantizeLinear" in lowered.files[lowered.entry]
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    kinds = {kind for _, kind, _ in RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 1)}
    assert "DequantizeLinear" not in kinds


VECTORS = """
<ir_version: 9, opset_import: ["" : 17]>
case (float[1,8,6,6] x) => (float[1,8,6,6] y)
<uint8[1] z = {110}, float[1] s = {0.05}>
{
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    e = DequantizeLinear(q, s, z)
    a = Add(d, e)
    p = QuantizeLinear(a, s, z)
    y = DequantizeLinear(p, s, z)
}
"""


def test_scales_that_are_vectors_of_one_do_not_keep_an_operator_in_float():
    model = Model.from_bytes(onnx.parser.parse_model(VECTORS).SerializeToString())
    assert {item.op_type: item.runs for item in RUNTIME.supports(model, load("x86-64-vnni"))}["Add"] == "int8"
    lowered = RUNTIME.lower(model, load("x86-64-vnni"))
    x = np.random.default_rng(0).standard_normal((1, 8, 6, 6)).astype(np.float32)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    assert np.abs(executor.run({"x": x})["y"] - _unoptimised(model, x)).max() <= 0.05 + 1e-6


def test_scalars_of_the_ir_stay_scalars():
    held = initializer("s", np.float32(0.5).reshape(()))
    assert held.const_value.numpy().shape == ()


def test_times_go_by_the_names_in_the_debug_map():
    lowered = RUNTIME.lower(quantized("Conv", "uint8"), load("x86-64-vnni"))
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    times = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 2)
    assert "operator" in {lowered.debug_map.get(name) for name, _, _ in times}


def test_times_of_float_convolutions_go_to_the_convolution():
    text = """
    <ir_version: 9, opset_import: ["" : 17]>
    case (float[1,8,6,6] x) => (float[1,16,6,6] y) <float[16,8,3,3] w>
    { c = Conv <pads = [1, 1, 1, 1]> (x, w) y = Relu(c) }
    """
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((16, 8, 3, 3), np.float32), "w"))
    for node in proto.graph.node:
        node.name = f"the {node.op_type}"
    lowered = RUNTIME.lower(Model.from_bytes(proto.SerializeToString()), load("x86-64-vnni"))
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    times = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 2)
    assert {lowered.debug_map.get(name) for name, kind, _ in times if "Conv" in kind} == {"the Conv"}


def test_too_many_threads_are_refused():
    lowered = RUNTIME.lower(quantized("Add", "uint8"), load("x86-64-vnni"))
    with pytest.raises(RuntimeFailure, match="threads"):
        RUNTIME.load(lowered.files, lowered.entry, 100_000)


def test_a_kernel_that_does_not_exist_is_named_with_its_operator():
    nodes = [helper.make_node("Cast", ["x"], ["a"], to=TensorProto.BOOL), helper.make_node("Relu", ["a"], ["y"], name="odd")]
    ports = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, [2])],
    )
    proto = helper.make_model(
        helper.make_graph(nodes, "case", *ports), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    with pytest.raises(LoweringError, match="the operator Relu 'odd'"):
        RUNTIME.lower(Model.from_bytes(proto.SerializeToString()), load("x86-64-vnni"))


def test_no_trace_is_left_after_timing_operators(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lowered = RUNTIME.lower(quantized("Add", "uint8"), load("x86-64-vnni"))
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    times = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 2)
    assert "QLinearAdd" in {kind for _, kind, _ in times}
    assert json.dumps(times)
    assert not list(tmp_path.iterdir())
