from __future__ import annotations

import numpy as np
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(17)
ROWS, SIZE = 6, 16
MEANS = ("kept", "dropped", "sum")
VARIANCES = ("centred", "power", "difference", "guarded", "clipped")
ENDS = ("divide", "reciprocal", "one over", "gain first")


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


class Spelling:
    """A layer normalization over one axis of [2, 6, 16], written out."""

    def __init__(self, build, axis=2, mean="kept", variance="centred", end="divide"):
        self.build, self.axis = build, axis
        self.shape = [2, ROWS, SIZE]
        self.narrow = [1 if place == axis else size for place, size in enumerate(self.shape)]
        self.nodes, self.weights = (
            [],
            {
                "axes": np.array([axis]),
                "narrow": np.array(self.narrow),
                "part": np.array(1 / self.shape[axis], np.float32),
                "two": np.array(2, np.float32),
                "one": np.array(1, np.float32),
                "zero": np.array(0, np.float32),
                "epsilon": np.array(1e-3, np.float32),
                "gain": floats(*[size if place == axis else 1 for place, size in enumerate(self.shape)]),
            },
        )
        self.mean_of("x", "m", mean)
        self.add("Sub", ["x", "m"], "d")
        self.variance(variance, mean)
        self.add("Add", ["v", "epsilon"], "w")
        self.add("Sqrt", ["w"], "s")
        if end == "divide":
            self.add("Div", ["d", "s"], "y")
            return
        self.add("Div", ["one", "s"], "r") if end == "one over" else self.add("Reciprocal", ["s"], "r")
        if end == "gain first":
            self.add("Mul", ["r", "gain"], "q")
        self.add("Mul", ["d", "q" if end == "gain first" else "r"], "y")

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append((kind, inputs, [output], attributes))

    def mean_of(self, value, made, spelling):
        if spelling == "kept":
            self.add("ReduceMean", [value, "axes"], made)
            return
        kind = "ReduceSum" if spelling == "sum" else "ReduceMean"
        self.add(kind, [value, "axes"], f"{made}_a", keepdims=0)
        if spelling == "sum":
            self.add("Mul", [f"{made}_a", "part"], f"{made}_b")
        self.add("Reshape", [f"{made}_b" if spelling == "sum" else f"{made}_a", "narrow"], made)

    def variance(self, spelling, mean):
        if spelling in ("centred", "power"):
            self.add(*(("Mul", ["d", "d"]) if spelling == "centred" else ("Pow", ["d", "two"])), "dd")
            self.mean_of("dd", "v", mean)
            return
        self.add("Mul", ["x", "x"], "xx")
        self.mean_of("xx", "p", mean)
        self.add("Mul", ["m", "m"], "mm")
        self.add("Sub", ["p", "mm"], "v" if spelling == "difference" else "u")
        if spelling == "guarded":
            self.add("Max", ["zero", "u"], "v")
        elif spelling == "clipped":
            self.add("Clip", ["u", "zero"], "v")

    def model(self, *more, outputs=("y",), **weights):
        arrays = {**self.weights, **weights}
        nodes = [*self.nodes, *more]
        used = {name for _, inputs, _, _ in nodes for name in inputs}
        return self.build(nodes, {name: array for name, array in arrays.items() if name in used}, {"x": self.shape}, outputs)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("mean", MEANS)
def test_every_spelling_is_one_operator(build, run, mean, variance, end):
    model = Spelling(build, 2, mean, variance, end).model()
    after = canonical(model)
    assert operators(after) == {"LayerNormalization": 1}
    x = 3 * floats(2, ROWS, SIZE) + 1
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], atol=2e-5)


def test_text_before_and_after_with_gain_and_shift(build, run, everywhere):
    spelling = Spelling(build)
    spelling.nodes[-1] = ("Div", ["d", "s"], ["n"], {})
    more = [("Mul", ["n", "gain"], ["g"], {}), ("Add", ["shift", "g"], ["y"], {})]
    model = spelling.model(*more, shift=floats(SIZE))
    after = canonical(model)
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[2x6x16]",
        "y:float[2x6x16] = LayerNormalization{axis=-1, epsilon=0.0010000000474974513}"
        "(x, @y_gain:float[16], @y_shift:float[16])",
        "outputs: y",
    ]
    x = 3 * floats(2, ROWS, SIZE) + 1
    expected = run(model, {"x": x})[0]
    for found in (*run(after, {"x": x}), *everywhere(after, {"x": x})):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_over_another_axis_where_a_transpose_follows(build, run, everywhere):
    spelling = Spelling(build, 1, "sum", "guarded", "gain first")
    spelling.nodes[-1] = ("Mul", ["d", "q"], ["n"], {})
    more = [
        ("Add", ["n", "shift"], ["a"], {}),
        ("Reshape", ["a", "wide"], ["b"], {}),
        ("Transpose", ["b"], ["c"], {"perm": [0, 2, 1, 3]}),
        ("Tanh", ["c"], ["y"], {}),
    ]
    model = spelling.model(*more, shift=floats(1, ROWS, 1), wide=np.array([-1, ROWS, SIZE, 1]))
    after = canonical(model)
    assert [node.op_type for node in after.graph] == ["Transpose", "LayerNormalization", "Reshape", "Tanh"]
    x = 3 * floats(2, ROWS, SIZE) + 1
    expected = run(model, {"x": x})[0]
    for found in (*run(after, {"x": x}), *everywhere(after, {"x": x})):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_over_another_axis_with_nothing_to_cancel_stays(build):
    assert "LayerNormalization" not in operators(canonical(Spelling(build, 1).model()))


