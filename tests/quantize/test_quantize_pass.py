"""The passes before and after, and their numbers in the real runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.moments import collect_moments
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import PassError
from edgewright.device_profiles.loader import load
from edgewright.ir.model import MADE_BY, Model
from edgewright.ir.rewrites.widen import WidenWeights
from edgewright.ir.verify import operators
from edgewright.optimizer.passes.float16 import StoreFloat16
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from edgewright.optimizer.quantize.rounding import Rounder
from edgewright.runtimes import registry
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
X = RNG.normal(size=(64, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    """Conv, Relu, grouped Conv, Add, GlobalAveragePool, Flatten, Gemm, Softmax."""
    weights = {
        "w1": RNG.normal(0, 0.4, (8, 3, 3, 3)),
        "b1": RNG.normal(0, 0.2, 8),
        "w2": RNG.normal(0, 0.4, (8, 1, 3, 3)),
        "b2": RNG.normal(0, 0.2, 8),
        "w3": RNG.normal(0, 0.5, (5, 8)),
        "b3": RNG.normal(0, 0.2, (1, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("Add", ["r1", "c2"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["l"], transB=1),
        helper.make_node("Softmax", ["l"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


@pytest.fixture(scope="module")
def needs(model: Model) -> dict[str, QuantizeNeeds]:
    data = bind(open_dataset({"x": X}), model.inputs)
    found = collect(model, Split("calib", data, tuple(range(64))), channel_means=["x", "r1", "f"])
    profile = load("x86-64-vnni")
    return {name: QuantizeNeeds(registry.get(name).scheme(profile), found) for name in registry.NAMES}


def run(model: Model) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": row[None]})[0] for row in X[:32]])


def layer_outputs(model: Model, name: str) -> np.ndarray:
    """What the layer `name` gives for all samples."""
    shown = model.clone()
    shown.graph.outputs.append(next(node.outputs[0] for node in shown.graph if node.outputs[0].name == name))
    session = onnxruntime.InferenceSession(shown.to_bytes(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([name], {"x": row[None]})[0] for row in X])


@pytest.mark.parametrize("runtime", registry.NAMES)
@pytest.mark.parametrize("ranges", ["min-max", "percentile", "mse", "entropy"])
def test_int8_answers_stay_close(model: Model, needs: dict[str, QuantizeNeeds], runtime: str, ranges: Any) -> None:
    result = Quantize(ranges=ranges).run(model, needs[runtime])
    assert result.changed
    difference = np.abs(run(result.model) - run(model))
    assert difference.max() < (0.08 if ranges == "entropy" else 0.03)


def test_every_weighted_node_is_wrapped_and_explained(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    result = Quantize().run(model, needs["litert"]).model
    kinds = operators(result)
    assert kinds["Conv"] == 2
    for node in result.graph:
        if node.op_type in ("Conv", "Gemm"):
            makers = [value.producer() for value in node.inputs if value is not None]
            assert [maker.op_type for maker in makers if maker is not None] == ["DequantizeLinear"] * 3
        if "QuantizeLinear" in node.op_type or node.op_type == "DequantizeLinear":
            assert node.metadata_props[MADE_BY] == "quantize"
    dtypes = {str(array.dtype) for name, array in result.weights().items() if name.endswith(("/weights", "/bias"))}
    assert dtypes == {"int8", "int32"}


def test_the_input_model_is_not_changed(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    before = model.digest()
    Quantize().run(model, needs["onnxruntime"])
    StoreFloat16().run(model)
    Quantize(mode="weight-only").run(model, needs["onnxruntime"])
    assert model.digest() == before


def test_bias_correction_takes_the_mean_error_out(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    reference = run(model).mean(axis=0)
    errors = [
        float(np.abs(run(Quantize(correct_bias=on).run(model, needs["litert"]).model).mean(axis=0) - reference).sum())
        for on in (True, False)
    ]
    assert errors[0] <= errors[1] * 1.5 + 1e-3


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_one_weight_scale_a_layer_where_asked(model: Model, needs: dict[str, QuantizeNeeds], runtime: str) -> None:
    profile = load("x86-64-vnni")
    result = Quantize(granularity="tensor").run(model, needs[runtime]).model
    scales = {name: array.shape for name, array in result.weights().items() if name.endswith("/weights/scale")}
    assert scales == {"c1/weights/scale": (), "c2/weights/scale": (), "l/weights/scale": ()}
    lowered = registry.get(runtime).lower(result, profile)
    executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
    answers = np.concatenate([executor.run({"x": row[None]})["y"] for row in X[:32]])
    assert np.abs(answers - run(model)).max() < 0.05


def test_kept_layers_stay_in_float(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    result = Quantize(keep_float=("c1", "l")).run(model, needs["litert"]).model
    assert {"w1", "w3"} <= set(result.weights())
    assert "c2/weights" in result.weights()


def test_weight_only_keeps_float_arithmetic_and_a_quarter_of_the_bytes(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    result = Quantize(mode="weight-only").run(model, needs["onnxruntime"]).model
    assert "QuantizeLinear" not in operators(result)
    assert np.abs(run(result) - run(model)).max() < 0.01


def test_weight_only_leaves_layers_in_float_where_asked(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    result = Quantize(mode="weight-only", keep_float=("c1",)).run(model, needs["onnxruntime"]).model
    assert "c1/weights" not in result.weights()
    assert "c2/weights" in result.weights()


@pytest.mark.parametrize("runtime", registry.NAMES)
def test_weight_only_with_one_scale_a_layer(model: Model, needs: dict[str, QuantizeNeeds], runtime: str) -> None:
    result = Quantize(mode="weight-only", granularity="tensor").run(model, needs[runtime]).model
    scales = {name: array.shape for name, array in result.weights().items() if name.endswith("/scale")}
    assert scales == {"c1/scale": (), "c2/scale": ()}
    lowered = registry.get(runtime).lower(result, load("x86-64-vnni"))
    executor = registry.get(runtime).load(lowered.files, lowered.entry, 1)
    answers = np.concatenate([executor.run({"x": row[None]})["y"] for row in X[:32]])
    np.testing.assert_allclose(answers, run(result), atol=1e-5)
    assert np.abs(answers - run(model)).max() < 0.02


def test_weight_only_scales_reach_the_largest_weight_where_asked(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    largest = np.abs(model.weights()["w1"].reshape(8, -1)).max(axis=1)
    reach = {
        how: parse(f"quantize{{mode=weight-only,bits=4,ends=4,weights={how}}}")
        .run(model, {QuantizeNeeds: needs["litert"]})[0]
        .weights()["c1/scale"]
        * 7
        for how in ("max", "mse")
    }
    np.testing.assert_allclose(reach["max"], largest, rtol=1e-6)
    assert (reach["mse"] < largest * 0.99).any()


@pytest.mark.parametrize("bits", [8, 4])
def test_weight_only_errors_cancel_where_moments_are_known(model: Model, needs: dict[str, QuantizeNeeds], bits: Any) -> None:
    data = bind(open_dataset({"x": X}), model.inputs)
    rounder = Rounder(collect_moments(model, Split("calib", data, tuple(range(64)))))
    given = replace(needs["onnxruntime"], statistics=None, rounder=rounder)

    def error(**options: Any) -> tuple[float, float]:
        """Mean square of the second layer's error, and largest mean of a channel's."""
        made = Quantize(mode="weight-only", bits=bits, ends=bits, keep_float=("c1",), **options).run(model, given).model
        difference = layer_outputs(WidenWeights().run(made).model, "c2") - layer_outputs(model, "c2")
        return float((difference**2).mean()), float(np.abs(difference.mean(axis=(0, 2, 3))).max())

    (best, shift), (nearest, _), (_, uncorrected) = error(), error(rounding="nearest"), error(correct_bias=False)
    assert best < 0.9 * nearest
    assert shift < 0.5 * uncorrected


def test_weight_only_moves_a_bias_by_known_means(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    moved, kept = (
        Quantize(mode="weight-only", correct_bias=on).run(model, needs["onnxruntime"]).model.weights() for on in (True, False)
    )
    assert np.array_equal(kept["b1"], model.weights()["b1"])
    assert "b1" not in moved
    difference = np.abs(moved["c1/bias"] - model.weights()["b1"])
    assert 0 < difference.max() < 0.01


def test_weight_only_leaves_a_scaled_bias_alone(needs: dict[str, QuantizeNeeds]) -> None:
    weights = {"w": RNG.normal(0, 0.4, (8, 8)).astype(np.float32), "b": RNG.normal(0, 0.4, 8).astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], beta=0.5)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    scaled = Model.from_bytes(proto.SerializeToString())
    data = bind(open_dataset({"x": RNG.normal(1, 1, (32, 8)).astype(np.float32)}), scaled.inputs)
    rounder = Rounder(collect_moments(scaled, Split("calib", data, tuple(range(32)))))
    made = Quantize(mode="weight-only").run(scaled, replace(needs["onnxruntime"], rounder=rounder)).model.weights()
    assert "y/weights" in made
    assert np.array_equal(made["b"], weights["b"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "quantize{mode=weight-only,ranges=entropy}",
            "ranges=entropy is of activations, which mode=weight-only leaves in float",
        ),
        ("quantize{mode=weight-only,epochs=2}", "epochs is an option of training; add mode=qat, or leave it out"),
        ("quantize{mode=weight-only,ends=4}", "ends=4 is an option of bits=4; add that, or leave ends out"),
        ("quantize{ends=4}", "ends=4 is an option of bits=4; add that, or leave ends out"),
        ("quantize{mode=qat,ends=4}", "ends=4 is an option of bits=4; add that, or leave ends out"),
        ("quantize{damping=0.1}", "damping is an option of training; add mode=qat, or leave it out"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(text)


def test_float16_is_storage(model: Model) -> None:
    result = StoreFloat16().run(model)
    assert {str(array.dtype) for name, array in result.model.weights().items() if name.startswith("w1")} == {"float16"}
    assert operators(result.model)["Cast"] == 2
    assert np.abs(run(result.model) - run(model)).max() < 1e-3


def test_a_weight_that_float16_cannot_hold_stays_in_float32() -> None:
    weights = np.full((8, 8), 1e5, np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert not StoreFloat16().run(Model.from_bytes(proto.SerializeToString())).changed


@pytest.mark.parametrize("narrow", ["int8", "float16"])
def test_narrow_weights_are_widened_to_what_they_stand_for(model: Model, needs: dict[str, QuantizeNeeds], narrow: str) -> None:
    made = StoreFloat16().run(model) if narrow == "float16" else Quantize(mode="weight-only").run(model, needs["litert"])
    result = WidenWeights().run(made.model)
    assert result.changed
    assert not {"Cast", "DequantizeLinear"} & set(operators(result.model))
    np.testing.assert_allclose(run(result.model), run(made.model), atol=1e-6)
    assert not WidenWeights().run(result.model).changed


def test_a_quantized_model_keeps_its_integers(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    quantized = Quantize().run(model, needs["litert"]).model
    assert not WidenWeights().run(quantized).changed


def test_missing_statistics_are_an_error(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    with pytest.raises(PassError, match="no calibration statistics"):
        Quantize().run(model, QuantizeNeeds(needs["litert"].scheme, None))


def test_the_same_pass_gives_the_same_bytes(model: Model, needs: dict[str, QuantizeNeeds]) -> None:
    first, second = (Quantize().run(model, needs["openvino"]).model.to_bytes() for _ in range(2))
    assert first == second


def test_the_text_form_reads_back() -> None:
    text = "strip,canonicalize,fold-bn,quantize{ranges=percentile,keep-float=a%2Cb+c}"
    assert str(parse(text)) == text


def test_the_page_add_a_pass_works(model: Model) -> None:
    page = (Path(__file__).parents[2] / "docs" / "add-a-pass.md").read_text("utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"__name__": "page"}
    import sys
    import types

    sys.modules["page"] = types.ModuleType("page")
    exec(compile(code, "add-a-pass.md", "exec"), names)
    result = names["ReplaceRelu6"]().run(model)
    assert not result.changed
