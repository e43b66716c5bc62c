"""Products with one-hot rows become lookups, and what is done to each row that is looked up is done to the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..model import constant
from .forms import reshape
from .matching import weight

_INDEX_TYPES = (onnx_ir.DataType.INT32, onnx_ir.DataType.INT64)
_NARROW_TYPES = (onnx_ir.DataType.INT8, onnx_ir.DataType.UINT8, onnx_ir.DataType.INT16, onnx_ir.DataType.UINT16)
# Those that the folding of constants evaluates: a step on a table that did not fold would be done at every run.
_UNARY = frozenset(
    {"Abs", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh"}
)
_BINARY = frozenset({"Add", "Sub", "Mul", "Div"})


@dataclass(frozen=True)
class _Codes:
    """One-hot rows [..., size]: the row of index `first + k` has `one` in column k, every other index has zeros.

    `indices` has the shape [...], or [..., 1] where `is_column`. `wraps`: indices below zero count from the end.
    """

    indices: onnx_ir.Value
    is_column: bool
    first: int
    size: int
    one: float
    wraps: bool


def one_hot_product(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """`MatMul(Cast(Equal(x, [0, ..., n - 1])), @w)` or `MatMul(OneHot(x), @w)` -> a lookup, equal for every x.

    Before::

        e = Equal(x, @range); h = Cast{to=float}(e); y = MatMul(h, @w)

    After, with rows of zeros for indices that are out of range::

        c = Clip(x, -1, n); i = Add(c, 1); y = Gather{axis=0}(@[0; w; 0], i)

    OneHot counts indices below zero from the end, so n is added to these first.
    """
    weights = constant(node.inputs[1])
    codes = _codes(node.inputs[0])
    if codes is None or weights is None or weights.ndim != 2 or not np.isfinite(weights).all():
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type == "Gemm":
        if node.attributes.get_int("transA", 0) or node.attributes.get_float("beta", 1.0) != 1.0:
            return None
        weights = weights.T if node.attributes.get_int("transB", 0) else weights
        weights = weights * weights.dtype.type(node.attributes.get_float("alpha", 1.0))
    if weights.shape[0] != codes.size:
        return None
    made = _indices(node, graph, codes)
    if made is None:
        return None
    rows = weights * weights.dtype.type(codes.one)
    nothing = np.zeros((1, rows.shape[1]), rows.dtype)
    table = np.concatenate([nothing, rows, nothing])
    made.append(onnx_ir.node("Gather", [weight(graph, node, "table", table), made[-1].outputs[0]], {"axis": 0}))
    if bias is not None:
        made.append(onnx_ir.node("Add", [made[-1].outputs[0], bias]))
    return made


def _codes(value: onnx_ir.Value | None) -> _Codes | None:
    maker = value.producer() if value is not None else None
    if maker is None:
        return None
    if maker.op_type == "OneHot":
        return _of_operator(maker)
    if maker.op_type != "Cast":
        return None
    equal = maker.inputs[0].producer() if maker.inputs[0] is not None else None
    if equal is None or equal.op_type != "Equal":
        return None
    for indices, row in ((equal.inputs[0], equal.inputs[1]), (equal.inputs[1], equal.inputs[0])):
        found = constant(row)
        if indices is None or found is None or not found.size or found.size != found.shape[-1] or not _is_integer(indices):
            continue
        first, shape = int(found.reshape(-1)[0]), indices.shape
        is_run = np.array_equal(found.reshape(-1).astype(np.int64), np.arange(first, first + found.size))
        if is_run and shape is not None and len(shape) >= found.ndim and shape[-1] == 1:
            return _Codes(indices, True, first, found.size, 1.0, False)
    return None


def _of_operator(node: onnx_ir.Node) -> _Codes | None:
    indices, depth, values = node.inputs[0], constant(node.inputs[1]), constant(node.inputs[2])
    if indices is None or depth is None or values is None or indices.shape is None or not _is_integer(indices):
        return None
    off, one = values.reshape(-1)
    if off != 0 or node.attributes.get_int("axis", -1) not in (-1, len(indices.shape)):
        return None
    return _Codes(indices, False, 0, int(depth.reshape(-1)[0]), float(one), True)


def _is_integer(value: onnx_ir.Value) -> bool:
    return value.dtype in (*_INDEX_TYPES, *_NARROW_TYPES)


def _indices(node: onnx_ir.Node, graph: onnx_ir.Graph, codes: _Codes) -> list[onnx_ir.Node] | None:
    """Nodes that make the row of the table for each index, without overflow; the last one's output is that."""
    lowest, highest = codes.first - 1, codes.first + codes.size
    dtype = codes.indices.dtype if codes.indices.dtype in _INDEX_TYPES else onnx_ir.DataType.INT32
    kind = np.int64 if dtype == onnx_ir.DataType.INT64 else np.int32
    limits = np.iinfo(kind)
    if dtype is None or codes.indices.shape is None or not limits.min <= lowest <= highest <= limits.max:
        return None
    made = []
    value = codes.indices
    if codes.is_column:
        shape = [size if isinstance(size, int) else -1 for size in codes.indices.shape[:-1]]
        if shape.count(-1) > 1 or 0 in shape or not shape:
            return None
        made.append(reshape(graph, node, value, shape))
        value = made[-1].outputs[0]
    if codes.indices.dtype != dtype:
        made.append(onnx_ir.node("Cast", [value], {"to": int(dtype)}))
        value = made[-1].outputs[0]
    if codes.wraps:
        zero, size = weight(graph, node, "zero", np.array(0, kind)), weight(graph, node, "size", np.array(codes.size, kind))
        negative, later = onnx_ir.node("Less", [value, zero]), onnx_ir.node("Add", [value, size])
        made += [negative, later, onnx_ir.node("Where", [negative.outputs[0], later.outputs[0], value])]
        value = made[-1].outputs[0]
    bounds = [weight(graph, node, name, np.array(bound, kind)) for name, bound in (("lowest", lowest), ("highest", highest))]
    made.append(onnx_ir.node("Clip", [value, *bounds]))
    if lowest:
        shift = weight(graph, node, "shift", np.array(-lowest, kind))
        made.append(onnx_ir.node("Add", [made[-1].outputs[0], shift]))
    return made


