"""Transposes sink through what does not mind the order of axes, until they meet their opposites."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..model import constant
from .forms import reshape
from .matching import maker, weight

_UNARY = frozenset(
    {"Abs", "Cast", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Neg"}
    | {"Not", "Reciprocal", "Relu", "Round", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh"}
)
_BROADCAST = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})
_REDUCING = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"})
SINKABLE = tuple(sorted(_UNARY | _BROADCAST | _REDUCING | {"Concat", "Pad"}))
_Perm = tuple[int, ...]


def sink(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """An operator of transposed operands -> the operator, and a Transpose of its result.

    Before, as graphs with channels last are exported::

        t = Transpose{perm=(0, 2, 3, 1)}(x); a = Mul(t, @s:[16]); m = ReduceMean(a, [1, 2])

    After::

        b = Mul(x, @s:[1, 16, 1, 1]); n = ReduceMean(b, [2, 3]); m = Transpose{perm=(0, 2, 3, 1)}(n)

    Two Transposes that meet become one or none (a rule of onnxscript's), and a Mul beside a convolution folds into it.
    """
    perm = _common(node)
    if perm is None or not all(_is_free(value) for value in node.inputs):
        return None
    inputs: list[onnx_ir.Value | None] = []
    fields = dict(node.attributes)
    for place, value in enumerate(node.inputs):
        source = _before(value)
        if source is not None:
            inputs.append(source[0])
        elif value is None or not _follows_axes(node, place):
            inputs.append(value)
        else:
            turned = _turned(node, place, constant(value), perm)
            if turned is None:
                return None
            inputs.append(weight(graph, node, "operand", turned))
    if node.op_type == "Concat":
        fields["axis"] = onnx_ir.AttrInt64("axis", perm[node.attributes.get_int("axis", 0) % len(perm)])
    step = onnx_ir.node(node.op_type, inputs, fields)
    made, given = node.outputs[0], step.outputs[0]
    if made.shape is None or len(made.shape) != len(perm):
        return None
    given.type = made.type
    given.shape = onnx_ir.Shape([made.shape[perm.index(axis)] for axis in range(len(perm))])
    return [step, onnx_ir.node("Transpose", [given], {"perm": list(perm)})]


def still(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """`Reshape(Transpose(x))` where only axes of size 1 move -> `Reshape(x)`."""
    source, made = _before(node.inputs[0]), node.outputs[0]
    if source is None or source[0].shape is None or made.shape is None:
        return None
    data, perm = source
    moved = [axis for axis in perm if source[0].shape[axis] != 1]
    target = [size if isinstance(size, int) else -1 for size in made.shape]
    if moved != sorted(moved) or target.count(-1) > 1 or 0 in target:
        return None
    return [reshape(graph, node, data, target)]


def _common(node: onnx_ir.Node) -> _Perm | None:
    """The order in which every operand of `node` that is no constant was transposed, where the operator lets it through."""
    data = node.inputs if node.op_type in _BROADCAST or node.op_type == "Concat" else node.inputs[:1]
    found = set()
    for value in data:
        if constant(value) is not None and node.op_type != "Concat":
            continue
        source = _before(value)
        if source is None:
            return None
        found.add(source[1])
    if node.op_type in _REDUCING and (not node.attributes.get_int("keepdims", 1) or len(node.inputs) < 2):
        return None
    if node.op_type == "Pad" and len(node.inputs) > 3:
        return None
    return found.pop() if len(found) == 1 else None


def _before(value: onnx_ir.Value | None) -> tuple[onnx_ir.Value, _Perm] | None:
    """(x, perm) of `Transpose{perm}(x)`."""
    node = maker(value, "Transpose")
    perm = node.attributes.get_ints("perm", None) if node is not None else None
    source = node.inputs[0] if node is not None else None
    return None if source is None or perm is None else (source, tuple(perm))


def _is_free(value: onnx_ir.Value | None) -> bool:
    """Whether all that reads a transposed value can let the Transpose through, so that it does not stay beside its copies."""
    if value is None or _before(value) is None:
        return True
    readers = [use.node.op_type for use in value.uses()]
    return not value.is_graph_output() and all(kind == "Transpose" or kind in SINKABLE for kind in readers)


def _follows_axes(node: onnx_ir.Node, place: int) -> bool:
    """Whether the constant at `place` speaks of axes."""
    return node.op_type in _BROADCAST or (node.op_type in (*_REDUCING, "Pad") and place == 1)


def _turned(node: onnx_ir.Node, place: int, array: NDArray[Any] | None, perm: _Perm) -> NDArray[Any] | None:
    """A constant that speaks of the axes after the Transpose, speaking of those before it; None where it cannot."""
    rank = len(perm)
    if array is None:
        return None
    if node.op_type == "Pad":
        begins, ends = array.reshape(2, rank)
        order = [perm.index(axis) for axis in range(rank)]
        return np.concatenate([begins[order], ends[order]])
    if node.op_type in _REDUCING:
        return np.array(sorted(perm[int(axis) % rank] for axis in array.reshape(-1)), np.int64) if array.size else None
    if array.size == 1 and array.ndim <= rank:
        return array.reshape(())
    if array.ndim > rank:
        return None
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return np.ascontiguousarray(full.transpose([perm.index(axis) for axis in range(rank)]))
