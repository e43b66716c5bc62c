from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import weakref
from textwrap import dedent

import numpy as np
import onnx
import pytest
from edgewright.core.errors import ModelError
from edgewright.ir.model import MADE_BY
from edgewright.ir.pipeline import Pipeline
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
from edgewright.ir.rewrites.strip import Strip
from edgewright.ir.verify import operators, verify
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(7)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def shown(model):
    """Text without the types, which other tests look at."""
    return [line.split("  #")[0] for line in str(model).splitlines()]


def canonical(model):
    result = Canonicalize().run(model)
    verify(result.model)
    return result.model


def same(run, before, after, inputs, tolerance=1e-5):
    for left, right in zip(run(before, inputs), run(after, inputs), strict=True):
        assert left.shape == right.shape
        assert left.dtype == right.dtype
        np.testing.assert_allclose(right, left, rtol=tolerance, atol=tolerance)


def test_the_graph_of_the_docstring(build, run):
    model = build(
        [
            ("Shape", ["x"], ["s"], {}),
            ("Constant", [], ["zero"], {"value_ints": [0]}),
            ("Gather", ["s", "zero"], ["b"], {"axis": 0}),
            ("Constant", [], ["rest"], {"value_ints": [-1]}),
            ("Concat", ["b", "rest"], ["t"], {"axis": 0}),
            ("Identity", ["x"], ["i"], {}),
            ("Conv", ["i", "w"], ["c"], {}),
            ("ReduceMean", ["c", "axes"], ["p"], {}),
            ("Reshape", ["p", "t"], ["y"], {}),
        ],
        {"w": floats(4, 3, 3, 3), "axes": np.array([2, 3])},
        {"x": ["n", 3, 8, 8]},
        ["y"],
    )
    after = canonical(model)
    assert [line.split(" = ")[-1].split("{")[0] for line in shown(after)[1:-1]] == ["Conv", "GlobalAveragePool", "Reshape"]
    assert after.inputs[0].shape == (None, 3, 8, 8)
    assert after.outputs[0].shape == (None, 4)
    same(run, model, after, {"x": floats(2, 3, 8, 8)})


def test_text_before_and_after(build):
    model = build(
        [
            ("Transpose", ["x"], ["a"], {"perm": [0, 2, 1]}),
            ("Transpose", ["a"], ["b"], {"perm": [0, 2, 1]}),
            ("Relu", ["b"], ["c"], {}),
            ("Relu", ["b"], ["d"], {}),
            ("Add", ["c", "d"], ["y"], {}),
            ("Sigmoid", ["x"], ["dead"], {}),
        ],
        {},
        {"x": [2, 3, 4]},
        ["y"],
    )
    assert str(model).splitlines()[1:-1] == [
        "a:?[?] = Transpose{perm=(0, 2, 1)}(x)",
        "b:?[?] = Transpose{perm=(0, 2, 1)}(a)",
        "c:?[?] = Relu{}(b)",
        "d:?[?] = Relu{}(b)",
        "y:float[?] = Add{}(c, d)",
        "dead:?[?] = Sigmoid{}(x)",
    ]
    assert str(canonical(model)).splitlines() == [
        "inputs: x:float[2x3x4]",
        "c:float[2x3x4] = Relu{}(x)",
        "y:float[2x3x4] = Add{}(c, c)",
        "outputs: y",
    ]


def test_batch_norm_stays_whole(build, run):
    model = build(
        [("Conv", ["x", "w"], ["c"], {}), ("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], {})],
        {"w": floats(4, 3, 1, 1), "g": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 0.5},
        {"x": [1, 3, 5, 5]},
        ["y"],
    )
    assert operators(canonical(model)) == {"Conv": 1, "BatchNormalization": 1}


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 17, 18, 20, 21, 22, 23, 24])
def test_every_opset_arrives_at_one(build, run, opset):
    model = build(
        [
            ("Conv", ["x", "w"], ["c"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], {}),
            ("Relu", ["n"], ["r"], {}),
            ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Flatten", ["p"], ["f"], {}),
            ("MatMul", ["f", "d"], ["e"], {}),
            ("Add", ["e", "k"], ["y"], {}),
        ],
        {
            "w": floats(4, 3, 3, 3),
            "g": floats(4),
            "b": floats(4),
            "m": floats(4),
            "v": np.abs(floats(4)) + 0.5,
            "d": floats(36, 5),
            "k": floats(5),
        },
        {"x": ["n", 3, 11, 11]},
        ["y"],
        opset=opset,
    )
    after = canonical(model)
    assert after.ir.opset_imports == {"": 21}
    assert operators(after) == {"Conv": 1, "BatchNormalization": 1, "Relu": 1, "MaxPool": 1, "Reshape": 1, "Gemm": 1}
    same(run, model, after, {"x": floats(2, 3, 11, 11)})


