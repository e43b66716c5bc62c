from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(11)
INT32 = onnx.TensorProto.INT32
SIZE, WIDTH = 9, 5
WEIGHTS = RNG.standard_normal((SIZE, WIDTH)).astype(np.float32)
LIMITS = np.iinfo(np.int32)


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


def kinds(model):
    return [node.op_type for node in model.graph]


def compared(build, first=0, codes=None, shape=("n", 6), extra=(), weights=None):
    """One-hot rows by comparison with a run of numbers, times the weights."""
    row = np.arange(first, first + SIZE, dtype=np.int32).reshape(1, 1, SIZE) if codes is None else codes
    nodes = [
        ("Reshape", ["x", "column"], ["c"], {}),
        ("Equal", ["c", "row"], ["e"], {}),
        ("Cast", ["e"], ["h"], {"to": 1}),
        ("MatMul", ["h", "w"], ["m" if extra else "y"], {}),
        *extra,
    ]
    arrays = {"column": np.array([-1, 6, 1]), "row": row, "w": WEIGHTS, **(weights or {})}
    return build(nodes, arrays, {"x": shape}, ["y"], input_type=INT32)


def wanted(x, first=0):
    rows = np.zeros((*x.shape, WIDTH), np.float32)
    inside = (x >= first) & (x < first + SIZE)
    rows[inside] = WEIGHTS[x[inside] - first]
    return rows


def test_text_before_and_after(build):
    model = compared(build, shape=(2, 6))
    assert kinds(model) == ["Reshape", "Equal", "Cast", "MatMul"]
    assert [line.split("  #")[0] for line in str(canonical(model)).splitlines()] == [
        "inputs: x:int32[2x6]",
        "val_1:int32[2x6] = Clip{}(x, @y_lowest:int32[], @y_highest:int32[])",
        "val_2:int32[2x6] = Add{}(val_1, @y_shift:int32[])",
        "y:float[2x6x5] = Gather{axis=0}(@y_table:float[11x5], val_2)",
        "outputs: y",
    ]


@settings(max_examples=40, deadline=None)
@given(
    x=st.lists(st.integers(-12, 24) | st.sampled_from([LIMITS.min, LIMITS.max, 0, SIZE]), min_size=6, max_size=6),
    first=st.sampled_from([0, 1, -3, 5]),
)
def test_every_index_gives_the_row_that_the_product_gave(build, run, x, first):
    model = compared(build, first)
    after = canonical(model)
    assert "Gather" in kinds(after)
    given_ = np.array([x], np.int32)
    np.testing.assert_array_equal(run(after, {"x": given_})[0], wanted(given_, first))
    np.testing.assert_array_equal(run(model, {"x": given_})[0], wanted(given_, first))


def test_in_every_runtime(build, everywhere):
    after = canonical(compared(build, shape=(2, 6)))
    x = np.array([[0, 8, 9, -1, LIMITS.max, LIMITS.min], [4, 3, 2, 1, 100, -100]], np.int32)
    for found in everywhere(after, {"x": x}):
        np.testing.assert_array_equal(found, wanted(x))


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT64, INT32])
def test_the_operator_counts_negative_indices_from_the_end(build, run, everywhere, kind):
    name = np.int64 if kind == onnx.TensorProto.INT64 else np.int32
    model = build(
        [("OneHot", ["x", "depth", "values"], ["h"], {"axis": -1}), ("MatMul", ["h", "w"], ["y"], {})],
        {"depth": np.array([SIZE], name), "values": np.array([0, 2], np.float32), "w": WEIGHTS},
        {"x": [2, 8]},
        ["y"],
        input_type=kind,
    )
    after = canonical(model)
    assert operators(after) == {"Less": 1, "Add": 2, "Where": 1, "Clip": 1, "Gather": 1}
    x = np.array([[0, 8, 9, -1, -9, -10, 7, 5], [1, 2, 3, 4, 1000, -1000, -2, -8]], name)
    rows = 2 * wanted(np.where((x < 0) & (x >= -SIZE), x + SIZE, x))
    np.testing.assert_array_equal(run(after, {"x": x})[0], rows)
    for found in everywhere(after, {"x": x}):
        np.testing.assert_array_equal(found, rows)


