"""Softmax that exporters write out, taken back to one operator."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ..model import constant
from .matching import flat, is_narrow, maker


def softmax(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """The quotient that ends a softmax -> `Softmax`.

    Before, the largest number perhaps compared with minus infinity, which changes nothing::

        m = ReduceMax(x, [1]); e = Exp(Sub(x, m)); s = ReduceSum(e, [1]); y = Div(e, s)

    After::

        y = Softmax{axis=1}(x)
    """
    exponential, difference = maker(node.inputs[0], "Exp"), None
    if exponential is not None:
        difference = maker(exponential.inputs[0], "Sub")
    total = _reduced(node.inputs[1], "ReduceSum")
    if difference is None or total is None or total[0] is not node.inputs[0]:
        return None
    x, axis = difference.inputs[0], total[1]
    largest = _reduced(_above_nothing(difference.inputs[1]), "ReduceMax")
    if x is None or largest is None or largest[0] is not x or largest[1] != axis:
        return None
    if not is_narrow(node.inputs[1], None, x, axis) or not is_narrow(difference.inputs[1], None, x, axis):
        return None
    return [onnx_ir.node("Softmax", [x], {"axis": axis})]


def _reduced(value: onnx_ir.Value | None, kind: str) -> tuple[onnx_ir.Value, int] | None:
    """(x, axis) of a reduction of x over one axis, kept or dropped."""
    node = maker(flat(value), kind)
    axes = constant(node.inputs[1]) if node is not None and len(node.inputs) > 1 else None
    x = node.inputs[0] if node is not None else None
    if x is None or x.shape is None or axes is None or axes.size != 1:
        return None
    return x, int(axes.item()) % len(x.shape)


def _above_nothing(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """x of `Max(-inf, x)`, or `value` itself."""
    value = flat(value)
    node = maker(value, "Max")
    if node is not None and len(node.inputs) == 2:
        for x, bound in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
            array = constant(bound)
            if array is not None and array.size == 1 and np.isneginf(array).all():
                return x
    return value
