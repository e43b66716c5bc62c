"""Short names: nothing of the original changes, every number leads back, the graph's ports stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from edgewright.runtimes.naming import shorten

TEXT = """
<ir_version: 9, opset_import: ["" : 17]>
case (float[1,4] x, float[1,4] "3") => (float[1,4] "the/answer", float[1,4] again)
<float[4] "functional/a/very/long/kernel/ReadVariableOp/resource" = {1.0, 2.0, 3.0, 4.0}, float[4] twin = {1.0, 2.0, 3.0, 4.0}>
{
    "functional/a/very/long/sum" = Add(x, "functional/a/very/long/kernel/ReadVariableOp/resource")
    product = Mul("functional/a/very/long/sum", "3")
    "the/answer" = Relu(product)
    again = Add(product, twin)
}
"""


def _model() -> Model:
    proto = onnx.parser.parse_model(TEXT)
    for node in proto.graph.node:
        node.name = f"node of {node.output[0]}"
    return Model.from_bytes(proto.SerializeToString())


def test_values_and_nodes_get_numbers_that_lead_back() -> None:
    model = _model()
    before = model.to_bytes()
    short, names = shorten(model)
    assert model.to_bytes() == before
    assert [spec.name for spec in (*short.inputs, *short.outputs)] == ["x", "3", "the/answer", "again"]
    assert set(short.graph.initializers) == {"0", "1"}
    assert [node.outputs[0].name for node in short.graph] == ["2", "4", "the/answer", "again"]
    assert [names[str(node.name)] for node in short.graph] == [node.name for node in model.graph]
    assert shorten(model)[0].to_bytes() == short.to_bytes()


def test_a_result_that_is_left_out_gets_no_name() -> None:
    text = """
    <ir_version: 9, opset_import: ["" : 17]>
    case (float[1,4,4,4] x, float r, bool t) => (float[1,4,4,4] y) { d, mask = Dropout(x, r, t) y = Relu(d) }
    """
    proto = onnx.parser.parse_model(text)
    proto.graph.node[0].output[1] = ""
    short, _ = shorten(Model.from_bytes(proto.SerializeToString()))
    assert [value.name for value in next(iter(short.graph)).outputs] == ["0", ""]


@pytest.mark.parametrize("name", registry.NAMES)
def test_the_file_has_no_long_name_and_its_times_go_to_the_nodes(name: str) -> None:
    runtime, model = registry.get(name), _model()
    lowered = runtime.lower(model, load("x86-64-vnni"))
    assert all(b"functional" not in data for data in lowered.files.values())
    executor = runtime.load(lowered.files, lowered.entry, 1)
    x = {"x": np.float32([[1, -2, 3, 4]]), "3": np.float32([[2, 2, 2, 2]])}
    made = executor.run(x)
    np.testing.assert_array_equal(made["the/answer"], [[4, 0, 12, 16]])
    np.testing.assert_array_equal(made["again"], [[5, 2, 15, 20]])
    times = runtime.profile_operators(lowered.files, lowered.entry, 1, x, 2)
    nodes = {node.name for node in model.graph}
    assert {lowered.debug_map.get(operator) for operator, kind, _ in times if kind.lower() in ("add", "mul", "relu")} <= nodes
    assert set(lowered.debug_map.values()) <= nodes
