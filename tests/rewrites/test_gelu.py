from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = [2, 3, 40]
X = np.linspace(-9, 9, 240, dtype=np.float32).reshape(SHAPE)
NUMBERS = {
    "half": 0.5,
    "one": 1.0,
    "two": 2.0,
    "root": math.sqrt(2),
    "by_root": math.sqrt(0.5),
    "cubic": 0.044715,
    "three": 3.0,
    "slope": math.sqrt(2 / math.pi),
}
ERF = [("Div", ["x", "root"], ["a"], {}), ("Erf", ["a"], ["b"], {}), ("Add", ["b", "one"], ["s"], {})]
TANH = [
    ("Mul", ["cubic", "x"], ["a"], {}),
    ("Mul", ["x", "a"], ["b"], {}),
    ("Mul", ["x", "b"], ["c"], {}),
    ("Add", ["x", "c"], ["d"], {}),
    ("Mul", ["slope", "d"], ["e"], {}),
    ("Tanh", ["e"], ["f"], {}),
    ("Add", ["one", "f"], ["s"], {}),
]
POWER = [("Pow", ["x", "three"], ["b"], {}), ("Mul", ["b", "cubic"], ["c"], {}), *TANH[3:]]
ENDS = {
    "half last": [("Mul", ["x", "s"], ["p"], {}), ("Mul", ["p", "half"], ["y"], {})],
    "half of the sum": [("Mul", ["half", "s"], ["p"], {}), ("Mul", ["x", "p"], ["y"], {})],
    "half of x": [("Mul", ["x", "half"], ["p"], {}), ("Mul", ["p", "s"], ["y"], {})],
    "divided": [("Div", ["s", "two"], ["p"], {}), ("Mul", ["p", "x"], ["y"], {})],
}


def model_of(build, nodes, outputs=("y",), numbers=None, shape=SHAPE):
    values = {name: np.array(value, np.float32) for name, value in {**NUMBERS, **(numbers or {})}.items()}
    used = {name for _, inputs, _, _ in nodes for name in inputs}
    return build(nodes, {name: value for name, value in values.items() if name in used}, {"x": shape}, outputs)


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("curve", "kind"), [(ERF, "none"), (TANH, "tanh"), (POWER, "tanh")])
def test_every_spelling_is_one_operator(build, run, curve, kind, end):
    model = model_of(build, [*curve, *ENDS[end]])
    after = canonical(model)
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[2x3x40]",
        f"y:float[2x3x40] = Gelu{{approximate={kind}}}(x)",
        "outputs: y",
    ]
    np.testing.assert_allclose(run(after, {"x": X})[0], run(model, {"x": X})[0], atol=2e-6)


@pytest.mark.parametrize("curve", [ERF, TANH])
def test_in_every_runtime(build, run, everywhere, curve):
    model = model_of(build, [*curve, *ENDS["half last"]])
    expected = run(model, {"x": X})[0]
    for found in everywhere(canonical(model), {"x": X}):
        np.testing.assert_allclose(found, expected, atol=3e-6)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["half", "one", "cubic", "slope"]),
    error=st.floats(2e-5, 0.5) | st.floats(-0.5, -2e-5) | st.sampled_from([0.0, 6e-8, -6e-8]),
)
def test_other_constants_are_another_function(build, name, error):
    end = ENDS["half last"]
    after = canonical(model_of(build, [*TANH, *end], numbers={name: NUMBERS[name] * (1 + error)}))
    assert ("Gelu" in operators(after)) == (abs(error) < 1e-6)


@pytest.mark.parametrize("inner", ["s", "p"])
def test_what_others_read_stays(build, run, inner):
    model = model_of(build, [*ERF, *ENDS["half of the sum"], ("Neg", [inner], ["z"], {})], ("y", "z"))
    after = canonical(model)
    assert "Gelu" not in operators(after)
    for found, expected in zip(run(after, {"x": X}), run(model, {"x": X}), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_constant_that_adds_an_axis_stays(build):
    model = model_of(build, [*ERF, *ENDS["half last"]], numbers={"half": [[[[0.5]]]]})
    assert "Gelu" not in operators(canonical(model))


@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_of_a_constant_is_a_constant(build, run, kind):
    nodes = [("Gelu", ["k"], ["g"], {"approximate": kind}), ("Add", ["x", "g"], ["y"], {})]
    model = build(nodes, {"k": X}, {"x": SHAPE}, ["y"])
    after = canonical(model)
    assert operators(after) == {"Add": 1}
    np.testing.assert_allclose(run(after, {"x": 0 * X})[0], run(model, {"x": 0 * X})[0], atol=1e-6)


def test_half_precision_has_no_kernel_everywhere(build):
    half = onnx.TensorProto.FLOAT16
    numbers = {name: np.array(NUMBERS[name], np.float16) for name in ("root", "one", "half")}
    model = build([*ERF, *ENDS["half last"]], numbers, {"x": SHAPE}, ["y"], input_type=half, output_type=half)
    assert "Gelu" not in operators(canonical(model))