def test_an_operator_that_the_opset_does_not_have_is_one_sentence(build):
    model = build([("Swish", ["x"], ["y"], {})], {}, {"x": [1, 4]}, ["y"], opset=24)
    with pytest.raises(ModelError, match=r"opset 24 cannot be converted to opset 21: .*Swish"):
        Canonicalize().run(model)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Conv", {"strides": [2, 3], "dilations": [1, 1]}),
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2], "count_include_pad": 0}),
    ],
)
def test_automatic_padding_becomes_numbers(build, run, kind, attributes, mode):
    given = ["x", "w"] if kind == "Conv" else ["x"]
    model = build(
        [(kind, given, ["y"], {**attributes, "auto_pad": mode})], {"w": floats(4, 3, 3, 2)}, {"x": ["n", 3, 13, 14]}, ["y"]
    )
    after = canonical(model)
    node = next(iter(after.graph))
    assert "auto_pad" not in node.attributes
    assert len(node.attributes["pads"].value) == 4
    same(run, model, after, {"x": floats(2, 3, 13, 14)})


def test_automatic_padding_counts_dilations(build):
    model = build(
        [("Conv", ["x", "w"], ["y"], {"auto_pad": "SAME_LOWER", "dilations": [2, 3]})],
        {"w": floats(4, 3, 3, 2)},
        {"x": ["n", 3, 13, 14]},
        ["y"],
    )
    after = canonical(model)
    assert list(next(iter(after.graph)).attributes["pads"].value) == [2, 2, 2, 1]
    assert after.outputs[0].shape == (None, 4, 13, 14)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
def test_a_mean_over_the_picture_is_a_global_pool(build, run, keepdims, axes):
    model = build(
        [("ReduceMean", ["x", "a"], ["y"], {"keepdims": keepdims})], {"a": np.array(axes)}, {"x": ["n", 3, 5, 6]}, ["y"]
    )
    after = canonical(model)
    assert operators(after) == ({"GlobalAveragePool": 1} if keepdims else {"GlobalAveragePool": 1, "Reshape": 1})
    same(run, model, after, {"x": floats(2, 3, 5, 6)})
    assert {node.metadata_props.get(MADE_BY) for node in after.graph} == {"canonicalize"}


def test_other_means_stay(build):
    for axes in ([1, 2], [3], [1, 2, 3]):
        model = build([("ReduceMean", ["x", "a"], ["y"], {})], {"a": np.array(axes)}, {"x": ["n", 3, 5, 6]}, ["y"])
        assert operators(canonical(model)) == {"ReduceMean": 1}


def test_a_pool_over_the_whole_picture_is_a_global_pool(build, run):
    model = build([("AveragePool", ["x"], ["y"], {"kernel_shape": [5, 6]})], {}, {"x": ["n", 3, 5, 6]}, ["y"])
    after = canonical(model)
    assert operators(after) == {"GlobalAveragePool": 1}
    same(run, model, after, {"x": floats(2, 3, 5, 6)})


@pytest.mark.parametrize("bias", [(5,), (1, 5), (1,), (2, 5), (3, 2, 5)])
def test_matmul_and_add_are_gemm_only_where_the_bias_is_a_row(build, run, bias):
    model = build(
        [("MatMul", ["x", "w"], ["m"], {}), ("Add", ["m", "b"], ["y"], {})],
        {"w": floats(4, 5), "b": floats(*bias)},
        {"x": [2, 4]},
        ["y"],
    )
    after = canonical(model)
    expected = {"Gemm": 1} if bias in ((5,), (1, 5), (1,)) else {"MatMul": 1, "Add": 1}
    assert operators(after) == expected
    same(run, model, after, {"x": floats(2, 4)})


def test_a_transposed_weight_goes_into_gemm(build, run):
    model = build(
        [
            ("Transpose", ["w"], ["t"], {"perm": [1, 0]}),
            ("MatMul", ["x", "t"], ["m"], {}),
            ("Add", ["b", "m"], ["y"], {}),
        ],
        {"w": floats(5, 4), "b": floats(5)},
        {"x": ["n", 4]},
        ["y"],
    )
    after = canonical(model)
    assert operators(after) == {"Gemm": 1}
    same(run, model, after, {"x": floats(3, 4)})


