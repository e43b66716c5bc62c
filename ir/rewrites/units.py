"""Axes of size 1: steps that belong to a convolution go before a Reshape that only adds or drops such axes."""

from __future__ import annotations

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..model import constant, initializer
from .forms import fresh, reshape
from .matching import partners

_COMPUTING = ("Conv", "ConvTranspose", "BatchNormalization")
_BINARY = ("Add", "Mul")


def step_before_units(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """A step after `Reshape(Conv(x))` that only drops or adds axes of size 1 goes between the two, where it can be folded.

    Before, as convolutions of one axis are exported::

        c = Conv(x, @w); r = Reshape(c, [-1, 512, 508]); y = Add(r, @b:[512, 1])

    After::

        c = Conv(x, @w); a = Add(c, @b:[1, 512, 1, 1]); y = Reshape(a, [-1, 512, 508])
    """
    for place, value in enumerate(node.inputs):
        move = value.producer() if value is not None else None
        if value is None or move is None or move.op_type != "Reshape" or len(value.uses()) != 1 or value.is_graph_output():
            continue
        data = move.inputs[0]
        maker = data.producer() if data is not None else None
        if data is None or maker is None or maker.op_type not in _COMPUTING or len(data.uses()) != 1 or data.is_graph_output():
            continue
        own, after = partners(data, value), value.shape
        if own is None or after is None:
            continue
        inputs: list[onnx_ir.Value | None] = [data if index == place else other for index, other in enumerate(node.inputs)]
        if node.op_type in _BINARY:
            other = constant(inputs[1 - place])
            if other is None or not _fits(other, after):
                continue
            widened = _follow(other, len(after), own)
            summand = initializer(fresh(graph, f"{node.outputs[0].name}_operand"), widened)
            graph.register_initializer(summand)
            inputs[1 - place] = summand
        step = onnx_ir.node(node.op_type, inputs, dict(node.attributes))
        step.outputs[0].type, step.outputs[0].shape = data.type, data.shape
        target = [size if isinstance(size, int) else -1 for size in after]
        return [step, reshape(graph, node, step.outputs[0], target)]
    return None


def turned_back(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """Two Transposes with axes of size 1 added or dropped between them, which together move nothing -> a Reshape.

    Before::

        a = Transpose{perm=(0, 2, 1)}(x); b = Reshape(a, [-1, 512, 256, 1]); y = Transpose{perm=(0, 2, 1, 3)}(b)

    After::

        y = Reshape(x, [-1, 256, 512, 1])
    """
    value = node.inputs[0]
    move = value.producer() if value is not None else None
    if value is None or move is None or move.op_type != "Reshape" or move.inputs[0] is None:
        return None
    first = move.inputs[0].producer()
    own = partners(move.inputs[0], value)
    if first is None or first.op_type != "Transpose" or own is None or node.outputs[0].shape is None:
        return None
    before = first.attributes.get_ints("perm", None)
    after = node.attributes.get_ints("perm", None)
    data = first.inputs[0]
    if before is None or after is None or data is None:
        return None
    source = {new: before[old] for old, new in enumerate(own) if new is not None}
    kept = [source[axis] for axis in after if axis in source]
    target = [size if isinstance(size, int) else -1 for size in node.outputs[0].shape]
    if kept != sorted(kept) or target.count(-1) > 1:
        return None
    return [reshape(graph, node, data, target)]


def _fits(array: NDArray[np.generic], shape: onnx_ir.Shape) -> bool:
    """Whether a constant meets a value of that shape without making it grow."""
    own = shape[len(shape) - array.ndim :] if array.ndim <= len(shape) else ()
    return len(own) == array.ndim and all(size in (1, have) for size, have in zip(array.shape, own, strict=True))


def _follow(array: NDArray[np.generic], rank: int, partners: list[int | None]) -> NDArray[np.generic]:
    """A constant of the reshaped value, in the axes before the Reshape."""
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return full.reshape([1 if axis is None else full.shape[axis] for axis in partners])
