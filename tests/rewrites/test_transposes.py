from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(23)
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
SHAPE = [2, 6, 4, 5]
X = np.abs(RNG.standard_normal(SHAPE)).astype(np.float32) + 0.1


def floats(*shape):
    return (np.abs(RNG.standard_normal(shape)) + 0.5).astype(np.float32)


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


def between(build, steps, weights=None, made="b"):
    """Steps that read `a` (channels last) and make `b`, between Transposes."""
    nodes = [("Transpose", ["x"], ["a"], {"perm": LAST}), *steps, ("Transpose", [made], ["y"], {"perm": FIRST})]
    return build(nodes, weights or {}, {"x": SHAPE}, ["y"])


def same(run, before, after, x=X):
    np.testing.assert_allclose(run(after, {"x": x})[0], run(before, {"x": x})[0], rtol=1e-5, atol=1e-6)


def test_text_before_and_after(build, run):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": LAST}),
        ("Mul", ["t", "s"], ["a"], {}),
        ("ReduceMean", ["a", "axes"], ["m"], {}),
        ("Softmax", ["m"], ["y"], {}),
    ]
    model = build(nodes, {"s": floats(6), "axes": np.array([1, 2])}, {"x": SHAPE}, ["y"])
    after = canonical(model)
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[2x6x4x5]",
        "val_0:float[2x6x4x5] = Mul{}(x, @a_operand:float[1x6x1x1])",
        "val_1:float[2x6x1x1] = GlobalAveragePool{}(val_0)",
        "m:float[2x1x1x6] = Transpose{perm=(0, 2, 3, 1)}(val_1)",
        "y:float[2x1x1x6] = Softmax{}(m)",
        "outputs: y",
    ]
    same(run, model, after)


@pytest.mark.parametrize("kind", ["Abs", "Erf", "Exp", "Gelu", "HardSwish", "LeakyRelu", "Log", "Neg", "Relu", "Sqrt"])
def test_operators_of_one_operand(build, run, kind):
    model = between(build, [(kind, ["a"], ["b"], {})])
    after = canonical(model)
    assert operators(after) == {kind: 1}
    same(run, model, after)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (6,), (5, 1), (4, 1, 1), (4, 5, 6), (2, 1, 1, 6), (1, 4, 5, 1)])
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"])
def test_constants_follow_their_axes(build, run, kind, shape, is_first):
    model = between(build, [(kind, ["k", "a"] if is_first else ["a", "k"], ["b"], {})], {"k": floats(*shape)})
    after = canonical(model)
    assert "Transpose" not in operators(after)
    same(run, model, after)


@pytest.mark.parametrize("axes", [[1, 2], [-1], [3, 1], [0]])
@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
def test_reductions(build, run, kind, axes):
    model = between(build, [(kind, ["a", "axes"], ["b"], {"keepdims": 1})], {"axes": np.array(axes)})
    after = canonical(model)
    assert "Transpose" not in operators(after)
    same(run, model, after)


def test_padding_and_joining(build, run):
    steps = [
        ("Pad", ["a", "pads", "one"], ["p"], {}),
        ("Tanh", ["p"], ["q"], {}),
        ("Concat", ["p", "q"], ["b"], {"axis": -1}),
    ]
    weights = {"pads": np.array([0, 1, 0, 0, 0, 2, 3, 0]), "one": np.array(1, np.float32)}
    model = between(build, steps, weights)
    after = canonical(model)
    assert operators(after) == {"Pad": 1, "Tanh": 1, "Concat": 1}
    same(run, model, after)


def squeeze_and_excite(build):
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"kernel_shape": [1, 1]}),
        ("Transpose", ["c"], ["a"], {"perm": LAST}),
        ("Mul", ["a", "scale"], ["n"], {}),
        ("HardSwish", ["n"], ["h"], {}),
        ("ReduceMean", ["h", "axes"], ["m"], {"keepdims": 1}),
        ("Transpose", ["m"], ["m1"], {"perm": FIRST}),
        ("Conv", ["m1", "v"], ["d"], {"kernel_shape": [1, 1]}),
        ("Transpose", ["d"], ["d1"], {"perm": LAST}),
        ("HardSigmoid", ["d1"], ["g"], {}),
        ("Mul", ["h", "g"], ["e"], {}),
        ("Transpose", ["e"], ["y"], {"perm": FIRST}),
    ]
    weights = {"w": floats(8, 6, 1, 1), "v": floats(8, 8, 1, 1), "scale": floats(8), "axes": np.array([1, 2])}
    return build(nodes, weights, {"x": SHAPE}, ["y"])


