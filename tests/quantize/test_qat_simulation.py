"""What is trained computes what the kernels compute, and what is written back is what was trained."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.optimizer.quantize.quantize import Quantize
from edgewright.runtimes import registry
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from quantize.qat_model import Bench, network, tensors

torch = pytest.importorskip("torch")

from edgewright.optimizer.quantize.qat.fake import fake_quantize  # noqa: E402
from edgewright.optimizer.quantize.qat.simulation import Simulation, simulate  # noqa: E402
from edgewright.optimizer.quantize.qat.write import written  # noqa: E402

OPTIONS = {
    "int8": Quantize(),
    "int4": Quantize(bits=4, ends=4),
    "one scale": Quantize(granularity="tensor"),
    "a layer in float": Quantize(keep_float=("c2",)),
}
AVX2, VNNI = "x86-64-avx2", "x86-64-vnni"


@cache
def bench() -> Bench:
    return Bench(network())


@cache
def simulated(runtime: str, options: str, profile: str = VNNI) -> tuple[Model, Simulation]:
    """A quantized model and its simulation, disturbed as training might: every weight, bias and scale."""
    quantized, plan, scheme = bench().planned(runtime, profile, OPTIONS[options])
    simulation = simulate(bench().base, quantized, plan, scheme)
    torch.manual_seed(0)
    with torch.no_grad():
        for module in (simulation.module, *simulation.parts().values()):
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return quantized, simulation


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("runtime", "profile"), [("onnxruntime", AVX2), ("openvino", VNNI), ("litert", VNNI)])
def test_before_training_every_integer_is_the_one_that_calibration_chose(runtime: str, profile: str, options: str) -> None:
    quantized, plan, scheme = bench().planned(runtime, profile, OPTIONS[options])
    simulation = simulate(bench().base, quantized, plan, scheme, remembers_swings=True)
    assert written(quantized, simulation).to_bytes() == quantized.to_bytes()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("profile", [VNNI, AVX2])
def test_every_tensor_in_the_integer_kernels_is_the_simulated_one(options: str, profile: str) -> None:
    quantized, simulation = simulated("onnxruntime", options, profile)
    x = bench().x[:16]
    kernels = tensors(written(quantized, simulation), x)
    with torch.no_grad():
        values = simulation.module({"x": torch.from_numpy(x)}, keep=list(kernels))
    for name, integers in kernels.items():
        quantizer = simulation.activations[simulation.groups[name.removesuffix("/quantized")]]
        difference = np.abs(quantizer.integers(values[name]).numpy() - integers.astype(np.int32))
        assert difference.max() <= 1, name
        assert (difference == 0).mean() > 0.99, name


@pytest.mark.parametrize("options", ["int8", "int4", "one scale"])
@pytest.mark.parametrize("runtime", registry.NAMES)
def test_the_lowered_file_answers_as_the_simulation(runtime: str, options: str) -> None:
    quantized, simulation = simulated(runtime, options)
    lowered = registry.get(runtime).lower(written(quantized, simulation), load(VNNI))
    executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
    x = bench().x[:32]
    answers = np.concatenate([executor.run({"x": row[None]})["y"] for row in x])
    with torch.no_grad():
        wanted = simulation.module({"x": torch.from_numpy(x)})["y"].numpy()
    plain = np.concatenate([reference(bench().base, row) for row in x])
    assert np.abs(answers - wanted).max() < (0.02 if runtime == "openvino" else 0.005)
    assert np.abs(answers - plain).max() > 0.02  # it is not the float model that both answer like


def reference(model: Model, row: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": row[None]})[0])


def test_pairs_of_products_cannot_saturate_whatever_training_does() -> None:
    quantized, simulation = simulated("onnxruntime", "int8", AVX2)
    arrays = written(quantized, simulation).weights()
    for name in simulation.layers:
        integers = arrays[f"{name}/weights"].astype(np.int64)
        rows = integers.T if name in ("l",) else integers.reshape(len(integers), -1)
        for sign in (1, -1):
            assert (255 * np.sort(np.maximum(sign * rows, 0), axis=1)[:, -2:].sum(axis=1) <= 2**15 - 1).all()


def test_weights_are_held_only_where_that_can_break_no_pair() -> None:
    for options, expected in (("int8", 0), ("int4", 4)):
        quantized, plan, scheme = bench().planned("onnxruntime", AVX2, OPTIONS[options])
        assert len(simulate(bench().base, quantized, plan, scheme, remembers_swings=True).swings) == expected


def test_a_bias_that_would_overflow_raises_its_channel_scale() -> None:
    quantized, plan, scheme = bench().planned("litert", VNNI, OPTIONS["int8"])
    simulation = simulate(bench().base, quantized, plan, scheme)
    with torch.no_grad():
        simulation.module.tensor("c1/bias")[2] = 1e9
    arrays = written(quantized, simulation).weights()
    before = quantized.weights()["c1/weights/scale"]
    assert arrays["c1/weights/scale"][2] > 2 * before[2]
    np.testing.assert_array_equal(np.delete(arrays["c1/weights/scale"], 2), np.delete(before, 2))
    bias = arrays["c1/bias"].astype(np.float64) * arrays["c1/bias/scale"]
    assert bias[2] == pytest.approx(float(simulation.bias("c1").detach()[2]), rel=1e-4)


def test_scales_that_kernels_demand_and_zero_points_stay() -> None:
    quantized, simulation = simulated("litert", "int8")
    before, after = quantized.weights(), written(quantized, simulation).weights()
    assert {name for name, array in before.items() if array.tobytes() != after[name].tobytes()} >= {"x/scale", "c1/weights"}
    for name, array in before.items():
        if name.endswith("/zero"):
            np.testing.assert_array_equal(array, after[name])
    assert simulation.groups["p"] == simulation.groups["t"]  # MaxPool keeps the scale of what it reads


def quantize_model(dtype: int) -> bytes:
    """x -> QuantizeLinear -> DequantizeLinear -> y, scale and zero point inputs."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
        helper.make_tensor_value_info("zero", dtype, []),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(proto.SerializeToString())


