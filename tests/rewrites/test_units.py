from __future__ import annotations

import numpy as np
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(13)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


def line_convolution(build, steps, weights, shape=("n", 4, 12, 1), flat=(-1, 6, 10)):
    """A convolution along one axis as it is exported: the axis of size 1 is dropped behind it."""
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("Reshape", ["c", "flat"], ["r"], {}), *steps]
    return build(nodes, {"w": floats(6, 4, 3, 1), "flat": np.array(flat), **weights}, {"x": shape}, ["y"])


def test_text_before_and_after(build, run, everywhere):
    model = line_convolution(
        build, [("Add", ["r", "b"], ["a"], {}), ("Relu", ["a"], ["y"], {})], {"b": floats(1, 6, 1)}, (2, 4, 12, 1)
    )
    after = canonical(FoldBatchNorm().run(canonical(model)).model)
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[2x4x12x1]",
        "c:float[2x6x10x1] = Conv{}(x, @w:float[6x4x3x1], @w_bias:float[6])",
        "val_0:float[2x6x10x1] = Relu{}(c)",
        "y:float[2x6x10] = Reshape{}(val_0, @y_shape:int64[3])",
        "outputs: y",
    ]
    x = floats(2, 4, 12, 1)
    expected = run(model, {"x": x})[0]
    for found in (*run(after, {"x": x}), *everywhere(after, {"x": x})):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (6, 1), (1, 6, 1), (10,), (6, 10), (1, 6, 10)])
@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_every_constant_follows_its_axis(build, run, kind, shape):
    model = line_convolution(build, [(kind, ["k", "r"], ["y"], {})], {"k": floats(*shape)})
    after = canonical(model)
    assert [node.op_type for node in after.graph] == ["Conv", kind, "Reshape"]
    x = floats(3, 4, 12, 1)
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], atol=1e-5)


def test_a_reshape_that_moves_numbers_stays(build):
    merged = line_convolution(build, [("Add", ["r", "b"], ["y"], {})], {"b": floats(60)}, flat=(-1, 60))
    assert [node.op_type for node in canonical(merged).graph] == ["Conv", "Reshape", "Add"]


def test_a_reshape_that_others_read_stays(build):
    steps = [("Relu", ["r"], ["a"], {}), ("Sigmoid", ["r"], ["b"], {}), ("Add", ["a", "b"], ["y"], {})]
    assert [node.op_type for node in canonical(line_convolution(build, steps, {})).graph][:2] == ["Conv", "Reshape"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_only_slices_of_everything_go(build, run, data):
    sizes = (3, 1, 5)
    ends = [data.draw(st.sampled_from([size, size - 1 or 1, 10**9, 2**31 - 1, -1 if size > 1 else size])) for size in sizes]
    starts = [data.draw(st.sampled_from([0, 0, 1 if size > 1 else 0])) for size in sizes]
    steps = data.draw(st.sampled_from([None, [1, 1, 1], [1, 1, 2]]))
    weights = {"s": np.array(starts), "e": np.array(ends), "a": np.array([0, 1, 2])}
    names = ["x", "s", "e", "a"]
    if steps is not None:
        weights["t"] = np.array(steps)
        names.append("t")
    model = build([("Slice", names, ["c"], {}), ("Relu", ["c"], ["y"], {})], weights, {"x": list(sizes)}, ["y"])
    after = canonical(model)
    x = floats(*sizes)
    expected = run(model, {"x": x})[0]
    np.testing.assert_array_equal(run(after, {"x": x})[0], expected)
    assert ("Slice" in operators(after)) == (expected.shape != sizes)


def test_a_slice_backwards_stays(build, run):
    weights = {"s": np.array([-1]), "e": np.array([-100]), "a": np.array([0]), "t": np.array([-1])}
    model = build([("Slice", ["x", "s", "e", "a", "t"], ["y"], {})], weights, {"x": [4]}, ["y"])
    after = canonical(model)
    np.testing.assert_array_equal(run(after, {"x": np.arange(4, dtype=np.float32)})[0], [3, 2, 1, 0])
