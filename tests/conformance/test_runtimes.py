"""One suite for every runtime: what runtimes/contract.py promises, case by case."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from edgewright.core.errors import LoweringError, RuntimeFailure
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.bench.batches import example_inputs
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")
RNG_SEED = 20240


def weights(*shape: int) -> np.ndarray:
    return (np.random.default_rng(RNG_SEED + sum(shape)).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(
        np.float32
    )


def graph(nodes, inputs, outputs, constants=None, opset=17) -> Model:
    """Model of nodes (op, inputs, outputs, attributes); inputs and outputs are name to shape, all float32."""
    made = [
        helper.make_node(op, list(ins), list(outs), name=f"{op}_{i}", **attrs) for i, (op, ins, outs, attrs) in enumerate(nodes)
    ]
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]
        for ports in (inputs, outputs)
    ]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    proto = helper.make_model(
        helper.make_graph(made, "case", *values, held), opset_imports=[helper.make_opsetid("", opset)], ir_version=9
    )
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


IMAGE = {"x": [1, 8, 10, 12]}


def conv(attributes, shape=(16, 8, 3, 3), out=(1, 16, 10, 12), op="Conv", image=IMAGE):
    return graph(
        [(op, ["x", "w", "b"], ["y"], attributes)],
        image,
        {"y": list(out)},
        {"w": weights(*shape), "b": weights(out[1])},
    )


def unary(op, out=None, shape=None, consts=None, **attributes):
    shape = shape or IMAGE["x"]
    return graph([(op, ["x", *(consts or {})], ["y"], attributes)], {"x": shape}, {"y": list(out or shape)}, consts)


def ints(*values):
    return np.array(values, np.int64)


FLOAT_CASES = {
    "conv": lambda: conv({"pads": [1, 1, 1, 1]}),
    "conv-stride": lambda: conv({"pads": [0, 0, 1, 1], "strides": [2, 2]}, out=(1, 16, 5, 6)),
    "conv-asymmetric-pads": lambda: conv({"pads": [2, 1, 0, 1]}),
    "conv-dilated": lambda: conv({"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    "conv-depthwise": lambda: conv({"pads": [1, 1, 1, 1], "group": 8}, (8, 1, 3, 3), (1, 8, 10, 12)),
    "conv-grouped": lambda: conv({"pads": [1, 1, 1, 1], "group": 2}, (16, 4, 3, 3)),
    "conv-1x1": lambda: conv({}, (16, 8, 1, 1)),
    "conv-1d": lambda: conv({"pads": [1, 1]}, (16, 8, 3), (1, 16, 20), image={"x": [1, 8, 20]}),
    "conv-transpose": lambda: conv({"strides": [2, 2]}, (8, 6, 2, 2), (1, 6, 20, 24), "ConvTranspose"),
    "gemm": lambda: graph(
        [("Gemm", ["x", "w", "b"], ["y"], {})], {"x": [1, 24]}, {"y": [1, 10]}, {"w": weights(24, 10), "b": weights(10)}
    ),
    "gemm-transposed": lambda: graph(
        [("Gemm", ["x", "w", "b"], ["y"], {"transB": 1})],
        {"x": [3, 24]},
        {"y": [3, 10]},
        {"w": weights(10, 24), "b": weights(10)},
    ),
    "matmul": lambda: graph([("MatMul", ["x", "w"], ["y"], {})], {"x": [1, 5, 24]}, {"y": [1, 5, 10]}, {"w": weights(24, 10)}),
    "max-pool": lambda: unary("MaxPool", [1, 8, 5, 6], kernel_shape=[2, 2], strides=[2, 2]),
    "max-pool-padded": lambda: unary("MaxPool", [1, 8, 5, 6], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "average-pool": lambda: unary("AveragePool", [1, 8, 5, 6], kernel_shape=[2, 2], strides=[2, 2]),
    "global-average-pool": lambda: unary("GlobalAveragePool", [1, 8, 1, 1]),
    "reduce-mean": lambda: unary("ReduceMean", [1, 8, 1, 1], axes=[2, 3], keepdims=1),
    "reduce-mean-squeezed": lambda: unary("ReduceMean", [1, 8], axes=[2, 3], keepdims=0),
    "relu": lambda: unary("Relu"),
    "clip": lambda: unary("Clip", consts={"low": np.float32(0), "high": np.float32(6)}),
    "leaky-relu": lambda: unary("LeakyRelu", alpha=0.1),
    "sigmoid": lambda: unary("Sigmoid"),
    "hard-sigmoid": lambda: unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard-swish": lambda: unary("HardSwish"),
    "tanh": lambda: unary("Tanh"),
    "softmax": lambda: unary("Softmax", shape=[2, 10]),
    "flatten": lambda: unary("Flatten", [1, 960]),
    "reshape": lambda: unary("Reshape", [1, 80, 12], consts={"to": ints(1, 80, 12)}),
    "transpose": lambda: unary("Transpose", [1, 10, 12, 8], perm=[0, 2, 3, 1]),
    "resize-nearest": lambda: unary(
        "Resize",
        [1, 8, 20, 24],
        consts={"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)},
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "add-broadcast": lambda: graph([("Add", ["x", "c"], ["y"], {})], IMAGE, {"y": IMAGE["x"]}, {"c": weights(8, 1, 1)}),
    "residual": lambda: graph(
        [
            ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
            ("Relu", ["a"], ["r"], {}),
            ("Add", ["x", "r"], ["s"], {}),
            ("Concat", ["s", "r"], ["y"], {"axis": 1}),
        ],
        IMAGE,
        {"y": [1, 16, 10, 12]},
        {"w": weights(8, 8, 3, 3)},
    ),
    "squeeze-and-excite": lambda: graph(
        [
            ("GlobalAveragePool", ["x"], ["p"], {}),
            ("Conv", ["p", "w"], ["a"], {}),
            ("Sigmoid", ["a"], ["g"], {}),
            ("Mul", ["x", "g"], ["y"], {}),
        ],
        IMAGE,
        {"y": IMAGE["x"]},
        {"w": weights(8, 8, 1, 1)},
    ),
    "two-inputs-two-outputs": lambda: graph(
        [("Mul", ["left", "right"], ["product"], {}), ("Add", ["left", "right"], ["sum"], {})],
        {"left": [1, 4], "right": [1, 4]},
        {"product": [1, 4], "sum": [1, 4]},
    ),
}


def reference(model: Model, inputs):
    """ONNX Runtime without any optimisation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in model.outputs]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_a_float_model_gives_the_reference_outputs_under_its_own_names(runtime, subtests):
    for name, make in FLOAT_CASES.items():
        with subtests.test(case=name):
            model = make()
            lowered = runtime.lower(model, PROFILE)
            executor = runtime.load(lowered.files, lowered.entry, 1)
            assert executor.inputs == model.inputs
            assert [spec.name for spec in executor.outputs] == [spec.name for spec in model.outputs]
            inputs = example_inputs(executor)
            wanted = reference(model, inputs)
            got = executor.run(inputs)
            assert list(got) == list(wanted)
            for output, value in wanted.items():
                assert got[output].dtype == value.dtype
                np.testing.assert_allclose(got[output], value, rtol=1e-4, atol=1e-4)
            executor.close()


