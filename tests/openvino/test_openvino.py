"""What is OpenVINO's alone: which layers run in I8, the names in its files, its precision, and oneDNN's switch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.core.errors import RuntimeFailure
from edgewright.device_profiles import host
from edgewright.device_profiles.detect import host_cpu
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes.bench.batches import example_inputs
from edgewright.runtimes.location import Here
from edgewright.runtimes.openvino.runtime import RUNTIME
from edgewright.runtimes.openvino.scheme import OPERATORS
from edgewright.runtimes.qdq import join_pairs, prepare
from edgewright.runtimes.remote import RemoteExecutor
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass

PROFILE = load("x86-64-vnni")


class Builder:
    """A quantized network, operator by operator, with u8 activations and s8 weights per channel."""

    def __init__(self, shape):
        self.nodes, self.tensors, self.count = [], [], 0
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.generator = np.random.default_rng(7)

    def constant(self, array, name=None):
        self.count += 1
        name = name or f"k{self.count}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op_type, inputs, name=None, **attributes):
        self.count += 1
        result = f"v{self.count}"
        self.nodes.append(helper.make_node(op_type, inputs, [result], name=name or f"n{self.count}", **attributes))
        return result

    def quantized(self, value, scale=0.03, zero=110):
        pair = [self.constant(np.float32(scale)), self.constant(np.uint8(zero))]
        return self.op("DequantizeLinear", [self.op("QuantizeLinear", [value, *pair]), *pair])

    def weights(self, shape, axis):
        w = self.generator.integers(-100, 100, shape).astype(np.int8)
        scale = (0.001 + 0.002 * self.generator.random(shape[axis])).astype(np.float32)
        names = [self.constant(w), self.constant(scale), self.constant(np.zeros(shape[axis], np.int8))]
        return self.op("DequantizeLinear", names, axis=axis)

    def conv(self, value, name, shape=(16, 16, 3, 3), **attributes):
        return self.op("Conv", [value, self.weights(shape, 0)], name, pads=[shape[-1] // 2] * 4, **attributes)

    def model(self, *outputs):
        for index, value in enumerate(outputs):
            self.nodes.append(helper.make_node("Identity", [value], [f"y{index}"], name=f"out{index}"))
        values = [helper.make_tensor_value_info(f"y{index}", TensorProto.FLOAT, None) for index in range(len(outputs))]
        made = helper.make_graph(self.nodes, "case", self.inputs, values, self.tensors)
        proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def network() -> Model:
    """Every operator of the scheme behind a convolution, as it stands in real networks."""
    b = Builder([1, 16, 16, 16])
    x = b.quantized("x")
    first = b.quantized(b.op("Relu", [b.conv(x, "Conv:plain")], "Relu"), 0.02, 0)
    depthwise = b.quantized(b.op("Relu", [b.conv(first, "Conv:depthwise", (16, 1, 3, 3), group=16)]), 0.02, 0)
    pointwise = b.quantized(b.conv(depthwise, "Conv:pointwise", (16, 16, 1, 1)), 0.02)
    added = b.quantized(b.op("Add", [first, pointwise], "Add"))
    joined = b.quantized(b.op("Concat", [added, b.quantized(b.conv(added, "Conv:branch"))], "Concat", axis=1))
    pooled = b.quantized(b.op("MaxPool", [joined], "MaxPool", kernel_shape=[2, 2], strides=[2, 2]))
    averaged = b.quantized(b.op("AveragePool", [pooled], "AveragePool", kernel_shape=[2, 2], strides=[2, 2]), 0.02)
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    resized = b.quantized(b.op("Resize", [averaged, "", scales], "Resize", mode="nearest"), 0.02)
    last = b.quantized(b.conv(resized, "Conv:last", (16, 32, 3, 3)), 0.02)
    mean = b.quantized(b.op("GlobalAveragePool", [last], "GlobalAveragePool"), 0.02)
    flat = b.quantized(b.op("Flatten", [mean], "Flatten"), 0.02)
    result = b.op("Gemm", [flat, b.weights((16, 10), 1)], "Gemm")
    return b.model(b.op("Softmax", [result], "Softmax"))


def test_the_scheme_s_operators_run_in_integers_in_a_network():
    answers = {item.node: item.runs for item in RUNTIME.supports(network(), PROFILE)}
    wanted = {name for name in answers if name.split(":")[0] in OPERATORS}
    assert {name.split(":")[0] for name in wanted} >= {
        "Conv",
        "Add",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "Gemm",
        "Resize",
    }
    assert {name: answers[name] for name in wanted} == dict.fromkeys(wanted, "int8")
    assert answers["Relu"] == "int8"
    assert answers["Softmax"] == "float32"


MOVES = {
    "Reshape": ([np.array([1, 4, 64, 16], np.int64)], {}),
    "Transpose": ([], {"perm": [0, 2, 3, 1]}),
    "Flatten": ([], {}),
    "Slice": ([np.array([0], np.int64), np.array([8], np.int64), np.array([1], np.int64)], {}),
    "Gather": ([np.array([0, 3], np.int64)], {"axis": 1}),
    "DepthToSpace": ([], {"blocksize": 2}),
    "MaxPool": ([], {"kernel_shape": [2, 2]}),
}


@pytest.mark.parametrize("op_type", sorted(MOVES))
def test_what_only_moves_values_moves_integers(op_type):
    constants, attributes = MOVES[op_type]
    b = Builder([1, 16, 16, 16])
    first = b.quantized(b.conv(b.quantized("x"), "Conv"))
    moved = b.quantized(b.op(op_type, [first, *map(b.constant, constants)], "moved", **attributes))
    answers = {item.node: item.runs for item in RUNTIME.supports(b.model(moved), PROFILE)}
    assert answers["moved"] == "int8"


def test_joining_repeated_scales_changes_no_number():
    model = network()
    joined = join_pairs(prepare(model))
    RemoveUnusedNodesPass()(joined.ir)
    before, after = (sum(node.op_type == "QuantizeLinear" for node in item.graph) for item in (model, joined))
    assert after == before - 3
    x = np.random.default_rng(0).standard_normal((1, 16, 16, 16)).astype(np.float32)
    assert np.array_equal(*(_onnxruntime(item, x) for item in (model, joined)))


def _onnxruntime(model, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.to_bytes(), options).run(None, {"x": x})[0]


def test_generated_names_do_not_depend_on_what_was_converted_before():
    first = RUNTIME.lower(network(), PROFILE)
    RUNTIME.supports(network(), PROFILE)
    assert dict(RUNTIME.lower(network(), PROFILE).files) == dict(first.files)


def test_weights_lie_in_the_file_as_the_integers_that_they_are():
    model = network()
    lowered = RUNTIME.lower(model, PROFILE)
    weights = [array for array in model.weights().values() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) == 5
    assert all(array.tobytes() in lowered.files["model.bin"] for array in weights)
    scales = sum(array.nbytes for array in model.weights().values() if array.dtype == np.float32)
    integers = sum(array.nbytes for array in model.weights().values() if array.dtype == np.int8)
    assert len(lowered.files["model.bin"]) < 1.1 * (scales + integers)


def test_float16_weights_stay_float16_in_the_file():
    b = Builder([1, 16, 8, 8])
    w = b.generator.standard_normal((16, 16, 3, 3)).astype(np.float16)
    bias = b.generator.standard_normal(16).astype(np.float16)
    wide = [b.op("Cast", [b.constant(array)], to=TensorProto.FLOAT) for array in (w, bias)]
    lowered = RUNTIME.lower(b.model(b.op("Conv", ["x", *wide])), PROFILE)
    assert len(lowered.files["model.bin"]) < 1.1 * (w.nbytes + bias.nbytes)


def test_folding_makes_the_file_smaller_and_the_answers_no_worse(monkeypatch):
    model = network()
    folded = RUNTIME.lower(model, PROFILE)
    monkeypatch.setattr("edgewright.runtimes.openvino.lower._fold", lambda converted: None)
    plain = RUNTIME.lower(model, PROFILE)
    assert len(folded.files["model.xml"]) < 0.6 * len(plain.files["model.xml"])
    executors = [RUNTIME.load(item.files, item.entry, 1) for item in (plain, folded)]
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(10):
        x = generator.standard_normal((1, 16, 16, 16)).astype(np.float32)
        exact = _onnxruntime(model, x)
        errors.append([np.abs(executor.run({"x": x})["y0"] - exact).max() for executor in executors])
    before, after = np.mean(errors, axis=0)
    assert after <= 1.1 * before + 1e-6


def test_the_file_names_no_folder():
    lowered = RUNTIME.lower(network(), PROFILE)
    assert b"/tmp" not in lowered.files["model.xml"]
    assert set(lowered.files) == {"model.xml", "model.bin"}


def test_two_outputs_of_one_tensor_keep_their_names():
    b = Builder([1, 4])
    value = b.op("Relu", ["x"])
    lowered = RUNTIME.lower(b.model(value, value), PROFILE)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    assert [spec.name for spec in executor.outputs] == ["y0", "y1"]


def test_arithmetic_is_float32_even_where_the_cpu_has_bf16():
    b = Builder([1, 64, 16, 16])
    w = b.constant(b.generator.standard_normal((64, 64, 3, 3)).astype(np.float32) / 24)
    lowered = RUNTIME.lower(b.model(b.op("Conv", ["x", w])), PROFILE)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    assert "32" in str(executor.compiled.get_property("INFERENCE_PRECISION_HINT"))
    assert executor.compiled.get_property("NUM_STREAMS") == 1
    assert executor.compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_weights_that_are_missing_or_short_are_refused():
    lowered = RUNTIME.lower(network(), PROFILE)
    for weights in ({}, {"model.bin": lowered.files["model.bin"][:100]}):
        with pytest.raises(RuntimeFailure):
            RUNTIME.load({"model.xml": lowered.files["model.xml"], **weights}, "model.xml", 1)


def test_too_many_threads_are_refused():
    lowered = RUNTIME.lower(network(), PROFILE)
    with pytest.raises(RuntimeFailure, match="threads"):
        RUNTIME.load(lowered.files, lowered.entry, 100_000)


def test_operators_are_timed():
    lowered = RUNTIME.lower(network(), PROFILE)
    executor = RUNTIME.load(lowered.files, lowered.entry, 1)
    times = RUNTIME.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 2)
    kinds = {kind for _, kind, _ in times}
    assert "Convolution" in kinds
    assert "Constant" not in kinds


def extreme(weight: int) -> Model:
    """A 1x1 convolution of 64 channels, all weights the same, input and output scale 1."""
    tensors = {
        "one": np.float32(1),
        "zero": np.uint8(0),
        "w": np.full((64, 64, 1, 1), weight, np.int8),
        "ws": np.full(64, 1.0, np.float32),
        "wz": np.zeros(64, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["d", "wd"], ["y"], name="conv"),
    ]
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, 8, 8])] for name in ("x", "y")]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    proto = helper.make_model(
        helper.make_graph(nodes, "case", *ports, held), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    return Model.from_bytes(proto.SerializeToString())


@pytest.mark.skipif(
    not host.limits(load("x86-64-avx2"), "openvino"), reason="this CPU has no more than AVX2, or no AVX2: nothing to limit"
)
@pytest.mark.parametrize(("weight", "saturates"), [(127, True), (64, False)])
def test_onednn_s_switch_puts_the_saturating_kernels_of_avx2_to_work(weight, saturates):
    limit = host.limits(load("x86-64-avx2"), "openvino", host_cpu())
    lowered = RUNTIME.lower(extreme(weight), PROFILE)
    x = {"x": np.full((1, 64, 8, 8), 255, np.float32)}
    exact = 64 * 255 * weight
    for environment, is_exact in (({}, True), (limit, not saturates)):
        with RemoteExecutor("openvino", 1, Here(environment)) as executor:
            found = executor.load(lowered.files, lowered.entry).run(x)["y"].reshape(-1)[0]
        assert (abs(found - exact) <= 1e-3 * exact) == is_exact
