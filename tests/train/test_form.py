"""The training form: no shape is computed, and every batch size gives what ONNX Runtime gives for the source."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgewright.core.errors import ModelError
from edgewright.ir.model import Model, constant
from edgewright.ir.rewrites.canonicalize import canonical
from edgewright.ir.verify import operators
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.module import GraphModule
from onnx import TensorProto, helper, numpy_helper

Arrays = dict[str, Any]
node = helper.make_node


def model_of(nodes: list[onnx.NodeProto], weights: Arrays, shape: list[Any], out: list[Any] | None = None) -> Model:
    """A canonical model from x to y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return canonical(Model.from_bytes(proto.SerializeToString()))


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(model: Model, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # The later fusions compute in integers where weights are int8.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def check(source: Model) -> Model:
    """The form of `source`, which answers as the source does: interpreted, and in ONNX Runtime, at three batch sizes."""
    form = training_form(source)
    module = GraphModule(form).eval()
    fixed = source.inputs[0].shape[0]
    for size in (1, 2, 5):
        x = weights(size, *(length for length in source.inputs[0].shape[1:] if length is not None), seed=size)
        one = [run(source, row[None]) for row in x] if fixed == 1 else None
        expected = run(source, x) if one is None else np.concatenate(one)
        with torch.no_grad():
            np.testing.assert_allclose(module({"x": torch.from_numpy(x)})["y"].numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(run(form, x), expected, rtol=1e-4, atol=1e-5)
    return form


def int64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


TOKENS = (
    [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "first"], ["count"]),
        node("Concat", ["count", "rest"], ["target"], axis=0),
        node("Expand", ["token", "target"], ["tokens"]),
        node("Concat", ["tokens", "x"], ["joined"], axis=1),
        node("Add", ["joined", "position"], ["placed"]),
        node("MatMul", ["placed", "w"], ["y"]),
    ],
    {
        "zero": np.int64(0),
        "first": int64(0),
        "rest": int64(1, 4),
        "token": weights(1, 1, 4),
        "position": weights(1, 6, 4, seed=1),
        "w": weights(4, 3, seed=2),
    },
)


def test_a_class_token_keeps_its_expand_with_the_shortest_target() -> None:
    form = check(model_of(*TOKENS, ["n", 5, 4]))
    assert operators(form) == {"Shape": 1, "Concat": 2, "Expand": 1, "Add": 1, "MatMul": 1}
    assert set(GraphModule(form).trainable()) == {"token", "position", "w"}


def test_reshapes_by_computed_sizes_become_constant() -> None:
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "zero"], ["n"], axis=0),
        node("Mul", ["n", "two"], ["pairs"]),
        node("Unsqueeze", ["pairs", "first"], ["count"]),
        node("Concat", ["count", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["halves"]),
        node("MatMul", ["halves", "w"], ["h"]),
        node("Reshape", ["h", "back"], ["y"]),
    ]
    form = check(
        model_of(
            nodes,
            {
                "zero": np.int64(0),
                "two": np.int64(2),
                "first": int64(0),
                "rest": int64(3),
                "w": weights(3, 2),
                "back": int64(-1, 4),
            },
            ["n", 6],
        )
    )
    assert set(operators(form)) == {"Reshape", "MatMul"}
    assert [constant(item.inputs[1]).tolist() for item in form.graph if item.op_type == "Reshape"] == [[-1, 3], [-1, 4]]


def test_what_shapes_alone_decide_is_a_constant() -> None:
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Slice", ["sizes", "one", "two"], ["length"]),
        node("Squeeze", ["length"], ["steps"]),
        node("Range", ["zero", "steps", "unit"], ["places"]),
        node("Gather", ["table", "places"], ["position"]),
        node("Add", ["x", "position"], ["placed"]),
        node("Shape", ["x"], ["all"]),
        node("Expand", ["bias", "all"], ["grown"]),
        node("Mul", ["placed", "grown"], ["scaled"]),
        node("MatMul", ["scaled", "w"], ["y"]),
    ]
    form = check(
        model_of(
            nodes,
            {
                "one": int64(1),
                "two": int64(2),
                "zero": np.int64(0),
                "unit": np.int64(1),
                "table": weights(9, 4),
                "bias": weights(4, seed=4),
                "w": weights(4, 2, seed=5),
            },
            ["n", 5, 4],
        )
    )
    assert set(operators(form)) <= {"Add", "Mul", "MatMul", "Gather"}


def test_the_form_of_a_form_is_itself() -> None:
    form = training_form(model_of(*TOKENS, ["n", 5, 4]))
    assert training_form(form).to_bytes() == form.to_bytes()


