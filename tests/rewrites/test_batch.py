from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import ModelError
from edgewright.ir.rewrites.batch import fix_batch, fix_shapes
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import operators, verify


@pytest.fixture
def dynamic(build):
    """A mean written with shapes: the batch is read from the input, and a row is expanded to it."""
    return build(
        [
            ("Shape", ["x"], ["s"], {}),
            ("Gather", ["s", "zero"], ["n"], {}),
            ("Concat", ["n", "ten"], ["t"], {"axis": 0}),
            ("Expand", ["row", "t"], ["e"], {}),
            ("Reshape", ["x", "t"], ["r"], {}),
            ("Add", ["e", "r"], ["y"], {}),
        ],
        {"zero": np.array([0]), "ten": np.array([10]), "row": np.arange(10, dtype=np.float32)[None]},
        {"x": ["n", 2, 5]},
        ["y"],
    )


@pytest.mark.parametrize("size", [1, 3])
def test_shape_arithmetic_folds(dynamic, run, size):
    after = fix_batch(dynamic, size)
    verify(after)
    assert after.inputs[0].shape == (size, 2, 5)
    assert after.outputs[0].shape == (size, 10)
    assert set(operators(after)) <= {"Reshape", "Add"}
    assert all(value.shape.is_static() for node in after.graph for value in node.outputs)
    x = np.random.default_rng(0).standard_normal((size, 2, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(dynamic, {"x": x})[0], run(after, {"x": x})[0])


def test_the_model_that_was_given_stays(dynamic):
    before = dynamic.to_bytes()
    fix_batch(dynamic, 1)
    assert dynamic.to_bytes() == before


def test_a_batch_that_is_fixed_already(build):
    model = build([("Relu", ["x"], ["y"], {})], {}, {"x": [4, 3]}, ["y"])
    assert fix_batch(model, 4).to_bytes() == model.to_bytes()
    with pytest.raises(ModelError, match=r"input 'x' has a fixed batch of 4, not 1"):
        fix_batch(model, 1)


def test_another_free_axis_is_named(build):
    model = build([("Relu", ["x"], ["y"], {})], {}, {"x": ["n", 3, "h", "w"]}, ["y"])
    with pytest.raises(ModelError, match=r"axis 2 of the input 'x' has no fixed size; give one with --shape x=1x3xNxN"):
        fix_batch(model, 1)
    after = fix_batch(fix_shapes(model, {"x": (None, 3, 8, 9)}), 2)
    assert after.outputs[0].shape == (2, 3, 8, 9)


def test_inputs_that_share_a_size_share_its_value(build):
    model = build([("Add", ["x", "u"], ["y"], {})], {}, {"x": ["n", "k"], "u": ["n", "k"]}, ["y"])
    after = fix_shapes(model, {"x": (1, 6)})
    assert [spec.shape for spec in after.inputs] == [(1, 6), (1, 6)]
    with pytest.raises(ModelError, match=r"axis 1 of the input 'u' has the size 6, not 7"):
        fix_shapes(model, {"x": (1, 6), "u": (1, 7)})


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ({"z": (1, 3)}, r"unknown input 'z'"),
        ({"x": (1, 3, 4)}, r"has 2 axes, but the shape 1x3x4 has 3"),
        ({"x": (1, 4)}, r"axis 1 of the input 'x' has the size 3, not 4"),
        ({"x": (0, 3)}, r"size 0 of axis 0 .* is not positive"),
    ],
)
def test_shapes_that_do_not_fit(build, shapes, sentence):
    model = build([("Relu", ["x"], ["y"], {})], {}, {"x": ["n", 3]}, ["y"])
    with pytest.raises(ModelError, match=sentence):
        fix_shapes(model, shapes)


def test_free_axes_get_names_that_do_not_depend_on_the_exporter(build):
    first = build([("Relu", ["x"], ["y"], {})], {}, {"x": ["unk__214", 3, "h"]}, ["y"])
    second = build([("Relu", ["x"], ["y"], {})], {}, {"x": ["unk__7", 3, "height"]}, ["y"])
    assert Canonicalize().run(first).model.to_bytes() == Canonicalize().run(second).model.to_bytes()
    assert "batchx3xx_2" in str(Canonicalize().run(first).model)
