"""Outputs keep the names that they came with, whatever becomes of what they hold."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright.ir.model import Model
from edgewright.ir.rewrites.canonicalize import Canonicalize
from onnx import TensorProto, helper

NODES = {
    "the same twice": [("Relu", "x", "one"), ("Relu", "x", "two")],
    "one of the other": [("Relu", "x", "two"), ("Identity", "two", "one")],
    "swapped behind another": [("Relu", "x", "a"), ("Neg", "x", "b"), ("Identity", "b", "one"), ("Identity", "a", "two")],
    "the input itself": [("Identity", "x", "one"), ("Neg", "x", "two")],
    "all alike": [("Identity", "x", "two"), ("Identity", "two", "one")],
}


@pytest.mark.parametrize("nodes", NODES.values(), ids=list(NODES))
def test_outputs_are_found_by_their_names(nodes: list[tuple[str, str, str]]) -> None:
    shape = [2, 3]
    graph = helper.make_graph(
        [helper.make_node(kind, [given], [made]) for kind, given, made in nodes],
        "outputs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("one", "two")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(proto)
    model = Canonicalize().run(Model.from_bytes(proto.SerializeToString())).model
    assert [spec.name for spec in model.outputs] == ["one", "two"]
    x = {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    before, after = (
        onnxruntime.InferenceSession(data).run(["one", "two"], x) for data in (proto.SerializeToString(), model.to_bytes())
    )
    assert all(np.array_equal(left, right) for left, right in zip(before, after, strict=True))
