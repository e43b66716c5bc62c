from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import ModelError
from edgewright.ir.model import MADE_BY
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def norm(rng, channels):
    return {
        "g": normal(rng, channels),
        "b": normal(rng, channels),
        "m": normal(rng, channels),
        "v": np.abs(normal(rng, channels)) + np.float32(0.1),
    }


NORM = ("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], {"epsilon": 1e-3})


def folded(model):
    result = FoldBatchNorm().run(Canonicalize().run(model).model)
    verify(result.model)
    return result.model


def same(run, before, after, inputs):
    for left, right in zip(run(before, inputs), run(after, inputs), strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(left).max())))


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 3]),
    per_group=st.integers(1, 3),
    out_per_group=st.integers(1, 3),
    has_bias=st.booleans(),
    is_transposed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_batch_norm_goes_into_any_convolution(build, run, groups, per_group, out_per_group, has_bias, is_transposed, seed):
    rng = np.random.default_rng(seed)
    inside, outside = groups * per_group, groups * out_per_group
    shape = (inside, out_per_group, 3, 2) if is_transposed else (outside, per_group, 3, 2)
    weights = {"w": normal(rng, *shape), **norm(rng, outside)}
    inputs = ["x", "w"]
    if has_bias:
        weights["k"] = normal(rng, outside)
        inputs.append("k")
    kind = "ConvTranspose" if is_transposed else "Conv"
    model = build([(kind, inputs, ["c"], {"group": groups}), NORM], weights, {"x": ["n", inside, 6, 5]}, ["y"])
    after = folded(model)
    assert operators(after) == {kind: 1}
    assert after.outputs[0].name == "y"
    assert [node.metadata_props[MADE_BY] for node in after.graph] == ["fold-bn"]
    same(run, model, after, {"x": normal(rng, 2, inside, 6, 5)})


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (4,), (1, 4), (1,)])
def test_batch_norm_goes_into_gemm(build, run, transposed, bias):
    rng = np.random.default_rng(3)
    weights = {"w": normal(rng, *((4, 5) if transposed else (5, 4))), **norm(rng, 4)}
    if bias is not None:
        weights["k"] = normal(rng, *bias)
    model = build(
        [("Gemm", ["x", "w", *(["k"] if bias else [])], ["c"], {"alpha": 0.5, "beta": 2.0, "transB": transposed}), NORM],
        weights,
        {"x": ["n", 5]},
        ["y"],
    )
    after = folded(model)
    assert operators(after) == {"Gemm": 1}
    same(run, model, after, {"x": normal(rng, 3, 5)})


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), (1, 1, 1, 1), ()])
@pytest.mark.parametrize("flipped", [False, True])
def test_an_affine_step_goes_into_the_convolution(build, run, shape, flipped):
    rng = np.random.default_rng(4)
    mul, add = (["s", "c"], ["t", "d"]) if flipped else (["c", "s"], ["d", "t"])
    model = build(
        [("Conv", ["x", "w"], ["c"], {}), ("Mul", mul, ["d"], {}), ("Add", add, ["e"], {}), ("Relu", ["e"], ["y"], {})],
        {"w": normal(rng, 4, 3, 3, 3), "s": normal(rng, *shape), "t": normal(rng, *shape)},
        {"x": ["n", 3, 6, 6]},
        ["y"],
    )
    after = folded(model)
    assert operators(after) == {"Conv": 1, "Relu": 1}
    same(run, model, after, {"x": normal(rng, 2, 3, 6, 6)})


@pytest.mark.parametrize("shape", [(4,), (1, 4, 4, 1), (2, 4, 1, 1), (1, 1, 4, 4)])
def test_what_is_not_per_channel_stays(build, run, shape):
    rng = np.random.default_rng(5)
    model = build(
        [("Conv", ["x", "w"], ["c"], {}), ("Mul", ["c", "s"], ["y"], {})],
        {"w": normal(rng, 4, 3, 3, 3), "s": normal(rng, *shape)},
        {"x": [1, 3, 6, 6]},
        ["y"],
    )
    after = folded(model)
    assert operators(after) == {"Conv": 1, "Mul": 1}
    same(run, model, after, {"x": normal(rng, 1, 3, 6, 6)})


def test_a_batch_norm_alone_becomes_mul_and_add(build, run):
    rng = np.random.default_rng(6)
    model = build([("Relu", ["x"], ["c"], {}), NORM], norm(rng, 3), {"x": ["n", 3, 6, 6]}, ["y"])
    result = FoldBatchNorm().run(Canonicalize().run(model).model)
    assert operators(result.model) == {"Relu": 1, "Mul": 1, "Add": 1}
    assert result.notes == ("1 batch norms without weights before them became Mul and Add",)
    same(run, model, result.model, {"x": normal(rng, 2, 3, 6, 6)})


def test_a_result_that_is_read_elsewhere_is_not_changed(build, run):
    rng = np.random.default_rng(7)
    model = build(
        [("Conv", ["x", "w"], ["c"], {}), NORM, ("Relu", ["c"], ["z"], {})],
        {"w": normal(rng, 4, 3, 3, 3), **norm(rng, 4)},
        {"x": ["n", 3, 6, 6]},
        ["y", "z", "c"],
    )
    after = folded(model)
    assert operators(after) == {"Conv": 1, "Mul": 1, "Add": 1, "Relu": 1}
    same(run, model, after, {"x": normal(rng, 2, 3, 6, 6)})


def test_shared_weights_are_copied(build, run):
    rng = np.random.default_rng(8)
    other = ("BatchNormalization", ["d", "b", "g", "m", "v"], ["z"], {})
    model = build(
        [("Conv", ["x", "w", "k"], ["c"], {}), ("Conv", ["u", "w", "k"], ["d"], {}), NORM, other],
        {"w": normal(rng, 4, 3, 3, 3), "k": normal(rng, 4), **norm(rng, 4)},
        {"x": [1, 3, 6, 6], "u": [1, 3, 6, 6]},
        ["y", "z"],
    )
    after = folded(model)
    assert operators(after) == {"Conv": 2}
    same(run, model, after, {"x": normal(rng, 1, 3, 6, 6), "u": normal(rng, 1, 3, 6, 6)})


def test_text_before_and_after(build):
    rng = np.random.default_rng(9)
    model = build(
        [("Conv", ["x", "w"], ["c"], {}), NORM], {"w": normal(rng, 4, 3, 3, 3), **norm(rng, 4)}, {"x": [1, 3, 6, 6]}, ["y"]
    )
    before = Canonicalize().run(model).model
    result = FoldBatchNorm().run(before)
    assert str(result.model).splitlines() == [
        "inputs: x:float[1x3x6x6]",
        "y:float[1x4x4x4] = Conv{}(x, @w:float[4x3x3x3], @w_bias:float[4])  # fold-bn",
        "outputs: y",
    ]
    assert operators(before) == {"Conv": 1, "BatchNormalization": 1}
    assert not FoldBatchNorm().run(result.model).changed


def test_training_mode_is_refused(build):
    weights = {"g": np.ones(4, np.float32)}
    node = ("BatchNormalization", ["x", "g", "g", "g", "g"], ["y", "m", "v"], {"training_mode": 1})
    with pytest.raises(ModelError, match="training mode"):
        FoldBatchNorm().run(build([node], weights, {"x": [2, 4]}, ["y"]))