def quantized_conv(scheme, depthwise=False):
    """(model, weights as integers, their scales, bias as integers, input and output scale and zero point)."""
    generator = np.random.default_rng(RNG_SEED)
    kind = np.dtype(scheme.activation)
    low = np.iinfo(kind).min
    x_scale, x_zero, y_scale, y_zero = np.float32(0.03), kind.type(low + 118), np.float32(0.05), kind.type(low)
    channels = 8
    w = generator.integers(-127, 128, (channels, 1 if depthwise else 8, 3, 3)).astype(np.int8)
    w_scale = (0.001 + 0.004 * generator.random(channels)).astype(np.float32)
    b = generator.integers(-2000, 2000, channels).astype(np.int32)
    constants = {
        "xs": x_scale,
        "xz": x_zero,
        "ys": y_scale,
        "yz": y_zero,
        "w": w,
        "ws": w_scale,
        "wz": np.zeros(channels, np.int8),
        "b": b,
        "bs": (w_scale * x_scale).astype(np.float32),
        "bz": np.zeros(channels, np.int32),
    }
    nodes = [
        ("QuantizeLinear", ["x", "xs", "xz"], ["xq"], {}),
        ("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], {}),
        ("DequantizeLinear", ["w", "ws", "wz"], ["wd"], {"axis": 0}),
        ("DequantizeLinear", ["b", "bs", "bz"], ["bd"], {"axis": 0}),
        ("Conv", ["xd", "wd", "bd"], ["c"], {"pads": [1, 1, 1, 1], "group": channels if depthwise else 1}),
        ("Relu", ["c"], ["r"], {}),
        ("QuantizeLinear", ["r", "ys", "yz"], ["yq"], {}),
        ("DequantizeLinear", ["yq", "ys", "yz"], ["y"], {}),
    ]
    return graph(nodes, IMAGE, {"y": IMAGE["x"]}, constants), constants


def integer_reference(constants, x, depthwise):
    """The convolution in exact integers: what every runtime must give within one step."""
    low, high = np.iinfo(constants["xz"].dtype).min, np.iinfo(constants["xz"].dtype).max
    q = np.clip(np.rint(x / constants["xs"]) + int(constants["xz"]), low, high).astype(np.int64) - int(constants["xz"])
    padded = np.pad(q, ((0, 0), (0, 0), (1, 1), (1, 1)))
    w = constants["w"].astype(np.int64)
    total = np.zeros((1, 8, *x.shape[2:]), np.int64) + constants["b"].astype(np.int64).reshape(1, -1, 1, 1)
    for row in range(3):
        for column in range(3):
            part = padded[:, :, row : row + x.shape[2], column : column + x.shape[3]]
            kernel = w[:, :, row, column]
            total += part * kernel.reshape(1, -1, 1, 1) if depthwise else np.einsum("nchw,oc->nohw", part, kernel)
    real = total * constants["bs"].astype(np.float64).reshape(1, -1, 1, 1)
    step = np.rint(np.maximum(real, 0) / constants["ys"])
    return np.clip(step, 0, high - int(constants["yz"]))


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_quantized_convolution_runs_in_integers_within_one_step_of_the_exact_sum(runtime, depthwise):
    model, constants = quantized_conv(runtime.scheme(PROFILE), depthwise)
    lowered = runtime.lower(model, PROFILE)
    executor = runtime.load(lowered.files, lowered.entry, 1)
    x = np.random.default_rng(1).standard_normal(IMAGE["x"]).astype(np.float32)
    steps = np.rint(executor.run({"x": x})["y"] / constants["ys"])
    difference = np.abs(steps - integer_reference(constants, x, depthwise))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.99
    runs = {item.op_type: item.runs for item in runtime.supports(model, PROFILE)}
    assert runs["Conv"] == runs["Relu"] == "int8"


def test_half_precision_weights_are_stored_in_half_the_bytes(runtime):
    def model(half):
        w = weights(64, 32, 3, 3)
        first = [("Cast", ["w"], ["wf"], {"to": TensorProto.FLOAT})] if half else []
        name = "wf" if half else "w"
        return graph(
            [*first, ("Conv", ["x", name], ["y"], {"pads": [1, 1, 1, 1]})],
            {"x": [1, 32, 6, 6]},
            {"y": [1, 64, 6, 6]},
            {"w": w.astype(np.float16) if half else w},
        )

    full, half = (runtime.lower(model(kind), PROFILE) for kind in (False, True))
    assert half.size_bytes < 0.6 * full.size_bytes
    outputs = []
    for lowered in (full, half):
        executor = runtime.load(lowered.files, lowered.entry, 1)
        outputs.append(executor.run(example_inputs(executor))["y"])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=5e-3, atol=5e-3)