def test_a_gemm_keeps_its_bias(build, run):
    bias = RNG.standard_normal(WIDTH).astype(np.float32)
    model = build(
        [
            ("Equal", ["x", "row"], ["e"], {}),
            ("Cast", ["e"], ["h"], {"to": 1}),
            ("Gemm", ["h", "w", "b"], ["y"], {"transB": 1, "alpha": 2.0}),
        ],
        {"row": np.arange(SIZE, dtype=np.int32).reshape(1, SIZE), "w": np.ascontiguousarray(WEIGHTS.T), "b": bias},
        {"x": ["n", 1]},
        ["y"],
        input_type=INT32,
    )
    after = canonical(model)
    assert operators(after) == {"Reshape": 1, "Clip": 1, "Add": 1, "Gather": 1}  # the bias went into the table
    x = np.array([[3], [-1], [8], [9]], np.int32)
    np.testing.assert_allclose(run(after, {"x": x})[0], 2 * wanted(x)[:, 0] + bias, rtol=1e-6)


def test_a_comparison_with_numbers_that_are_no_run_stays(build):
    codes = np.array([0, 1, 2, 3, 4, 5, 6, 8, 7], np.int32).reshape(1, 1, SIZE)
    assert kinds(canonical(compared(build, codes=codes)))[-3:] == ["Equal", "Cast", "MatMul"]


def test_weights_that_are_not_finite_stay(build):
    weights = WEIGHTS.copy()
    weights[2, 3] = np.inf  # times 0 is no 0
    assert kinds(canonical(compared(build, weights={"w": weights})))[-3:] == ["Equal", "Cast", "MatMul"]


def test_steps_on_rows_fold_into_the_table(build, run, everywhere):
    bias = RNG.standard_normal((1, 1, WIDTH)).astype(np.float32)
    extra = [
        ("Add", ["m", "bias"], ["a"], {}),
        ("Gelu", ["a"], ["g"], {"approximate": "tanh"}),
        ("Mul", ["two", "g"], ["p"], {}),
        ("Tanh", ["p"], ["y"], {}),
    ]
    model = compared(build, shape=(2, 6), extra=extra, weights={"bias": bias, "two": np.array(2, np.float32)})
    after = canonical(model)
    assert kinds(after) == ["Clip", "Add", "Gather"]
    x = np.array([[0, 8, 9, -1, 5, 6], [4, 3, 2, 1, 100, -100]], np.int32)
    expected = run(model, {"x": x})[0]
    for found in (*run(after, {"x": x}), *everywhere(after, {"x": x})):
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_step_that_differs_by_position_stays_behind_the_lookup(build, run):
    places = RNG.standard_normal((1, 6, 1)).astype(np.float32)
    model = compared(build, extra=[("Add", ["m", "places"], ["y"], {})], weights={"places": places})
    after = canonical(model)
    assert kinds(after) == ["Reshape", "Clip", "Add", "Gather", "Add"]
    x = np.array([[0, 8, 9, -1, 5, 6]], np.int32)
    np.testing.assert_allclose(run(after, {"x": x})[0], wanted(x) + places, rtol=1e-6)


def test_a_shared_table_or_shared_rows_stay(build):
    table = {"t": WEIGHTS}
    nodes = [
        ("Gather", ["t", "x"], ["r"], {}),
        ("Tanh", ["r"], ["a"], {}),
        ("Sigmoid", ["r"], ["b"], {}),
        ("Add", ["a", "b"], ["y"], {}),
    ]
    model = build(nodes, table, {"x": ["n", 3]}, ["y"], input_type=INT32)
    assert sorted(kinds(canonical(model))) == ["Add", "Gather", "Sigmoid", "Tanh"]


@pytest.mark.parametrize("rows", [8, 5000])
@pytest.mark.parametrize(
    "kind",
    ["Abs", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh"],
)
def test_every_step_folds_whatever_the_size_of_the_table(build, run, kind, rows):
    table = RNG.standard_normal((rows, 64)).astype(np.float32)
    nodes = [("Gather", ["t", "x"], ["r"], {}), (kind, ["r"], ["y"], {})]
    model = build(nodes, {"t": table}, {"x": [4]}, ["y"], input_type=INT32)
    after = canonical(model)
    assert kinds(after) == ["Gather"]
    x = np.array([0, 7, 3, 3], np.int32)
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], atol=1e-6)