def test_squeeze_and_excite_in_every_runtime(build, run, everywhere):
    model = squeeze_and_excite(build)
    after = canonical(FoldBatchNorm().run(canonical(model)).model)
    assert operators(after) == {"Conv": 2, "HardSwish": 1, "GlobalAveragePool": 1, "HardSigmoid": 1, "Mul": 1}
    expected = run(model, {"x": X})[0]
    for found in (*run(after, {"x": X}), *everywhere(after, {"x": X})):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_needs_the_order_keeps_it(build, run):
    steps = [("Softmax", ["a"], ["s"], {"axis": -1}), ("Relu", ["a"], ["r"], {}), ("Add", ["r", "s"], ["b"], {})]
    model = between(build, steps)
    after = canonical(model)
    assert operators(after) == {"Transpose": 2, "Softmax": 1, "Relu": 1, "Add": 1}
    same(run, model, after)


@pytest.mark.parametrize("other", ["another order", "a fourth operand's own"])
def test_operands_of_different_orders_stay(build, run, other):
    nodes = [
        ("Transpose", ["x"], ["a"], {"perm": [0, 1, 3, 2]}),
        ("Transpose", ["x"], ["b"], {"perm": [1, 0, 3, 2]}) if other == "another order" else ("Reshape", ["x", "s"], ["b"], {}),
        ("Add", ["a", "b"], ["y"], {}),
    ]
    model = build(nodes, {} if other == "another order" else {"s": np.array([3, 3, 4, 4])}, {"x": [3, 3, 4, 4]}, ["y"])
    after = canonical(model)
    assert operators(after)["Add"] == 1
    assert str(after).splitlines()[-2].startswith("y:float[3x3x4x4] = Add")
    same(run, model, after, floats(3, 3, 4, 4))


def test_a_reshape_after_axes_of_size_one_moved(build, run):
    nodes = [("Transpose", ["x"], ["a"], {"perm": LAST}), ("Reshape", ["a", "s"], ["y"], {})]
    model = build(nodes, {"s": np.array([0, -1])}, {"x": ["n", 10, 1, 1]}, ["y"])
    after = canonical(model)
    assert operators(after) == {"Reshape": 1}
    same(run, model, after, floats(3, 10, 1, 1))
    moves = build(nodes, {"s": np.array([0, -1])}, {"x": ["n", 10, 2, 1]}, ["y"])
    assert operators(canonical(moves)) == {"Transpose": 1, "Reshape": 1}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_chains_in_any_order_of_axes(build, run, data):
    orders = [list(order) for order in itertools.permutations(range(3))]
    nodes, weights, shape, last = [], {}, [2, 3, 4], "x"
    for index in range(data.draw(st.integers(1, 6))):
        made = f"v{index}"
        kind = data.draw(st.sampled_from(["Transpose", "Transpose", "Relu", "Add", "ReduceMax", "Pad", "Concat", "Twice"]))
        if kind == "Transpose":
            order = data.draw(st.sampled_from(orders))
            shape = [shape[axis] for axis in order]
            nodes.append((kind, [last], [made], {"perm": order}))
        elif kind == "Add":
            weights[f"k{index}"] = floats(*[data.draw(st.sampled_from([1, size])) for size in shape])
            nodes.append((kind, [last, f"k{index}"], [made], {}))
        elif kind == "ReduceMax":
            axis = data.draw(st.integers(0, 2))
            weights[f"k{index}"] = np.array([axis])
            shape = [1 if place == axis else size for place, size in enumerate(shape)]
            nodes.append((kind, [last, f"k{index}"], [made], {"keepdims": 1}))
        elif kind == "Pad":
            pads = [data.draw(st.integers(0, 1)) for _ in range(6)]
            weights[f"k{index}"] = np.array(pads)
            shape = [size + pads[place] + pads[place + 3] for place, size in enumerate(shape)]
            nodes.append((kind, [last, f"k{index}"], [made], {}))
        elif kind == "Concat":
            axis = data.draw(st.integers(-3, 2))
            shape = [size * (2 if place == axis % 3 else 1) for place, size in enumerate(shape)]
            nodes += [("Tanh", [last], [f"t{index}"], {}), (kind, [last, f"t{index}"], [made], {"axis": axis})]
        else:
            nodes.append(("Sigmoid" if kind == "Twice" else kind, [last], [made], {}))
        last = made
    nodes.append(("Neg", [last], ["y"], {}))
    model = build(nodes, weights, {"x": [2, 3, 4]}, ["y"])
    after = canonical(model)
    assert operators(after).get("Transpose", 0) <= 1
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    same(run, model, after, x)