@pytest.mark.parametrize("change", ["epsilon", "variance of another", "mean over another", "guard", "negative part", "part"])
def test_another_computation_stays(build, run, change):
    variance = "guarded" if change in ("guard", "negative part") else "centred"
    spelling = Spelling(build, 2, "sum" if change == "part" else "kept", variance)
    weights = {}
    if change == "epsilon":
        weights["epsilon"] = np.full((1, ROWS, 1), 1e-3, np.float32)
    elif change == "variance of another":
        spelling.nodes = [
            (kind, ["x", "x"] if kind == "Mul" and made == ["dd"] else inputs, made, attributes)
            for kind, inputs, made, attributes in spelling.nodes
        ]
    elif change == "mean over another":
        spelling.nodes[0] = ("ReduceMean", ["x", "other"], ["m"], {})
        weights["other"] = np.array([1])
    elif change == "guard":
        weights["zero"] = np.array(0.5, np.float32)
    elif change == "negative part":
        spelling.nodes = [("Min" if kind == "Max" else kind, *rest) for kind, *rest in spelling.nodes]
    else:
        weights["part"] = np.array(1 / (SIZE - 1), np.float32)
    model = spelling.model(**weights)
    after = canonical(model)
    assert "LayerNormalization" not in operators(after)
    x = 3 * floats(2, ROWS, SIZE) + 1
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(), (1,), (SIZE,), (1, 1, SIZE), (ROWS, 1), (ROWS, SIZE), (2, 1, 1)]),
    kind=st.sampled_from(["Mul", "Add"]),
)
def test_only_what_differs_along_the_axis_is_taken_in(build, run, shape, kind):
    spelling = Spelling(build)
    spelling.nodes[-1] = ("Div", ["d", "s"], ["n"], {})
    model = spelling.model((kind, ["n", "k"], ["y"], {}), k=np.array(RNG.standard_normal(shape), np.float32))
    after = canonical(model)
    is_vector = all(size == 1 for size in shape[:-1]) and (not shape or shape[-1] in (1, SIZE))
    assert operators(after) == ({"LayerNormalization": 1} if is_vector else {"LayerNormalization": 1, kind: 1})
    x = floats(2, ROWS, SIZE)
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], atol=2e-5)


def test_what_others_read_stays_beside_it(build, run):
    spelling = Spelling(build)
    model = spelling.model(("Neg", ["y"], ["z"], {}), ("Mul", ["y", "gain"], ["g"], {}), outputs=("z", "g", "s"))
    after = canonical(model)
    assert operators(after)["LayerNormalization"] == 1
    assert operators(after)["Mul"] == 2
    x = floats(2, ROWS, SIZE)
    for found, expected in zip(run(after, {"x": x}), run(model, {"x": x}), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("is_difference", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_the_mean_taken_away_last(build, run, everywhere, is_difference, order):
    spelling = Spelling(build, end="gain first")
    spelling.nodes[-1] = ("Mul", ["x", "q"][::order], ["p"], {})
    if is_difference:
        more = [("Mul", ["m", "q"][::order], ["n"], {}), ("Sub", ["shift", "n"], ["t"], {})]
    else:
        more = [
            ("Neg", ["m"], ["o"], {}),
            ("Mul", ["o", "q"][::order], ["n"], {}),
            ("Add", ["shift", "n"][::order], ["t"], {}),
        ]
    model = spelling.model(*more, ("Add", ["p", "t"][::order], ["y"], {}), shift=floats(SIZE))
    after = canonical(model)
    assert operators(after) == {"LayerNormalization": 1}
    x = 3 * floats(2, ROWS, SIZE) + 1
    expected = run(model, {"x": x})[0]
    for found in (*run(after, {"x": x}), *everywhere(after, {"x": x})):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("change", ["another mean", "another factor", "added"])
def test_something_else_taken_away_last_stays(build, run, change):
    spelling = Spelling(build, end="gain first")
    spelling.nodes[-1] = ("Mul", ["x", "q"], ["p"], {})
    more = [
        ("ReduceMean", ["x", "other"], ["z"], {}),
        ("Mul", ["z" if change == "another mean" else "m", "r" if change == "another factor" else "q"], ["n"], {}),
        ("Add" if change == "added" else "Sub", ["shift", "n"], ["t"], {}),
        ("Add", ["p", "t"], ["y"], {}),
    ]
    model = spelling.model(*more, shift=floats(SIZE), other=np.array([1]))
    after = canonical(model)
    assert "LayerNormalization" not in operators(after)
    x = floats(2, ROWS, SIZE)
    np.testing.assert_allclose(run(after, {"x": x})[0], run(model, {"x": x})[0], rtol=1e-5, atol=1e-5)
