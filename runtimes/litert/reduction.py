"""Reductions over named axes, places of extremes, running sums."""

from __future__ import annotations

import numpy as np
import onnx_ir

from . import layout
from .activation import Arithmetic
from .graph import Lowering
from .pooling import reduce

_KINDS = {
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}
_COMPOSED = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")


def _axes(low: Lowering, node: onnx_ir.Node, rank: int) -> list[int]:
    given = list(node.attributes.get_ints("axes", ()))
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        array = low.array(node.inputs[1])
        if array is None:
            raise low.fail(node, "its axes are not constant")
        given = [int(axis) for axis in array.reshape(-1)]
    if not given:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(rank))
    return [axis % rank for axis in given]


def reduction(low: Lowering, node: onnx_ir.Node) -> None:
    """ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd."""
    value = node.inputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    axes = _axes(low, node, len(low.shape(value)))
    if not axes:
        low.alias(node.outputs[0], value)
        low.record(node, "float32", "reduces nothing")
        return
    reduce(low, node, value, axes, _KINDS[node.op_type], bool(node.attributes.get_int("keepdims", 1)))


def composed(low: Lowering, node: onnx_ir.Node) -> None:
    """Norms and log-sum-exp from float kernels."""
    value = node.inputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    source = low.real(value)
    rank = len(source.shape)
    axes = _axes(low, node, rank)
    if not axes:
        raise low.fail(node, "it reduces no axis")
    keep = bool(node.attributes.get_int("keepdims", 1))
    do = Arithmetic(low)
    places = low.numbers("axes", sorted(axes))
    narrow = [1 if axis in axes else size for axis, size in enumerate(source.shape)]
    if node.op_type == "ReduceLogSumExp":
        top = low.emit("REDUCE_MAX", [source, places], narrow, options=("ReducerOptions", {"keepDims": True}))
        powers = do.one("EXP", do.subtract(source, top), "ExpOptions")
        total = low.emit("SUM", [powers, places], narrow, options=("ReducerOptions", {"keepDims": True}))
        made = do.add(do.one("LOG", total), top)
    else:
        part = do.one("ABS", source, "AbsOptions") if node.op_type == "ReduceL1" else do.multiply(source, source)
        made = low.emit("SUM", [part, places], narrow, options=("ReducerOptions", {"keepDims": True}))
        made = do.one("SQRT", made) if node.op_type == "ReduceL2" else made
    shape = narrow if keep else [size for axis, size in enumerate(source.shape) if axis not in axes]
    low.bind(node.outputs[0], low.reshaped(made, shape), layout.identity(len(shape)))
    low.record(node, "float32")


def arg_extreme(low: Lowering, node: onnx_ir.Node) -> None:
    """ArgMax and ArgMin; integers compare as the reals that they stand for."""
    value = node.inputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    if node.attributes.get_int("select_last_index", 0):
        raise low.fail(node, "it selects the last index")
    source = low.raw(value)
    axis = node.attributes.get_int("axis", 0) % len(source.shape)
    kind = "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN"
    shape = [size for place, size in enumerate(source.shape) if place != axis]
    options = ("ArgMaxOptions" if node.op_type == "ArgMax" else "ArgMinOptions", {"outputType": 4})
    made = low.emit(kind, [source, low.numbers("axis", axis)], shape, "int64", options=options)
    if node.attributes.get_int("keepdims", 1):
        made = low.reshaped(made, [1 if place == axis else size for place, size in enumerate(source.shape)])
    low.bind(node.outputs[0], made, layout.identity(len(made.shape)))
    low.record(node, "int8" if source.dtype == "int8" else "float32")


def cumulative(low: Lowering, node: onnx_ir.Node) -> None:
    """CumSum along a constant axis."""
    value, axis = node.inputs[0], low.array(node.inputs[1])
    if value is None or axis is None:
        raise low.fail(node, "its axis is not constant")
    source = low.real(value)
    fields = {
        "exclusive": bool(node.attributes.get_int("exclusive", 0)),
        "reverse": bool(node.attributes.get_int("reverse", 0)),
    }
    place = low.numbers("axis", int(np.reshape(axis, -1)[0]) % len(source.shape))
    made = low.emit("CUMSUM", [source, place], source.shape, source.dtype, options=("CumsumOptions", fields))
    low.bind(node.outputs[0], made, layout.identity(len(source.shape)))
    low.record(node, "float32")


EMITTERS = (
    dict.fromkeys(_KINDS, reduction)
    | dict.fromkeys(_COMPOSED, composed)
    | {"ArgMax": arg_extreme, "ArgMin": arg_extreme, "CumSum": cumulative}
)