def row_step(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """A step on every row that was looked up is a step on the table, which folds.

    Before::

        r = Gather{axis=0}(@table, i); y = Gelu(r)

    After::

        t = Gelu(@table); y = Gather{axis=0}(t, i)

    Sums and products with a constant that is the same for every index go the same way.
    """
    for place, value in enumerate(node.inputs):
        gather = value.producer() if value is not None else None
        if value is None or gather is None or gather.op_type != "Gather" or gather.attributes.get_int("axis", 0) != 0:
            continue
        table, indices = gather.inputs[0], gather.inputs[1]
        array = constant(table)
        if table is None or indices is None or array is None or array.ndim < 2 or array.dtype.kind != "f":
            continue
        # A table that others read would be there twice, and a row that others read would be looked up twice.
        if len(table.uses()) != 1 or len(value.uses()) != 1 or value.is_graph_output() or table.is_graph_output():
            continue
        others = [constant(other) for index, other in enumerate(node.inputs) if index != place]
        if not _is_same_for_rows(node, others, array):
            continue
        inputs = [table if index == place else other for index, other in enumerate(node.inputs)]
        narrowed = [_narrow(graph, node, item, array.ndim) for item in inputs]
        step = onnx_ir.node(node.op_type, narrowed, dict(node.attributes))
        return [step, onnx_ir.node("Gather", [step.outputs[0], indices], {"axis": 0})]
    return None


def _is_same_for_rows(node: onnx_ir.Node, others: list[NDArray[Any] | None], table: NDArray[Any]) -> bool:
    if node.op_type in _UNARY:
        return True
    other = others[0] if node.op_type in _BINARY and len(others) == 1 else None
    if other is None:
        return False
    leading = max(other.ndim - (table.ndim - 1), 0)
    if other.ndim > _rank(node.outputs[0]) or any(size != 1 for size in other.shape[:leading]):
        return False
    own = other.shape[leading:]
    return all(size in (1, have) for size, have in zip(own, table.shape[table.ndim - len(own) :], strict=True))


def _rank(value: onnx_ir.Value) -> int:
    return -1 if value.shape is None else len(value.shape)


def _narrow(graph: onnx_ir.Graph, node: onnx_ir.Node, value: onnx_ir.Value | None, rank: int) -> onnx_ir.Value | None:
    """A constant of a higher rank than the table, without the axes of size 1 in front."""
    array = constant(value)
    if array is None or array.ndim <= rank:
        return value
    return weight(graph, node, "row", array.reshape(array.shape[array.ndim - rank :]))
