from __future__ import annotations

import numpy as np
import pytest
from edgewright.ir.model import Model
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.importance import scores
from onnx import TensorProto, helper, numpy_helper

UNITS = 6


def network(seed=0, **weights):
    """Conv, batch norm, Relu, global pooling, Gemm: one group of six channels."""
    random = np.random.default_rng(seed)
    arrays = {
        "w": random.normal(0, 1, (UNITS, 3, 3, 3)),
        "scale": random.uniform(0.5, 2, UNITS),
        "bias": random.normal(0, 1, UNITS),
        "mean": random.normal(0, 1, UNITS),
        "var": random.uniform(0.5, 2, UNITS),
        "head": random.normal(0, 1, (4, UNITS)),
        **weights,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "head"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Canonicalize().run(Model.from_bytes(model.SerializeToString())).model


def of(model, importance, saliency=None):
    return scores(model, find_groups(model).groups, importance, saliency)["c"]


def test_l2_sums_the_squares_of_what_makes_and_reads_a_channel():
    model = network()
    held = model.weights()
    folded = held["w"] * (held["scale"] / np.sqrt(held["var"] + 1e-5))[:, None, None, None]
    expected = (folded**2).sum((1, 2, 3)) + (held["head"] ** 2).sum(0)
    np.testing.assert_allclose(of(model, "l2"), expected / expected.mean(), rtol=1e-5)
    expected = np.abs(folded).sum((1, 2, 3)) + np.abs(held["head"]).sum(0)
    np.testing.assert_allclose(of(model, "l1"), expected / expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("importance", ["l1", "l2", "fpgm"])
def test_folding_a_batch_norm_changes_no_importance(importance):
    model = network()
    folded = FoldBatchNorm().run(model).model
    after = scores(folded, find_groups(folded).groups, importance)
    np.testing.assert_allclose(of(model, importance), next(iter(after.values())), rtol=1e-4)


def test_the_scale_of_the_batch_norm():
    scale = np.array([3, -1, 2, 1, 0, 5])
    np.testing.assert_allclose(of(network(scale=scale), "bn-scale"), np.abs(scale) / 2)


def test_without_a_norm_the_scale_gives_way_to_l2():
    folded = FoldBatchNorm().run(network()).model
    groups = find_groups(folded).groups
    np.testing.assert_array_equal(*(next(iter(scores(folded, groups, kind).values())) for kind in ("bn-scale", "l2")))


def test_fpgm_finds_the_filter_in_the_middle_of_the_others():
    w = np.random.default_rng(1).normal(0, 1, (UNITS, 3, 3, 3))
    w[2] = (w.sum(0) - w[2]) / (UNITS - 1)
    model = network(w=w, scale=np.ones(UNITS), var=np.ones(UNITS))
    found = of(model, "fpgm")
    assert found.argmin() == 2
    rows = w.reshape(UNITS, -1)
    expected = np.array([sum(np.linalg.norm(row - other) for other in rows) for row in rows])
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-4)


def test_taylor_sums_saliency_over_all_weights_of_a_channel():
    saliency = {"w": np.ones((UNITS, 3, 3, 3)), "head": np.tile(np.arange(UNITS), (4, 1)), "scale": np.full(UNITS, 0.5)}
    np.testing.assert_allclose(of(network(), "taylor", saliency), 27 + 4 * np.arange(UNITS) + 0.5)


def test_a_group_of_zeros_has_equal_scores():
    model = network(w=np.zeros((UNITS, 3, 3, 3)), head=np.zeros((4, UNITS)))
    np.testing.assert_array_equal(of(model, "l2"), np.ones(UNITS))