def test_lowering_is_deterministic_and_leaves_the_model_alone(runtime):
    model = FLOAT_CASES["residual"]()
    before = model.digest()
    first = runtime.lower(model, PROFILE)
    runtime.lower(FLOAT_CASES["conv"](), PROFILE)
    second = runtime.lower(FLOAT_CASES["residual"](), PROFILE)
    assert dict(first.files) == dict(second.files)
    assert first.entry == second.entry
    assert first.debug_map == second.debug_map
    assert model.digest() == before


def test_the_debug_map_leads_to_nodes_of_the_model(runtime):
    model = FLOAT_CASES["residual"]()
    names = {node.name for node in model.graph}
    debug_map = runtime.lower(model, PROFILE).debug_map
    assert debug_map
    assert set(debug_map.values()) <= names


def test_every_node_gets_an_answer(runtime):
    model = FLOAT_CASES["squeeze-and-excite"]()
    answers = runtime.supports(model, PROFILE)
    assert [answer.op_type for answer in answers] == [node.op_type for node in model.graph]
    assert all(answer.runs == "float32" for answer in answers)


def loaded(runtime, threads=1):
    lowered = runtime.lower(FLOAT_CASES["conv"](), PROFILE)
    return lowered, runtime.load(lowered.files, lowered.entry, threads)


