"""int4 weights: which layers get them, what the integers are, and how the model holds them."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
import pytest
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.moments import Moments
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import PassError
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.ir.rewrites.widen import WidenWeights
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.quantize.bits import bits_by_layer, largest_integer, stored_type, weights_by_layer
from edgewright.optimizer.quantize.integers import quantize_weights
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.optimizer.quantize.rounding import Rounder, best_scales, compensated
from edgewright.runtimes import registry
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(8)
X = RNG.normal(size=(64, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    """stem -> (left | tiny right) -> Add -> pool -> two heads."""
    weights = {
        "w_stem": RNG.normal(0, 0.4, (8, 3, 3, 3)),
        "b_stem": RNG.normal(0, 0.2, 8),
        "w_left": RNG.normal(0, 0.3, (8, 8, 3, 3)),
        "b_left": RNG.normal(0, 0.2, 8),
        "w_tiny": RNG.normal(0, 0.3, (8, 1, 1, 1)),
        "b_tiny": RNG.normal(0, 0.2, 8),
        "w_one": RNG.normal(0, 0.5, (12, 8)),
        "b_one": RNG.normal(0, 0.2, 12),
        "w_two": RNG.normal(0, 0.5, (8, 9)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w_stem", "b_stem"], ["stem"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["stem"], ["r"]),
        helper.make_node("Conv", ["r", "w_left", "b_left"], ["left"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["r", "w_tiny", "b_tiny"], ["tiny"], group=8),
        helper.make_node("Add", ["left", "tiny"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w_one", "b_one"], ["one"], transB=1),
        helper.make_node("MatMul", ["f", "w_two"], ["two"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [
            helper.make_tensor_value_info("one", TensorProto.FLOAT, [1, 12]),
            helper.make_tensor_value_info("two", TensorProto.FLOAT, [1, 9]),
        ],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


@pytest.fixture(scope="module")
def needs(model: Model) -> dict[str, QuantizeNeeds]:
    data = bind(open_dataset({"x": X}), model.inputs)
    found = collect(model, Split("calib", data, tuple(range(64))), channel_means=["x", "r", "f"])
    profile = load("x86-64-vnni")
    return {name: QuantizeNeeds(registry.get(name).scheme(profile), found) for name in registry.NAMES}


def types(model: Model) -> dict[str, str]:
    return {name.removesuffix("/weights"): str(a.dtype) for name, a in model.weights().items() if name.endswith("/weights")}


def test_ends_and_tiny_weights_stay_in_8_bits(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    weights = weights_by_layer(model, needs["litert"].scheme)
    assert list(weights) == ["stem", "left", "tiny", "one", "two"]
    assert bits_by_layer(model, weights, 4, 8) == {"stem": 8, "left": 4, "tiny": 8, "one": 8, "two": 8}
    assert bits_by_layer(model, weights, 4, 4) == {"stem": 4, "left": 4, "tiny": 8, "one": 4, "two": 4}
    assert set(bits_by_layer(model, weights, 8, 4).values()) == {8}


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_the_model_holds_int4_where_asked_and_nothing_else_changes(
    model: Model, needs: dict[str, QuantizeNeeds], runtime: str
) -> None:
    made = Quantize(bits=4, ends=4).run(model, needs[runtime]).model
    assert types(made) == {"stem": "int4", "left": "int4", "tiny": "int8", "one": "int4", "two": "int4"}
    assert types(Quantize(bits=4).run(model, needs[runtime]).model)["stem"] == "int8"
    eight = Quantize().run(model, needs[runtime]).model
    assert [node.op_type for node in made.graph] == [node.op_type for node in eight.graph]
    assert {name: str(array) for name, array in made.weights().items() if name.startswith("x/")} == {
        name: str(array) for name, array in eight.weights().items() if name.startswith("x/")
    }
    for name, array in made.weights().items():
        if str(array.dtype) == "int4" and name.endswith("/weights"):
            assert array.astype(int).min() >= -7


def test_int4_survives_the_file_and_packs_two_to_a_byte(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    made = Quantize(bits=4, ends=4).run(model, needs["litert"]).model
    again = Model.from_bytes(made.to_bytes())
    for name, array in made.weights().items():
        assert np.array_equal(again.weights()[name], array)
        assert again.weights()[name].dtype == array.dtype
    tensor = again.graph.initializers["left/weights"].const_value
    assert tensor is not None
    assert tensor.nbytes == 8 * 8 * 9 // 2


@pytest.mark.parametrize("ends", [4, 8])
def test_weights_only(model: Model, needs: dict[str, QuantizeNeeds], ends: int) -> None:
    made = parse(f"quantize{{mode=weight-only,bits=4,ends={ends}}}").run(model, {QuantizeNeeds: needs["litert"]})[0]
    kinds = types(made)
    assert kinds == {"stem": f"int{ends}", "left": "int4", "one": f"int{ends}", "two": f"int{ends}"}


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_weights_only_with_one_scale_a_layer_run_as_what_they_stand_for(
    model: Model, needs: dict[str, QuantizeNeeds], runtime: str
) -> None:
    made = Quantize(mode="weight-only", bits=4, ends=4, granularity="tensor").run(model, needs[runtime]).model
    assert made.weights()["left/scale"].shape == ()
    profile = load("x86-64-vnni")
    answers = []
    for item in (made, WidenWeights().run(made).model):
        lowered = registry.get(runtime).lower(item, profile)
        executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
        answers.append([executor.run({"x": row[None]})["one"] for row in X[:8]])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["max", "mse"]), st.booleans(), st.booleans())
def test_4_bit_integers_stay_in_range_and_near(seed: int, method: str, per_channel: bool, saturating: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, rng.uniform(1e-3, 10), (5, 3, 2, 2)).astype(np.float32)
    found = quantize_weights(
        weights,
        0,
        "int8",
        method=method,  # type: ignore[arg-type]
        per_channel=per_channel,
        saturating_pairs=saturating,
        limit=7,
    )
    assert np.abs(found.values).max() <= 7
    largest = np.abs(weights.reshape(5, -1)).max(axis=1) if per_channel else np.abs(weights).max()
    # An integer is off by half a step where it is not clipped; a clipped one by less than the weight itself.
    error = np.abs(found.dequantize() - weights)
    assert (error <= np.maximum(found.scales.max() / 2, largest.max() - 7 * found.scales.min()) * (1 + 1e-6)).all()
    if method == "mse" and per_channel:
        plain = quantize_weights(weights, 0, "int8", method="max", limit=7)
        assert ((found.dequantize() - weights) ** 2).sum() <= ((plain.dequantize() - weights) ** 2).sum() * (1 + 1e-6)


def test_compensated_rounding_to_4_bits_gives_the_smaller_output_error() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(4000, 24)) @ rng.normal(size=(24, 24)) + 0.5
    weights = rng.normal(0, 0.3, (10, 24)).astype(np.float32)
    moments = Moments(inputs.mean(axis=0)[None], np.cov(inputs.T, bias=True)[None])
    nearest = quantize_weights(weights, 0, "int8", limit=7)
    better = quantize_weights(
        weights, 0, "int8", limit=7, rounding=lambda rows, scales, limit: compensated(rows, scales, moments, limit)
    )
    assert np.array_equal(nearest.scales, better.scales)
    assert np.abs(better.values).max() <= 7

    def error(found: np.ndarray) -> float:
        made = (inputs - inputs.mean(axis=0)) @ (found - weights).T
        return float((made**2).mean())

    assert error(better.dequantize()) < 0.75 * error(nearest.dequantize())


def test_scales_are_chosen_by_the_error_of_the_output() -> None:
    rng = np.random.default_rng(6)
    weights = rng.normal(0, 0.1, (6, 300)).astype(np.float32)
    weights[:, 0] = 0.6  # clipped by the least error in the weights, and what the largest input is multiplied by
    inputs = rng.normal(size=(4000, 300)) * np.where(np.arange(300) == 0, 20, 1)
    moments = Moments(inputs.mean(axis=0)[None], np.cov(inputs.T, bias=True)[None])
    rounder = Rounder({"layer": moments})
    made = [
        quantize_weights(weights, 0, "int8", limit=7, rounding=partial(rounder.round, "layer"), choose=choose)
        for choose in (None, partial(rounder.scales, "layer"))
    ]

    def error(found: np.ndarray) -> float:
        return float((((inputs - inputs.mean(axis=0)) @ (found - weights).T) ** 2).mean())

    assert made[0].scales.max() < 0.9 * 0.6 / 7
    assert error(made[1].dequantize()) < 0.5 * error(made[0].dequantize())
    # No scale that was tried is better for any output.
    for part in (1.0, 0.86, 0.65, 0.5):
        scales = (np.abs(weights).max(axis=1) * np.float32(part / 7)).astype(np.float32)
        other = compensated(weights, scales, moments, 7) * scales[:, None]
        assert error(made[1].dequantize()) <= error(other) * (1 + 1e-6)
    assert rounder.scales("other", weights, 7) is None
    assert rounder.scales("layer", weights[:, :5], 7) is None


def test_scales_of_grouped_layers_are_each_outputs_own() -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(6, 9)).astype(np.float32)
    inputs = rng.normal(size=(3, 500, 9))
    moments = Moments(inputs.mean(axis=1), np.stack([np.cov(part.T, bias=True) for part in inputs]))
    together = best_scales(rows, moments, 7)
    for group in range(3):
        alone = Moments(moments.mean[group : group + 1], moments.covariance[group : group + 1])
        assert np.array_equal(best_scales(rows[2 * group : 2 * group + 2], alone, 7), together[2 * group : 2 * group + 2])


def test_limits_and_refusals() -> None:
    assert (largest_integer(8), largest_integer(4)) == (127, 7)
    assert stored_type("uint8", 8) == np.uint8
    with pytest.raises(PassError, match="signed"):
        stored_type("uint8", 4)
    with pytest.raises(PassError, match=r"'bits'.*3"):
        parse("quantize{bits=3}")
