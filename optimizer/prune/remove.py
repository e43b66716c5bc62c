"""Units are removed: weights lose rows and columns, and the graph's constants follow."""

from __future__ import annotations

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ...ir.model import Model, constant
from .adjust import adjust, refill, share
from .keeping import Keep, Keeping, keeping


def remove(model: Model, keep: Keep) -> Model:
    """`model` with the units of `keep` alone, of the groups that are named there; all others stay whole.

    Before::

        a = Relu(Conv(x, @w:[8, 3, 3, 3])); y = Conv(a, @v:[4, 8, 1, 1])

    After, when 5 of the 8 units of the first layer are kept::

        a = Relu(Conv(x, @w:[5, 3, 3, 3])); y = Conv(a, @v:[4, 5, 1, 1])

    Raises PassError for an unknown group, units that are not ascending, an empty group or unequal partitions.
    """
    left = keeping(model, keep)
    graph = left.trace.model.graph
    for value in list(graph.initializers.values()):
        _cut(value, left)
    for node in list(graph):
        adjust(node, left)
    for node in graph:
        for value in node.outputs:
            _resize(value, left)
    share(graph, left.trace.origin)
    if left.loses:
        common.RemoveUnusedNodesPass()(left.trace.model.ir)
    return left.trace.model


def _cut(value: onnx_ir.Value, left: Keeping) -> None:
    array = constant(value)
    spans = left.spans(value)
    if array is None or not spans:
        return
    for span in spans:
        array = array.take(np.flatnonzero(left.mask(span)), axis=span.axes[0])
    refill(value, array)


def _resize(value: onnx_ir.Value, left: Keeping) -> None:
    """The sizes of what stays; free axes stay free."""
    if value.shape is None or not left.spans(value) or not left.is_whole(value):
        return
    value.shape = onnx_ir.Shape(
        [new if isinstance(size, int) else size for size, new in zip(value.shape, left.shape(value), strict=True)]
    )