def test_hard_swish_is_found(build, run):
    model = build(
        [
            ("Add", ["x", "three"], ["a"], {}),
            ("Clip", ["a", "zero", "six"], ["c"], {}),
            ("Mul", ["c", "x"], ["m"], {}),
            ("Div", ["m", "six"], ["y"], {}),
        ],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)},
        {"x": ["n", 9]},
        ["y"],
    )
    after = canonical(model)
    assert operators(after) == {"HardSwish": 1}
    same(run, model, after, {"x": floats(4, 9) * 4})


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_hard_swish_as_keras_writes_it(build, run, shape):
    model = build(
        [
            ("Add", ["three", "x"], ["a"], {}),
            ("Clip", ["a", "zero", "six"], ["c"], {}),
            ("Mul", ["c", "sixth"], ["m"], {}),
            ("Mul", ["m", "x"], ["y"], {}),
        ],
        {
            "three": np.full(shape, 3, np.float32),
            "zero": np.float32(0),
            "six": np.float32(6),
            "sixth": np.float32(1 / 6),
        },
        {"x": ["n", 9]},
        ["y"],
    )
    after = canonical(model)
    assert operators(after)["HardSwish" if len(shape) < 3 else "Clip"] == 1
    same(run, model, after, {"x": floats(4, 9) * 4})


@pytest.mark.parametrize(("axes", "is_moved"), [([1, 2], True), ([-2, 1], True), ([3], True), ([1], False), ([0], False)])
def test_a_mean_looks_through_a_transpose(build, run, axes, is_moved):
    model = build(
        [
            ("Relu", ["x"], ["r"], {}),
            ("Transpose", ["r"], ["t"], {"perm": [0, 2, 3, 1]}),
            ("ReduceMean", ["t", "a"], ["y"], {"keepdims": 0}),
        ],
        {"a": np.array(axes)},
        {"x": ["n", 3, 5, 6]},
        ["y"],
    )
    after = canonical(model)
    assert ("Transpose" not in operators(after)) == is_moved
    same(run, model, after, {"x": floats(2, 3, 5, 6)})


def test_a_pad_goes_into_the_convolution(build, run):
    model = build(
        [("Pad", ["x", "p"], ["a"], {}), ("Conv", ["a", "w"], ["y"], {"pads": [1, 0, 0, 0]})],
        {"p": np.array([0, 0, 0, 1, 0, 0, 2, 3]), "w": floats(4, 3, 3, 3)},
        {"x": ["n", 3, 6, 6]},
        ["y"],
    )
    after = canonical(model)
    assert operators(after) == {"Conv": 1}
    same(run, model, after, {"x": floats(2, 3, 6, 6)})


def test_dropout_leaves_and_training_mode_is_refused(build):
    quiet = build([("Dropout", ["x"], ["d"], {}), ("Relu", ["d"], ["y"], {})], {}, {"x": [1, 4]}, ["y"])
    assert operators(canonical(quiet)) == {"Relu": 1}
    for node in (
        ("Dropout", ["x", "half", "yes"], ["y"], {}),
        ("BatchNormalization", ["x", "g", "g", "g", "g"], ["y", "m", "v"], {"training_mode": 1}),
    ):
        weights = {"half": np.float32(0.5), "yes": np.array(True), "g": np.ones(4, np.float32)}
        with pytest.raises(ModelError, match=r"training mode; export it for inference"):
            Canonicalize().run(build([node], weights, {"x": [2, 4]}, ["y"]))


@pytest.mark.parametrize("kind", ["Expand", "Tile"])
def test_a_constant_that_asks_for_all_memory_is_not_computed(build, kind):
    model = build(
        [(kind, ["w", "huge"], ["e"], {}), ("ReduceMax", ["e"], ["m"], {"keepdims": 0}), ("Add", ["x", "m"], ["y"], {})],
        {"w": np.ones((1, 1), np.float32), "huge": np.array([1 << 20, 1 << 20])},
        {"x": ["n", 3]},
        ["y"],
    )
    assert kind in operators(canonical(model))