@cache
def quantize_session(dtype: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(quantize_model(dtype), options, providers=["CPUExecutionProvider"])


@given(
    st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=40),
    st.floats(2**-8, 4, width=32),
    st.booleans(),
    st.integers(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_fake_quantization_is_quantize_and_dequantize_to_the_bit(
    numbers: list[float], scale: float, is_signed: bool, place: int
) -> None:
    x = np.array(numbers, np.float32)
    limits = np.iinfo(np.int8 if is_signed else np.uint8)
    zero = np.array(int(limits.min) + place, limits.dtype)
    session = quantize_session(TensorProto.INT8 if is_signed else TensorProto.UINT8)
    wanted = session.run(None, {"x": x, "scale": np.array(scale, np.float32), "zero": zero})[0]
    made = fake_quantize(torch.from_numpy(x), torch.tensor([scale]), int(limits.min) - int(zero), int(limits.max) - int(zero))
    np.testing.assert_array_equal(made.numpy(), wanted)


def test_gradients_are_those_of_lsq() -> None:
    x = torch.tensor([-9.0, -0.3, 0.2, 0.74, 3.1, 50.0], requires_grad=True)
    scale = torch.tensor([0.5], requires_grad=True)
    made = fake_quantize(x, scale, -4, 7)
    np.testing.assert_allclose(made.detach().numpy(), [-2.0, -0.5, 0.0, 0.5, 3.0, 3.5])
    upstream = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    made.backward(upstream)
    np.testing.assert_allclose(x.grad.numpy(), [0, 2, 4, 8, 16, 0])
    # Equation 3: -Qn, the rounding error in steps, or Qp.
    by_scale = [-4, -1 + 0.6, 0 - 0.4, 1 - 1.48, 6 - 6.2, 7]
    assert scale.grad.item() == pytest.approx(float(np.dot(by_scale, upstream.numpy())), rel=1e-5)
