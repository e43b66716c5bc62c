"""Which nodes run in int8, which tensors share a scale."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgewright.ir.model import Model
from edgewright.optimizer.quantize.plan import make_plan
from edgewright.runtimes.contract import OperatorRule, Scheme
from onnx import TensorProto, helper, numpy_helper

SAME = OperatorRule(same_scale=True)
RULES = {
    "Conv": OperatorRule(weights=1, per_channel=True),
    "MatMul": OperatorRule(weights=1, per_channel=True),
    "Add": OperatorRule(),
    "Concat": SAME,
    "MaxPool": SAME,
    "Gather": SAME,
    "Sigmoid": OperatorRule(fixed_output=(1 / 256, -128)),
    "Tanh": OperatorRule(fixed_output=(1 / 128, 0)),
}
SCHEME = Scheme("test", "int8", "int8", RULES)


def build(nodes: list[onnx.NodeProto], out: str, channels: int = 4) -> Model:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(channels, channels, 1, 1)).astype(np.float32) for name in ("w1", "w2", "w3")}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 8, 8])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def conv(given: str, made: str, weights: str = "w1") -> onnx.NodeProto:
    return helper.make_node("Conv", [given, weights], [made])


def test_relu_is_absorbed_and_the_tensor_between_has_no_scale() -> None:
    plan = make_plan(build([conv("x", "a"), helper.make_node("Relu", ["a"], ["b"])], "b"), SCHEME)
    assert plan.nodes == ("a",)
    assert plan.absorbed == {"b": "a"}
    assert set(plan.tensors) == {"x", "b"}


def test_a_relu_that_others_see_before_it_is_not_absorbed() -> None:
    nodes = [conv("x", "a"), helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["a", "b"], ["c"])]
    plan = make_plan(build(nodes, "c"), SCHEME)
    assert not plan.absorbed
    assert "a" in plan.tensors


def test_residual_addition_between_convolutions_runs_in_int8() -> None:
    nodes = [conv("x", "a"), conv("x", "b", "w2"), helper.make_node("Add", ["a", "b"], ["s"]), conv("s", "y", "w3")]
    assert make_plan(build(nodes, "y"), SCHEME).nodes == ("a", "b", "s", "y")


def test_what_nothing_reads_in_int8_stays_in_float() -> None:
    nodes = [conv("x", "a"), helper.make_node("Sigmoid", ["a"], ["p"])]
    plan = make_plan(build(nodes, "p"), SCHEME)
    assert plan.nodes == ("a",)
    assert "nothing in int8 reads" in plan.kept["p"]


def test_what_reads_a_float_tensor_stays_in_float() -> None:
    nodes = [
        conv("x", "a"),
        helper.make_node("Exp", ["a"], ["e"]),
        helper.make_node("Add", ["a", "e"], ["s"]),
        conv("s", "y", "w2"),
    ]
    plan = make_plan(build(nodes, "y"), SCHEME)
    assert plan.nodes == ("a", "y")
    assert "no int8 kernel for Exp" in plan.kept["e"]
    assert "reads a float tensor" in plan.kept["s"]


def test_concatenation_shares_one_scale() -> None:
    nodes = [
        conv("x", "a"),
        conv("x", "b", "w2"),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=2),
        helper.make_node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2]),
        conv("p", "y", "w3"),
    ]
    plan = make_plan(build(nodes, "y"), SCHEME)
    assert len({plan.tensors[name] for name in "abcp"}) == 1
    assert plan.tensors["x"] != plan.tensors["a"]


def test_contradicting_demands_go_back_to_float() -> None:
    nodes = [
        conv("x", "a"),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Tanh", ["a"], ["t"]),
        helper.make_node("Concat", ["s", "t"], ["c"], axis=2),
        conv("c", "y", "w2"),
    ]
    plan = make_plan(build(nodes, "y"), SCHEME)
    assert "c" not in plan.nodes
    assert "different scales" in plan.kept["c"]


@pytest.mark.parametrize("layer", ["a", "y"])
def test_layers_can_be_kept_in_float(layer: str) -> None:
    plan = make_plan(build([conv("x", "a"), conv("a", "y", "w2")], "y"), SCHEME, (layer,))
    assert layer not in plan.nodes
    assert plan.kept[layer] == "kept in float for accuracy"


def test_weights_that_are_not_constant_are_no_weights() -> None:
    plan = make_plan(build([helper.make_node("Conv", ["x", "x"], ["y"])], "y"), SCHEME)
    assert not plan.nodes
    assert "not constant" in plan.kept["y"]


def lookup(rows: int, *more: onnx.NodeProto, axis: int = 0, indices: str = "x") -> Model:
    """tokens -> Gather from a table of rows of 32 -> Exp, or `more` that makes y of the rows r."""
    table = np.random.default_rng(0).normal(size=(rows, 32)).astype(np.float32)
    held = {"table": table, "places": np.arange(4)[None], "square": table[:32] if rows > 32 else table}
    nodes = [helper.make_node("Gather", ["table", indices], ["r"], axis=axis)]
    nodes += more or [helper.make_node("Exp", ["r"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def test_a_table_is_looked_up_in_int8_whoever_reads_the_rows() -> None:
    plan = make_plan(lookup(64), SCHEME)
    assert plan.nodes == ("r",)
    assert plan.tensors["table"] == plan.tensors["r"]


def test_a_table_that_is_small_or_is_cut_into_columns_stays_in_float() -> None:
    for model in (lookup(31), lookup(64, axis=1)):
        assert make_plan(model, SCHEME).kept["r"] == "it reads a float tensor"


@pytest.mark.parametrize("demanding", ["Sigmoid", "Tanh"])
def test_a_demanded_scale_never_cuts_a_table_off(demanding: str) -> None:
    nodes = [
        helper.make_node("MatMul", ["r", "square"], ["m"]),
        helper.make_node(demanding, ["m"], ["s"]),
        helper.make_node("Concat", ["r", "s"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "square"], ["y"]),
    ]
    plan = make_plan(lookup(64, *nodes), SCHEME)
    assert "c" not in plan.nodes
    assert plan.kept["c"] == "its inputs demand different scales"
    assert plan.tensors["r"] not in plan.fixed


def test_a_table_that_somebody_reads_as_it_is_and_rows_that_no_sample_decides_stay_in_float() -> None:
    read = lookup(64, helper.make_node("Exp", ["table"], ["e"]), helper.make_node("MatMul", ["r", "e"], ["y"]))
    for model in (read, lookup(64, indices="places")):
        assert "r" not in make_plan(model, SCHEME).nodes


def test_a_table_can_be_kept_in_float() -> None:
    assert make_plan(lookup(64), SCHEME, ("r",)).kept["r"] == "kept in float for accuracy"
