from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.ir.model import Model
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.verify import verify
from scipy.special import erfc

X = np.linspace(-5, 5, 60, dtype=np.float32).reshape(3, 20)


def with_erfc(nodes, numbers):
    """A model with an operator that ONNX does not know, as tf2onnx leaves it."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(*node) for node in nodes],
        "test",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 20])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 20])],
        [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    return Model.from_bytes(proto.SerializeToString())


def canonical(model):
    result = Canonicalize().run(model).model
    verify(result)
    return result


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([("Erfc", ["x"], ["y"])], erfc),
        ([("Neg", ["x"], ["n"]), ("Mul", ["n", "c"], ["a"]), ("Erfc", ["a"], ["y"])], lambda x: erfc(-0.7 * x)),
        ([("Neg", ["x"], ["n"]), ("Mul", ["c", "n"], ["a"]), ("Erfc", ["a"], ["y"])], lambda x: erfc(-0.7 * x)),
        ([("Mul", ["x", "c"], ["a"]), ("Erfc", ["a"], ["y"])], lambda x: erfc(0.7 * x)),
    ],
)
def test_the_complement_is_expressed_by_the_function(run, nodes, expected):
    used = {name for _, inputs, _ in nodes for name in inputs}
    after = canonical(with_erfc(nodes, {"c": 0.7} if "c" in used else {}))
    np.testing.assert_allclose(run(after, {"x": X})[0], expected(X.astype(np.float64)), atol=3e-7)


def test_gelu_as_keras_writes_it(run, everywhere):
    nodes = [
        ("Mul", ["half", "x"], ["h"]),
        ("Neg", ["x"], ["n"]),
        ("Mul", ["n", "root"], ["a"]),
        ("Erfc", ["a"], ["e"]),
        ("Mul", ["h", "e"], ["y"]),
    ]
    after = canonical(with_erfc(nodes, {"half": 0.5, "root": np.sqrt(0.5)}))
    assert [line.split("  #")[0] for line in str(after).splitlines()] == [
        "inputs: x:float[3x20]",
        "y:float[3x20] = Gelu{approximate=none}(x)",
        "outputs: y",
    ]
    expected = X * erfc(-X.astype(np.float64) / np.sqrt(2)) / 2
    for found in (*run(after, {"x": X}), *everywhere(after, {"x": X})):
        np.testing.assert_allclose(found, expected, atol=2e-6)