def test_functions_are_inlined(run):
    proto = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        agraph (float[N, 4] x) => (float[N, 4] y) { y = local.twice (x) }
        <domain: "local", opset_import: ["" : 18]>
        twice (a) => (c) { b = Relu (a)  c = Add (b, b) }
        """
    )
    from edgewright.ir.model import Model

    model = Model.from_bytes(proto.SerializeToString())
    after = canonical(model)
    assert operators(after) == {"Relu": 1, "Add": 1}
    assert not after.ir.functions
    same(run, model, after, {"x": floats(2, 4)})


def test_weights_that_are_inputs_too_become_weights(run):
    weights = onnx.numpy_helper.from_array(floats(4), "w")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "old",
        [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in ("x", "w")],
        [onnx.helper.make_tensor_value_info("y", 1, [4])],
        [weights],
    )
    from edgewright.ir.model import Model

    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)], ir_version=3)
    model = Model.from_bytes(proto.SerializeToString())
    after = canonical(model)
    assert [str(value.name) for value in after.graph.inputs] == ["x"]
    same(run, model, after, {"x": floats(4)})


def test_nothing_changes_the_second_time_and_the_input_never(build):
    model = build(
        [("Identity", ["x"], ["a"], {}), ("Flatten", ["a"], ["b"], {}), ("Relu", ["b"], ["y"], {})],
        {},
        {"x": ["n", 3, 4]},
        ["y"],
    )
    before = model.to_bytes()
    first = Canonicalize().run(model)
    assert first.changed
    assert model.to_bytes() == before
    second = Canonicalize().run(first.model)
    assert not second.changed
    assert second.model.to_bytes() == first.model.to_bytes()


def test_a_model_that_nobody_has_any_more_is_gone(build):
    model = build(
        [("MatMul", ["x", "w"], ["m"], {}), ("Add", ["m", "b"], ["a"], {}), ("Relu", ["a"], ["y"], {})],
        {"w": floats(4, 3), "b": floats(3)},
        {"x": [2, 4]},
        ["y"],
    )
    result = Canonicalize().run(model).model
    graphs = weakref.ref(model.graph), weakref.ref(result.graph)
    del model, result
    gc.collect()
    assert [graph() for graph in graphs] == [None, None]


def test_pass_text_round_trips():
    registry = {kind.name: kind for kind in (Canonicalize, FoldBatchNorm, Strip)}
    assert str(Pipeline.parse("strip,canonicalize,fold-bn", registry)) == "strip,canonicalize,fold-bn"


PROGRAM = dedent(
    """
    import hashlib, sys
    import numpy as np, onnx
    from edgewright.ir.model import Model
    from edgewright.ir.rewrites.batch import fix_batch
    from edgewright.ir.rewrites.canonicalize import Canonicalize
    from edgewright.ir.rewrites.fold_bn import FoldBatchNorm
    from edgewright.ir.rewrites.strip import Strip
    model = Model.load(sys.argv[1])
    for step in (Strip(), Canonicalize(), FoldBatchNorm()):
        model = step.run(model).model
    print(hashlib.sha256(fix_batch(model, 1).to_bytes()).hexdigest())
    """
)


def test_two_processes_give_the_same_bytes(build, tmp_path):
    model = build(
        [
            ("Conv", ["x", "w"], ["c"], {"auto_pad": "SAME_UPPER"}),
            ("BatchNormalization", ["c", "g", "g", "g", "g"], ["n"], {}),
            ("BatchNormalization", ["x", "h", "h", "h", "h"], ["o"], {}),
            ("Concat", ["n", "o"], ["q"], {"axis": 1}),
            ("ReduceMean", ["q", "axes"], ["p"], {"keepdims": 0}),
            ("Unsqueeze", ["p", "last"], ["u"], {}),
            ("Shape", ["u"], ["s"], {}),
            ("Expand", ["u", "s"], ["e"], {}),
            ("Squeeze", ["e", "last"], ["f"], {}),
            ("MatMul", ["f", "d"], ["m"], {}),
            ("Add", ["m", "k"], ["y"], {}),
        ],
        {
            "w": np.ones((4, 3, 3, 3), np.float32),
            "g": np.ones(4, np.float32),
            "h": np.full(3, 2, np.float32),
            "axes": np.array([2, 3]),
            "last": np.array([2]),
            "d": np.ones((7, 5), np.float32),
            "k": np.ones(5, np.float32),
        },
        {"x": ["n", 3, 8, 8]},
        ["y"],
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.to_bytes())
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


UNARY = st.sampled_from(
    ["Relu", "Sigmoid", "Tanh", "HardSwish", "Identity", "Neg", "Abs", "Transpose", "Flatten", "Cast", "Clip"]
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(UNARY, st.integers(0, 5), st.booleans()), min_size=1, max_size=8), seed=st.integers(0, 999))
def test_any_chain_keeps_its_answers(build, run, steps, seed):
    values = [("x", 3)]
    nodes = []
    for index, (kind, source, joined) in enumerate(steps):
        name, rank = values[source % len(values)]
        made = f"v{index}"
        attributes = {}
        given_ = [name]
        if kind == "Transpose":
            attributes = {"perm": list(reversed(range(rank)))}
        elif kind == "Cast":
            attributes = {"to": 1}
        elif kind == "Clip":
            given_ += ["low", "high"]
        elif kind == "Flatten":
            rank = 2
        nodes.append((kind, given_, [made], attributes))
        values.append((made, rank))
        if joined:
            nodes.append(("Add", [made, made], [f"{made}_twice"], {}))
            values.append((f"{made}_twice", rank))
    model = build(
        nodes,
        {"low": np.float32(-0.5), "high": np.float32(0.5)},
        {"x": ["n", 2, 3]},
        [values[-1][0], values[len(values) // 2][0]]
        if values[-1][0] != values[len(values) // 2][0] and values[len(values) // 2][0] != "x"
        else [values[-1][0]],
    )
    inputs = {"x": np.random.default_rng(seed).standard_normal((2, 2, 3)).astype(np.float32)}
    same(run, model, canonical(model), inputs)
