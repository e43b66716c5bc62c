from __future__ import annotations

import numpy as np
import pytest
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import operators, verify

X = np.random.default_rng(19).standard_normal((2, 3, 7)).astype(np.float32) * 20


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


def written_out(build, *, axis=2, other=None, keeps=0, is_bounded=True, bound=-np.inf, read="x"):
    narrow = [1 if place == axis else size for place, size in enumerate(X.shape)]
    nodes = [
        ("ReduceMax", [read, "axes"], ["a"], {"keepdims": keeps}),
        *([("Max", ["bound", "a"], ["b"], {})] if is_bounded else []),
        ("Reshape", ["b" if is_bounded else "a", "narrow"], ["m"], {}),
        ("Sub", ["x", "m"], ["d"], {}),
        ("Exp", ["d"], ["e"], {}),
        ("ReduceSum", ["e", "others"], ["c"], {"keepdims": keeps}),
        ("Reshape", ["c", "narrow" if other is None else "other"], ["s"], {}),
        ("Div", ["e", "s"], ["y"], {}),
    ]
    weights = {
        "axes": np.array([axis]),
        "others": np.array([axis if other is None else other]),
        "narrow": np.array(narrow),
        "bound": np.array(bound, np.float32),
    }
    if other is not None:
        weights["other"] = np.array([1 if place == other else size for place, size in enumerate(X.shape)])
    return build(nodes, weights, {"x": X.shape}, ["y"])


@pytest.mark.parametrize("is_bounded", [True, False])
@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_spelling_is_one_operator(build, run, everywhere, axis, keeps, is_bounded):
    model = written_out(build, axis=axis, keeps=keeps, is_bounded=is_bounded)
    after = canonical(model)
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[2x3x7]",
        f"y:float[2x3x7] = Softmax{{axis={axis}}}(x)",
        "outputs: y",
    ]
    expected = run(model, {"x": X})[0]
    for found in (*run(after, {"x": X}), *everywhere(after, {"x": X})):
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("change", [{"bound": 0.0}, {"other": 1}])
def test_another_computation_stays(build, run, change):
    model = written_out(build, **change)
    after = canonical(model)
    assert "Softmax" not in operators(after)
    np.testing.assert_allclose(run(after, {"x": X})[0], run(model, {"x": X})[0], atol=1e-6)
