"""Compensated rounding: less output error than the nearest integers, on the inputs that the moments come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright.calibration.bind import bind
from edgewright.calibration.dataset import Split
from edgewright.calibration.moments import Moments, StoredMoments, collect_moments, save_moments
from edgewright.calibration.opening import open_dataset
from edgewright.ir.model import Model
from edgewright.optimizer.quantize.integers import quantize_weights
from edgewright.optimizer.quantize.rounding import Rounder, compensated, mean_error
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(5)


def correlated(samples: int, groups: int, size: int) -> np.ndarray:
    """Patches [samples, groups, size] whose entries move together, as neighbouring pixels do."""
    base = RNG.normal(size=(samples, groups, 1)) * 2 + 1
    return base + 0.3 * RNG.normal(size=(samples, groups, size))


def moments_of(patches: np.ndarray) -> Moments:
    mean = patches.mean(axis=0)
    centred = patches - mean
    return Moments(mean, np.einsum("ngk,ngl->gkl", centred, centred) / len(patches))


@pytest.mark.parametrize(("groups", "outputs", "size"), [(1, 16, 27), (12, 12, 9), (2, 8, 18)])
def test_output_error_shrinks(groups: int, outputs: int, size: int) -> None:
    patches = correlated(600, groups, size)
    moments = moments_of(patches)
    rows = RNG.normal(size=(outputs, size)).astype(np.float32)
    scales = (np.abs(rows).max(axis=1) / 15).astype(np.float32)

    def error(integers: np.ndarray) -> float:
        wrong = (integers * scales[:, None] - rows).reshape(groups, outputs // groups, size)
        out = np.einsum("gok,ngk->ngo", wrong, patches)
        return float(((out - out.mean(axis=0)) ** 2).mean())

    nearest = np.clip(np.rint(rows / scales[:, None]), -127, 127)
    assert error(compensated(rows, scales, moments)) < 0.5 * error(nearest)


def test_uncorrelated_inputs_give_the_nearest_integers() -> None:
    rows = RNG.normal(size=(4, 10)).astype(np.float32)
    scales = np.full(4, 0.05, np.float32)
    moments = Moments(np.zeros((1, 10)), np.eye(10)[None])
    np.testing.assert_array_equal(compensated(rows, scales, moments), np.rint(rows / scales[:, None]))


def test_inputs_that_never_vary_do_no_harm() -> None:
    rows = RNG.normal(size=(4, 10)).astype(np.float32)
    scales = np.full(4, 0.05, np.float32)
    found = compensated(rows, scales, Moments(np.ones((1, 10)), np.zeros((1, 10, 10))))
    assert np.abs(found - rows / scales[:, None]).max() <= 0.501


@pytest.mark.parametrize("size", [1e-14, 1e12])
def test_an_indefinite_covariance_of_any_size_is_damped(size: float) -> None:
    rows = RNG.normal(size=(4, 6)).astype(np.float32)
    scales = np.full(4, 0.05, np.float32)
    direction = RNG.normal(size=(1, 6))
    covariance = size * (direction.T @ direction - 0.1 * np.eye(6))[None]
    found = compensated(rows, scales, Moments(np.ones((1, 6)), covariance))
    assert np.abs(found * scales[:, None] - rows).max() < 1.0


def test_pairs_still_cannot_saturate() -> None:
    rows = RNG.normal(size=(8, 40)).astype(np.float32)
    rounder = Rounder({"layer": moments_of(correlated(300, 1, 40))})
    found = quantize_weights(
        rows,
        0,
        "int8",
        saturating_pairs=True,
        rounding=lambda given, scales, limit: rounder.round("layer", given, scales, limit),
    )
    top = np.sort(np.abs(found.values.astype(np.int64)), axis=1)[:, -2:]
    for row in found.values.astype(np.int64):
        for sign in (1, -1):
            assert 255 * np.sort(np.maximum(sign * row, 0))[-2:].sum() <= 2**15 - 1
    assert top.max() > 40


def test_a_layer_without_moments_or_of_another_shape_is_left_to_the_nearest() -> None:
    rounder = Rounder({"layer": moments_of(correlated(50, 1, 6))})
    assert rounder.round("other", np.zeros((2, 6), np.float32), np.ones(2, np.float32)) is None
    assert rounder.round("layer", np.zeros((2, 5), np.float32), np.ones(2, np.float32)) is None


def test_moments_are_those_of_the_patches_of_the_real_model(tmp_path: Path) -> None:
    weights = {"w": RNG.normal(size=(6, 2, 3, 3)), "d": RNG.normal(size=(6, 1, 3, 3)), "m": RNG.normal(size=(6, 5))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 0, 1, 2], strides=[2, 1], group=2),
        helper.make_node("Conv", ["c", "d"], ["e"], dilations=[2, 1], group=6),
        helper.make_node("ReduceMean", ["e"], ["r"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["r", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 12, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())
    x = RNG.normal(size=(40, 4, 12, 8)).astype(np.float32)
    data = bind(open_dataset({"x": x}), model.inputs)
    split = Split("calib", data, tuple(range(40)))
    found = collect_moments(model, split)
    assert {name: item.mean.shape for name, item in found.items()} == {"c": (2, 18), "e": (6, 9), "y": (1, 6)}
    # 6 x 8 places a sample: all of them are taken, so the layer's mean output follows exactly.
    import onnxruntime

    proto.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = np.concatenate([session.run(["c"], {"x": row[None]})[0] for row in x])
    expected = outputs.mean(axis=(0, 2, 3))
    rows = weights["w"].astype(np.float32).reshape(6, -1)
    np.testing.assert_allclose(mean_error(rows, found["c"]), expected, rtol=1e-4, atol=1e-4)
    centred = (outputs - outputs.mean(axis=(0, 2, 3), keepdims=True)).transpose(1, 0, 2, 3).reshape(6, -1)
    variance = np.einsum("ok,okl,ol->o", rows, np.repeat(found["c"].covariance, 3, axis=0), rows)
    np.testing.assert_allclose(variance, (centred**2).mean(axis=1), rtol=1e-3)
    save_moments(tmp_path, found)
    again = StoredMoments(tmp_path)
    assert list(again) == list(found)
    np.testing.assert_array_equal(again["e"].covariance, found["e"].covariance)
    np.testing.assert_array_equal(again["e"].mean, found["e"].mean)


def test_zeros_of_a_sparse_layer_stay_zeros_and_those_of_a_dense_one_may_not() -> None:
    rows = RNG.normal(size=(8, 40)).astype(np.float32)
    moments = moments_of(correlated(300, 1, 40))
    scales = np.full(8, 0.25, np.float32)
    sparse, dense = rows.copy(), rows.copy()
    sparse[:, ::3] = 0
    dense[:, -4:] = 0
    rounded = compensated(sparse, scales, moments)
    assert (rounded[sparse == 0] == 0).all()
    assert (compensated(dense, scales, moments)[dense == 0] != 0).any()
    covariance = moments.covariance[0]

    def output_error(integers: np.ndarray) -> float:
        error = integers * scales[:, None] - sparse
        return float(np.einsum("oi,ij,oj->", error, covariance, error))

    assert output_error(rounded) < output_error(np.rint(sparse / scales[:, None]))
