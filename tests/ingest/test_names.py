from __future__ import annotations

import numpy as np
import onnx
from edgewright.ir.model import Model
from edgewright.optimizer.ingest.names import settle_names


def exported(first, second, flipped):
    """A graph whose constants were numbered, and lie, in either order."""
    weights = [
        onnx.numpy_helper.from_array(np.full(3, value, np.float32), f"const_fold_opt__{number}")
        for value, number in ((1, first), (2, second))
    ]
    nodes = [
        onnx.helper.make_node("Mul", ["x", f"const_fold_opt__{first}"], [f"Mul__{second}:0"], name=f"Mul__{second}"),
        onnx.helper.make_node("Add", [f"Mul__{second}:0", f"const_fold_opt__{second}"], ["y__1"], name="add"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [2, 3])],
        [onnx.helper.make_tensor_value_info("y__1", 1, [2, 3])],
        weights[::-1] if flipped else weights,
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(proto.SerializeToString())


def test_counters_and_order_leave_no_trace():
    one, other = exported(140, 142, False), exported(77, 12, True)
    assert one.to_bytes() != other.to_bytes()
    settle_names(one)
    settle_names(other)
    assert one.to_bytes() == other.to_bytes()
    assert list(one.weights()) == ["Mul_0_in1", "Add_1_in1"]
    np.testing.assert_array_equal(one.weights()["Add_1_in1"], [2, 2, 2])
    assert [spec.name for spec in one.outputs] == ["y__1"]
