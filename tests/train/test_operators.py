"""Every operator against ONNX Runtime, and its gradient against finite differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgewright.core.errors import ModelError
from edgewright.ir.model import Model
from edgewright.optimizer.train.operators.table import OPERATORS
from edgewright.optimizer.train.trainable import WITHOUT_GRADIENT
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = np.ndarray[Any, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def positive(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.5, 2, size=shape).astype(np.float32)


def inside(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, size=shape).astype(np.float32)


def int64(*values: int) -> Array:
    return np.array(values, np.int64)


@dataclass
class Case:
    """One node: what it reads (None: left out), which of that is constant, what it is told."""

    op: str
    inputs: list[Array | None]
    constants: tuple[int, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    label: str = ""

    def model(self) -> Model:
        names = [f"i{place}" if array is not None else "" for place, array in enumerate(self.inputs)]
        made = [f"o{place}" for place in range(self.outputs)]
        graph = helper.make_graph(
            [helper.make_node(self.op, names, made, "node", **self.attributes)],
            "g",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                for place, (name, array) in enumerate(zip(names, self.inputs, strict=True))
                if array is not None and place not in self.constants
            ],
            [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in made],
            [numpy_helper.from_array(array, names[place]) for place, array in self.fixed().items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())

    def fixed(self) -> dict[int, Array]:
        return {place: array for place in self.constants if (array := self.inputs[place]) is not None}

    def fed(self) -> dict[str, Array]:
        return {
            f"i{place}": np.asarray(array)
            for place, array in enumerate(self.inputs)
            if array is not None and place not in self.constants
        }


def expected(case: Case) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(case.model().to_bytes(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, case.fed())]


def function(case: Case) -> Any:
    (node,) = case.model().graph
    return OPERATORS[case.op](node)


def found(case: Case) -> list[Array]:
    tensors = [None if array is None else torch.from_numpy(np.array(array)) for array in case.inputs]
    result = function(case)(*tensors)
    return [part.numpy() for part in (result if isinstance(result, (tuple, list)) else [result])]


X = numbers(2, 4, 6, 5)
BOX = {"kernel_shape": [3, 3]}
RECURRENT = {"hidden_size": 3}


def recurrent(op: str, gates: int, directions: int = 1, **attributes: Any) -> Case:
    x = numbers(5, 2, 4)
    w, r = numbers(directions, gates * 3, 4, seed=1), numbers(directions, gates * 3, 3, seed=2)
    b = numbers(directions, 2 * gates * 3, seed=3)
    outputs = 3 if op == "LSTM" else 2
    return Case(op, [x, w, r, b], (1, 2, 3), RECURRENT | attributes, outputs, f"{directions} {sorted(attributes)}")


def with_states(op: str, gates: int, **attributes: Any) -> Case:
    case = recurrent(op, gates, **attributes)
    states = [numbers(1, 2, 3, seed=4), numbers(1, 2, 3, seed=5)][: 2 if op == "LSTM" else 1]
    lengths = np.array([5, 3], np.int32)
    return Case(op, [*case.inputs, lengths, *states], (1, 2, 3), case.attributes, case.outputs, "states and lengths")


CASES = [
    *(Case(op, [numbers(3, 4)]) for op in ("Abs", "Atan", "Cos", "Erf", "Exp", "HardSwish", "Identity", "Mish", "Neg", "Relu")),
    *(Case(op, [numbers(3, 4)]) for op in ("Asinh", "Cosh", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh")),
    *(Case(op, [numbers(3, 4) * 3]) for op in ("Ceil", "Floor", "Round", "Sign", "IsNaN", "IsInf")),
    *(Case(op, [positive(3, 4)]) for op in ("Log", "Reciprocal", "Sqrt")),
    *(Case(op, [inside(3, 4)]) for op in ("Acos", "Asin", "Atanh")),
    Case("Acosh", [positive(3, 4) + 1]),
    *(Case(op, [numbers(2, 3, 4), positive(3, 1, seed=1)]) for op in ("Add", "Div", "Mul", "Sub", "Max", "Min", "Mean", "Sum")),
    *(Case(op, [numbers(3, 4), numbers(4, seed=1)]) for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")),
    *(Case(op, [numbers(3, 4) > 0, numbers(3, 4, seed=1) > 0]) for op in ("And", "Or", "Xor")),
    Case("Not", [numbers(3, 4) > 0]),
    Case("Div", [int64(7, -7, 5), int64(2, 2, -3)], label="integers"),
    Case("Mod", [int64(7, -7, 5), int64(2, 2, -3)]),
    Case("Mod", [numbers(4), positive(4)], attributes={"fmod": 1}, label="fmod"),
    Case("BitShift", [np.array([1, 6], np.uint8), np.array([2, 1], np.uint8)], attributes={"direction": "RIGHT"}),
    Case("Pow", [positive(3, 4), np.float32(2)], (1,)),
    Case("Pow", [positive(3, 4), numbers(4)], label="of tensors"),
    Case("Cast", [numbers(3, 4) * 3], attributes={"to": TensorProto.INT32}),
    Case("CastLike", [int64(1, 2), numbers(1)]),
    Case("Where", [numbers(3, 4) > 0, numbers(4), numbers(3, 1)]),
    *(Case(op, [numbers(3, 4)], attributes={"alpha": 0.7}) for op in ("Celu", "Elu", "LeakyRelu", "Selu", "ThresholdedRelu")),
    Case("Clip", [numbers(3, 4), np.float32(-0.5), np.float32(0.7)], (1, 2)),
    Case("Clip", [numbers(3, 4), None, np.float32(0.7)], (2,), label="above"),
    Case("Clip", [numbers(3, 4), np.float32(-0.3)], label="by an input"),
    Case("Gelu", [numbers(3, 4)]),
    Case("Gelu", [numbers(3, 4)], attributes={"approximate": "tanh"}, label="tanh"),
    Case("HardSigmoid", [numbers(3, 4) * 4]),
    Case("HardSigmoid", [numbers(3, 4) * 4], attributes={"alpha": 1 / 6, "beta": 0.5}, label="of torch"),
    Case("PRelu", [numbers(2, 3, 4), numbers(3, 1, seed=1)], (1,)),
    Case("PRelu", [numbers(2, 3, 4), numbers(1, seed=1)], (1,), label="one"),
    Case("Shrink", [numbers(3, 4)], attributes={"bias": 0.1, "lambd": 0.4}),
    Case("Softmax", [numbers(2, 3, 4)], attributes={"axis": 1}),
    Case("LogSoftmax", [numbers(2, 3, 4)]),
    Case("Conv", [X, numbers(6, 2, 3, 3, seed=1), numbers(6, seed=2)], (1, 2), {"group": 2, "pads": [1, 0, 1, 0], **BOX}),
    Case("Conv", [X, numbers(3, 4, 3, 2, seed=1)], (1,), {"pads": [0, 1, 2, 0], "strides": [2, 1]}, label="uneven"),
    Case("Conv", [X, numbers(3, 4, 3, 3, seed=1)], (1,), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, label="same"),
    Case("Conv", [X, numbers(3, 4, 3, 2, seed=1)], (1,), {"auto_pad": "SAME_LOWER"}, label="same lower"),
    Case("Conv", [X, numbers(3, 4, 2, 2, seed=1)], (1,), {"auto_pad": "VALID", "dilations": [2, 2]}, label="valid"),
    Case("Conv", [numbers(2, 3, 9), numbers(4, 3, 3, seed=1)], (1,), {"pads": [2, 0]}, label="1 axis"),
    Case("Conv", [numbers(1, 2, 4, 4, 4), numbers(3, 2, 2, 2, 2, seed=1)], (1,), label="3 axes"),
    Case(
        "ConvTranspose", [X, numbers(4, 3, 3, 3, seed=1), numbers(3, seed=2)], (1, 2), {"pads": [1, 0, 1, 0], "strides": [2, 1]}
    ),
    Case(
        "ConvTranspose",
        [X, numbers(4, 2, 3, 3, seed=1), numbers(4)],
        (1, 2),
        {"group": 2, "pads": [0, 1, 1, 0], "strides": [2, 2], "output_padding": [1, 0]},
        label="uneven",
    ),
    Case("ConvTranspose", [X, numbers(4, 3, 3, 3, seed=1)], (1,), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, label="same"),
    Case("ConvTranspose", [X, numbers(4, 3, 3, 3)], (1,), {"output_shape": [12, 11], "strides": [2, 2]}, label="shape"),
    Case("Gemm", [numbers(3, 4), numbers(5, 4, seed=1), numbers(5, seed=2)], (1, 2), {"transB": 1}),
    Case("Gemm", [numbers(3, 4), numbers(4, 5, seed=1)], (1,), label="no bias"),
    Case(
        "Gemm", [numbers(4, 3), numbers(4, 5), numbers(3, 1)], (1, 2), {"transA": 1, "alpha": 0.5, "beta": 2.0}, label="scaled"
    ),
    Case("MatMul", [numbers(2, 3, 4), numbers(4, 5, seed=1)], (1,)),
    Case("Einsum", [numbers(2, 3, 4), numbers(2, 5, 4, seed=1)], attributes={"equation": "bij,bkj->bik"}),
    Case("MaxPool", [X], attributes={"pads": [1, 1, 1, 1], "strides": [2, 2], **BOX}),
    Case("MaxPool", [X], attributes={"pads": [0, 1, 2, 0], **BOX}, label="uneven"),
    Case("MaxPool", [X], attributes={"ceil_mode": 1, "strides": [2, 2], **BOX}, label="ceil"),
    Case("MaxPool", [X], attributes={"auto_pad": "SAME_UPPER", "strides": [2, 2], **BOX}, label="same"),
    Case("MaxPool", [X], attributes={"dilations": [2, 2], **BOX}, label="dilated"),
    Case("AveragePool", [X], attributes={"pads": [1, 1, 1, 1], "strides": [2, 2], **BOX}),
    Case("AveragePool", [X], attributes={"pads": [1, 1, 1, 1], "count_include_pad": 1, **BOX}, label="with pads"),
    Case("AveragePool", [X], attributes={"pads": [0, 1, 1, 0], **BOX}, label="uneven"),
    Case("AveragePool", [X], attributes={"auto_pad": "SAME_LOWER", "strides": [2, 2], **BOX}, label="same"),
    Case("LpPool", [X], attributes={"p": 2, **BOX}),
    *(Case(op, [X]) for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")),
    Case("BatchNormalization", [X, *(positive(4, seed=seed) for seed in range(4))], (1, 2, 3, 4), {"epsilon": 1e-3}),
    Case("LayerNormalization", [numbers(2, 3, 4), positive(4), numbers(4)], (1, 2)),
    Case("LayerNormalization", [numbers(2, 3, 4), positive(3, 4)], (1,), {"axis": 1}, label="two axes"),
    Case("LayerNormalization", [numbers(2, 3, 4), positive(1, 4), numbers(4)], (1, 2), {"axis": 1}, label="broadcast"),
    Case("InstanceNormalization", [X, positive(4), numbers(4)], (1, 2)),
    Case("GroupNormalization", [X, positive(4), numbers(4)], (1, 2), {"num_groups": 2}),
    Case("LRN", [X], attributes={"size": 3, "alpha": 0.5}),
    # As many samples as channels: ONNX's reference takes the one count for the other.
    Case("LRN", [numbers(4, 4, 3, 3)], attributes={"size": 2, "alpha": 0.5, "bias": 2.0}, label="even"),
    Case("LpNormalization", [numbers(3, 4)], attributes={"axis": 1, "p": 1}),
    Case("MeanVarianceNormalization", [X]),
    Case("Reshape", [numbers(2, 3, 4), int64(0, -1, 2)], (1,)),
    Case("Reshape", [numbers(2, 3, 4), int64(6, 4)], label="by an input"),
    Case("Flatten", [X], attributes={"axis": 2}),
    Case("Flatten", [X]),
    Case("Flatten", [numbers(3)], label="vector"),
    Case("Transpose", [X], attributes={"perm": [0, 2, 3, 1]}),
    Case("Transpose", [numbers(2, 3, 4)], label="reversed"),
    Case("Squeeze", [numbers(1, 3, 1, 4), int64(0, -2)], (1,)),
    Case("Squeeze", [numbers(1, 3, 1, 4)], label="all"),
    Case("Unsqueeze", [numbers(3, 4), int64(-1, 0)], (1,)),
    Case("Concat", [numbers(2, 3), numbers(2, 1)], attributes={"axis": -1}),
    Case("Split", [numbers(2, 6), int64(1, 3, 2)], (1,), {"axis": 1}, outputs=3),
    Case("Split", [numbers(5, 2)], attributes={"num_outputs": 2}, outputs=2, label="evenly"),
    Case("Expand", [numbers(3, 1), int64(2, 1, 4)], (1,)),
    Case("Tile", [numbers(2, 3), int64(2, 1)], (1,)),
    Case("Pad", [numbers(2, 3, 4), int64(0, 1, 2, 0, 0, 1), np.float32(0.5)], (1, 2)),
    Case("Pad", [numbers(2, 3, 4), int64(1, -1), None, int64(2)], (1, 3), label="negative, of an axis"),
    *(
        Case("Pad", [numbers(3, 4), int64(1, 2, 2, 1)], (1,), {"mode": mode}, label=mode)
        for mode in ("reflect", "edge", "wrap")
    ),
    *(Case("DepthToSpace", [numbers(1, 8, 2, 3)], attributes={"blocksize": 2, "mode": mode}) for mode in ("DCR", "CRD")),
    Case("SpaceToDepth", [numbers(1, 2, 4, 6)], attributes={"blocksize": 2}),
    Case("Shape", [X], attributes={"start": 1, "end": -1}),
    Case("Size", [X]),
    Case("ConstantOfShape", [int64(2, 3)], attributes={"value": numpy_helper.from_array(np.array([1.5], np.float32))}),
    Case("Range", [np.int64(1), np.int64(9), np.int64(3)]),
    Case("Trilu", [numbers(4, 4), np.int64(1)], attributes={"upper": 0}),
    Case("Gather", [numbers(5, 3), int64(0, -1, 2)]),
    Case("Gather", [numbers(2, 5, 3), np.int64(-2)], (1,), {"axis": 1}, label="one"),
    Case("Gather", [numbers(2, 5), np.array([[0, 3], [-1, 1]], np.int32)], attributes={"axis": 1}, label="matrix"),
    Case("GatherElements", [numbers(3, 4), np.array([[0, -1], [2, 1], [1, 1]])], attributes={"axis": 1}),
    Case("GatherND", [numbers(2, 3, 4), np.array([[0, 1], [1, 2]])]),
    Case("GatherND", [numbers(2, 3, 4), np.array([[[1], [0]], [[2], [2]]])], attributes={"batch_dims": 1}, label="batch"),
    Case("ScatterElements", [numbers(3, 4), np.array([[1, 0, 2, -1]]), numbers(1, 4)]),
    Case("ScatterElements", [numbers(3, 4), np.array([[1, 0]]), numbers(1, 2)], attributes={"reduction": "add"}, label="add"),
    Case("ScatterND", [numbers(4, 3), np.array([[1], [-1]]), numbers(2, 3)]),
    Case("ScatterND", [numbers(4, 3), np.array([[1, 0], [1, 0]]), numbers(2)], attributes={"reduction": "add"}, label="add"),
    Case("Slice", [numbers(5, 6), int64(1, -5), int64(9, -1), int64(0, 1), int64(2, 1)], (1, 2, 3, 4)),
    Case("Slice", [numbers(5, 6), int64(-1), int64(-99), int64(1), int64(-2)], (1, 2, 3, 4), label="backwards"),
    Case("Slice", [numbers(5, 6), int64(1), int64(3)], label="by inputs"),
    Case("OneHot", [int64(0, 2, -1), np.int64(3), numbers(2)]),
    Case("TopK", [numbers(3, 6), int64(2)], attributes={"axis": 1}, outputs=2),
    Case("NonZero", [(numbers(3, 4) > 0).astype(np.float32)]),
    *(
        Case(op, [positive(2, 3, 4), int64(1, -1)], (1,), {"keepdims": keeps}, label=f"keepdims {keeps}")
        for op in (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
        )
        for keeps in (0, 1)
    ),
    Case("ReduceSum", [numbers(2, 3)], label="all"),
    Case("ReduceSum", [numbers(2, 3)], attributes={"noop_with_empty_axes": 1}, label="none"),
    Case("ReduceSumSquare", [numbers(2, 3), int64(0)], (1,)),
    Case("ArgMax", [numbers(3, 4)], attributes={"axis": 1, "keepdims": 0}),
    Case("ArgMin", [np.ones((3, 4), np.float32)], attributes={"axis": 1, "select_last_index": 1}),
    *(Case("CumSum", [numbers(3, 4), np.int64(1)], (1,), {"exclusive": flag, "reverse": 1 - flag}) for flag in (0, 1)),
    Case("CumSum", [numbers(3, 4), np.int64(0)], (1,), {"exclusive": 1, "reverse": 1}, label="both"),
    *(
        recurrent(op, gates, 2 if direction == "bidirectional" else 1, direction=direction, **more)
        for op, gates, more in (
            ("LSTM", 4, {}),
            ("GRU", 3, {"linear_before_reset": 1}),
            ("GRU", 3, {}),
            ("RNN", 1, {}),
        )
        for direction in ("forward", "reverse", "bidirectional")
    ),
    with_states("LSTM", 4),
    with_states("LSTM", 4, direction="reverse"),
    with_states("GRU", 3, linear_before_reset=1),
    with_states("RNN", 1),
    recurrent("RNN", 1, activations=["Relu"]),
    recurrent("LSTM", 4, activations=["HardSigmoid", "Tanh", "Softsign"]),
    recurrent("LSTM", 4, clip=0.5),
    recurrent("GRU", 3, 2, direction="bidirectional", activations=["Sigmoid", "Relu", "HardSigmoid", "Tanh"]),
    Case(
        "LSTM",
        [*recurrent("LSTM", 4).inputs, None, None, None, numbers(1, 9, seed=6)],
        (1, 2, 3, 7),
        RECURRENT,
        3,
        "peepholes",
    ),
    *(
        Case("QuantizeLinear", [numbers(3, 4) * 40, np.float32(0.5), zero], (1, 2), label=str(zero.dtype))
        for zero in (np.array(3, np.int8), np.array(100, np.uint8), np.array(-7, np.int16))
    ),
    Case("QuantizeLinear", [numbers(3, 4) * 40, positive(4), np.zeros(4, np.int8)], (1, 2), {"axis": 1}, label="by channel"),
    Case("DequantizeLinear", [np.arange(12, dtype=np.int8).reshape(3, 4), positive(3)], (1,), {"axis": 0}),
    Case("DequantizeLinear", [np.arange(12, dtype=np.uint8), np.float32(0.3), np.array(7, np.uint8)], (1, 2), label="offset"),
    Case(
        "DequantizeLinear",
        [np.arange(12, dtype=np.int8).reshape(6, 2), positive(3, 2), np.ones((3, 2), np.int8)],
        (1, 2),
        {"axis": 0, "block_size": 2},
        label="blocks",
    ),
    *(
        Case(
            "Resize",
            [numbers(1, 2, 5, 4), None, None, int64(1, 2, *size)],
            (3,),
            {"mode": mode, "coordinate_transformation_mode": way, **more},
            label=f"{mode} {way} {size} {more}",
        )
        for size in ((8, 10), (3, 2))
        for mode, way, more in (
            ("nearest", "half_pixel", {}),
            ("nearest", "asymmetric", {"nearest_mode": "floor"}),
            ("linear", "half_pixel", {}),
            ("linear", "align_corners", {}),
            ("linear", "pytorch_half_pixel", {}),
            ("cubic", "half_pixel", {"exclude_outside": 1}),
            ("cubic", "half_pixel", {"cubic_coeff_a": -0.5}),
        )
    ),
    Case(
        "Resize", [numbers(1, 2, 5, 4), None, np.array([1, 1, 1.7, 2], np.float32)], (2,), {"mode": "nearest"}, label="scales"
    ),
    Case(
        "Resize",
        [numbers(1, 2, 5, 4), None, np.array([1, 1, 1.7, 2], np.float32)],
        (2,),
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        label="symmetric",
    ),
]


def name(case: Case) -> str:
    return f"{case.op} {case.label}".strip()


# Not kernels of ONNX Runtime on a CPU, or with other answers than ONNX's: held to ONNX's own reference.
REFERENCE = {"GroupNormalization", "LRN even", "MeanVarianceNormalization", "Resize symmetric"}


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward_is_that_of_onnx_runtime(case: Case) -> None:
    if name(case) in REFERENCE:
        want = ReferenceEvaluator(onnx.load_from_string(case.model().to_bytes())).run(None, case.fed())
    else:
        want = expected(case)
    got = found(case)
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def differentiable() -> list[Case]:
    kept = []
    for case in CASES:
        is_float = any(array is not None and array.dtype == np.float32 for array in case.inputs)
        if is_float and case.op not in WITHOUT_GRADIENT | {"QuantizeLinear", "Cast", "CastLike", "DequantizeLinear"}:
            kept.append(case)
    return kept


@pytest.mark.parametrize("case", differentiable(), ids=name)
def test_gradient_is_that_of_finite_differences(case: Case) -> None:
    run = function(case)
    tensors = [None if array is None else torch.from_numpy(np.array(array)) for array in case.inputs]
    places = [place for place, tensor in enumerate(tensors) if tensor is not None and tensor.dtype == torch.float32]
    # Numbers that are read when the module is built, such as bounds, carry no gradient.
    learned = [place for place in places if place not in case.constants or np.asarray(case.inputs[place]).ndim]
    learned = [place for place in learned if not (case.op in ("Resize", "OneHot") and place > 0)]
    if case.op == "BatchNormalization":
        learned = learned[:3]
    exact = [tensor.double() if place in places else tensor for place, tensor in enumerate(tensors)]
    for place in learned:
        exact[place].requires_grad_()

    def of(*given: Any) -> Any:
        inputs = list(exact)
        for place, tensor in zip(learned, given, strict=True):
            inputs[place] = tensor
        made = run(*inputs)
        parts = made if isinstance(made, (tuple, list)) else [made]
        return tuple(part for part in parts if part.is_floating_point())

    assert torch.autograd.gradcheck(of, tuple(exact[place] for place in learned), atol=1e-4, fast_mode=True)


@given(
    x=st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=12),
    scale=st.floats(0.015625, 4, width=32),
    zero=st.integers(-128, 127),
)
@settings(max_examples=40, deadline=None)
def test_quantization_is_exact_and_its_gradient_goes_straight_through(x: list[float], scale: float, zero: int) -> None:
    values = np.array(x, np.float32)
    case = Case("QuantizeLinear", [values, np.float32(scale), np.array(zero, np.int8)], (1, 2))
    np.testing.assert_array_equal(found(case)[0], expected(case)[0])
    tensor = torch.from_numpy(values).requires_grad_()
    function(case)(tensor, torch.tensor(scale), torch.tensor(zero)).sum().backward()
    steps = np.round(values / np.float32(scale)) + zero
    np.testing.assert_allclose(tensor.grad.numpy(), ((steps >= -128) & (steps <= 127)) / np.float32(scale), rtol=1e-6)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (Case("MaxPool", [X], attributes=BOX, outputs=2), "its indices are read"),
        (Case("AveragePool", [X], attributes={"dilations": [2, 2], **BOX}), "averages over dilated windows"),
        (Case("Pad", [numbers(2, 3), int64(0, 1, 0, 1)]), "its pads are not constant"),
    ],
)
def test_what_no_function_computes_is_told(case: Case, told: str) -> None:
    with pytest.raises(ModelError, match=f"the node 'node' .{case.op}. cannot be trained: {told}"):
        function(case)