def test_loading_twice_and_with_two_threads_gives_the_same(runtime):
    lowered, first = loaded(runtime)
    second = runtime.load(lowered.files, lowered.entry, 1)
    third = runtime.load(lowered.files, lowered.entry, 2)
    inputs = example_inputs(first)
    wanted = first.run(inputs)["y"]
    assert np.array_equal(second.run(inputs)["y"], wanted)
    np.testing.assert_allclose(third.run(inputs)["y"], wanted, rtol=1e-5, atol=1e-5)


def test_outputs_stay_when_it_runs_again(runtime):
    _, executor = loaded(runtime)
    inputs = example_inputs(executor)
    first = executor.run(inputs)["y"]
    kept = first.copy()
    executor.run({"x": inputs["x"] * 2})
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: {}, "missing"),
        (lambda x: {"y": x}, "unknown model input|missing"),
        (lambda x: {"x": np.concatenate([x, x])}, "shape|takes"),
        (lambda x: {"x": x[:, :4]}, "shape|takes"),
        (lambda x: {"x": x.astype(np.float64)}, "float32"),
    ],
    ids=["missing", "unknown", "batch", "channels", "type"],
)
def test_wrong_inputs_are_refused_in_one_sentence(runtime, change, said):
    _, executor = loaded(runtime)
    with pytest.raises(RuntimeFailure, match=said) as caught:
        executor.run(change(example_inputs(executor)["x"]))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_closed_executor_says_so_and_closes_again(runtime):
    _, executor = loaded(runtime)
    inputs = example_inputs(executor)
    executor.close()
    executor.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        executor.run(inputs)


@pytest.mark.parametrize("threads", [0, -1])
def test_senseless_thread_counts_are_refused(runtime, threads):
    lowered, _ = loaded(runtime)
    with pytest.raises(RuntimeFailure, match="threads"):
        runtime.load(lowered.files, lowered.entry, threads)


@pytest.mark.parametrize("garbage", [b"", b"garbage", bytes(range(256)) * 8], ids=["empty", "text", "bytes"])
def test_a_file_that_is_no_model_is_refused(runtime, garbage):
    lowered, _ = loaded(runtime)
    with pytest.raises(RuntimeFailure):
        runtime.load(dict.fromkeys(lowered.files, garbage), lowered.entry, 1)


def test_a_cut_file_is_refused(runtime):
    lowered, _ = loaded(runtime)
    files = {**lowered.files, lowered.entry: lowered.files[lowered.entry][: len(lowered.files[lowered.entry]) // 2]}
    with pytest.raises(RuntimeFailure):
        runtime.load(files, lowered.entry, 1)


def test_an_entry_that_is_not_among_the_files_is_refused(runtime):
    lowered, _ = loaded(runtime)
    with pytest.raises(RuntimeFailure, match=r"model file|missing"):
        runtime.load(lowered.files, "other", 1)


def test_an_operator_that_no_runtime_has_is_named(runtime):
    assert {item.op_type: item.runs for item in runtime.supports(unknown_operator(), PROFILE)}["Nonsense"] == "no"
    with pytest.raises(LoweringError, match="Nonsense"):
        runtime.lower(unknown_operator(), PROFILE)


def unknown_operator() -> Model:
    node = helper.make_node("Nonsense", ["x"], ["y"], name="odd", domain="nowhere")
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])] for name in ("x", "y")]
    proto = helper.make_model(
        helper.make_graph([node], "case", *ports),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)],
        ir_version=9,
    )
    return Model.from_bytes(proto.SerializeToString())


def test_operators_are_timed_under_names_of_the_file(runtime):
    lowered, executor = loaded(runtime)
    times = runtime.profile_operators(lowered.files, lowered.entry, 1, example_inputs(executor), 3)
    assert times
    for name, kind, microseconds in times:
        assert name
        assert kind
        assert microseconds >= 0


def test_its_version_is_a_number(runtime):
    assert re.search(r"\d+\.\d+", runtime.version())
    assert runtime.name in registry.NAMES