def test_int8_weights_become_float() -> None:
    nodes = [
        node("DequantizeLinear", ["q", "scale"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    source = model_of(nodes, {"q": np.arange(-6, 6, dtype=np.int8).reshape(4, 3), "scale": np.float32(0.1)}, ["n", 4])
    assert operators(check(source)) == {"MatMul": 1}


def test_another_free_axis_is_told() -> None:
    source = model_of([node("MatMul", ["x", "w"], ["y"])], {"w": weights(4, 2)}, ["n", "length", 4])
    with pytest.raises(ModelError, match="axis 1 of the input 'x' has no fixed size"):
        training_form(source)


ATTENTION = (
    [
        node("Transpose", ["x"], ["first"], perm=[1, 0, 2]),
        node("MatMul", ["first", "w"], ["h"]),
        node("Reshape", ["h", "heads"], ["split"]),
        node("Transpose", ["split"], ["turned"], perm=[1, 0, 2]),
        node("Reshape", ["turned", "apart"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "k"], ["scores"]),
        node("Softmax", ["scores"], ["weights"]),
        node("MatMul", ["weights", "q"], ["seen"]),
        node("Transpose", ["seen"], ["back"], perm=[2, 0, 1, 3]),
        node("Reshape", ["back", "rows"], ["matrix"]),
        node("Gemm", ["matrix", "out", "bias"], ["made"], transB=1),
        node("Reshape", ["made", "time"], ["again"]),
        node("Transpose", ["again"], ["y"], perm=[1, 0, 2]),
    ],
    {
        "w": weights(6, 6),
        "out": weights(6, 6, seed=1),
        "bias": weights(6, seed=2),
        "heads": int64(5, 2, 3),
        "apart": int64(1, 2, 5, 3),
        "rows": int64(5, 6),
        "time": int64(5, 1, 6),
    },
)


def test_the_attention_of_one_sample_is_freed() -> None:
    source = model_of(*ATTENTION, [1, 5, 6])
    assert source.inputs[0].shape == (1, 5, 6)
    form = check(source)
    assert form.inputs[0].shape == (None, 5, 6)
    assert set(GraphModule(form).trainable()) == {"w", "out", "bias"}


def test_a_class_token_of_one_sample_is_copied_for_each() -> None:
    nodes = [node("Concat", ["token", "x"], ["joined"], axis=1), node("MatMul", ["joined", "w"], ["y"])]
    form = check(model_of(nodes, {"token": weights(1, 1, 4), "w": weights(4, 3)}, [1, 5, 4]))
    assert operators(form) == {"Shape": 1, "Concat": 2, "Expand": 1, "MatMul": 1}


def test_a_recurrent_layer_of_one_sample_is_freed() -> None:
    nodes = [
        node("Reshape", ["x", "time_first"], ["first"]),
        node("LSTM", ["first", "w", "r", "", "", "zeros", "zeros"], ["h", "", ""], hidden_size=3),
        node("Reshape", ["h", "flat"], ["rows"]),
        node("MatMul", ["rows", "head"], ["scores"]),
        node("ReduceMean", ["scores", "axis"], ["y"], keepdims=0),
    ]
    form = check(
        model_of(
            nodes,
            {
                "time_first": int64(5, 1, 4),
                "w": weights(1, 12, 4),
                "r": weights(1, 12, 3),
                "zeros": np.zeros((1, 1, 3), np.float32),
                "flat": int64(5, 1, 3),
                "head": weights(3, 2),
                "axis": int64(0),
            },
            [1, 5, 4],
        )
    )
    assert set(GraphModule(form).trainable()) == {"w", "r", "head"}


def test_what_computes_across_samples_is_named() -> None:
    nodes = [
        node("Reshape", ["x", "flat"], ["vector"]),
        node("Softmax", ["vector"], ["y"], axis=0, name="over all"),
    ]
    with pytest.raises(ModelError, match="cannot be freed for training: the node 'over all'"):
        training_form(model_of(nodes, {"flat": int64(4)}, [1, 4]))


def test_a_batch_fixed_to_more_is_told() -> None:
    source = model_of([node("MatMul", ["x", "w"], ["y"])], {"w": weights(4, 2)}, [3, 4])
    with pytest.raises(ModelError, match="the input 'x' has a fixed batch of 3"):
        training_form(source)


def test_a_strided_view_is_a_reshape() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Reshape", ["h", "flat"], ["vector"]),
        node("Gather", ["vector", "places"], ["y"]),
    ]
    form = check(model_of(nodes, {"w": weights(4, 6), "flat": int64(-1), "places": np.arange(6).reshape(1, 2, 3)}, [1, 4]))
    assert set(operators(form)) == {"MatMul", "Reshape"}
