"""Operators that take several positions of an axis together: reductions, softmax, pooling."""

from __future__ import annotations

import onnx_ir

from ....ir.model import constant
from ..layout import Span, renumbered
from ..meeting import labelled
from ..trace import Mixer, Rule, Trace, Unknown, whole

MASKABLE = ("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMax", "ReduceMin")
"""Reductions that can be told to leave positions out."""

_OTHERS = ("ReduceProd", "ReduceLogSum", "ReduceLogSumExp")
_POOLS = ("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")


def reduce(node: onnx_ir.Node, trace: Trace) -> None:
    """Axes are reduced to one position or none; positions that go along them leave no trace."""
    data, made = node.inputs[0], node.outputs[0]
    rank = len(trace.shape(data))
    axes = reduced_axes(node, rank)
    layout = trace.settled(data)
    if labelled(layout, axes) and node.op_type in MASKABLE:
        trace.mixers.append(Mixer(node, 0))
    left = [axis for axis in range(rank) if axis not in axes]
    new = {axis: axis if node.attributes.get_int("keepdims", 1) else place for place, axis in enumerate(left)}
    found: list[Span] = []
    for span in layout:
        gone = [axis for axis in span.axes if axis in axes]
        if len(gone) == len(span.axes) and node.op_type in MASKABLE:
            continue
        rest = whole(trace.labels, span, gone, f"{made.name!r} reduces it with {node.op_type}")
        if rest is not None:
            found.append(renumbered(rest, new))
    trace.put(made, tuple(found))


def reduced_axes(node: onnx_ir.Node, rank: int) -> list[int]:
    """Axes of a reduction; raises Unknown when they are computed."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    if value is None:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(rank))
    axes = constant(value)
    if axes is None:
        raise Unknown("over computed axes")
    if axes.size == 0:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in axes.ravel())


def softmax(node: onnx_ir.Node, trace: Trace) -> None:
    """Numbers along `axis` are compared with each other, so none of them may go."""
    data = node.inputs[0]
    rank = len(trace.shape(data))
    axis = node.attributes.get_int("axis", -1) % rank
    others = [other for other in range(rank) if other != axis]
    trace.put(node.outputs[0], trace.narrowed(data, others, f"{node.op_type} compares its positions"))


def pool(node: onnx_ir.Node, trace: Trace) -> None:
    """Windows over the axes behind the second."""
    trace.put(node.outputs[0], trace.narrowed(node.inputs[0], (0, 1), "it lies along an axis that is pooled"))


RULES: dict[str, Rule] = {
    **dict.fromkeys((*MASKABLE, *_OTHERS), reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), softmax),
    **dict.fromkeys(_POOLS, pool),
}
