"""Normalizations with statistics over several positions, which must be those of the kept ones."""

from __future__ import annotations

import onnx_ir

from ..layout import span_of
from ..meeting import Operand, broadcast, labelled, meet
from ..trace import Grid, Mixer, Rule, Trace


def layer_norm(node: onnx_ir.Node, trace: Trace) -> None:
    """Statistics over `axis` and all axes behind it."""
    data, made = node.inputs[0], node.outputs[0]
    rank = len(trace.shape(data))
    first = node.attributes.get_int("axis", -1) % rank
    if labelled(trace.layout(data), range(first, rank)):
        trace.mixers.append(Mixer(node, 0))
    trace.put(made, meet(trace, broadcast(trace, node.inputs, rank)))


def lp_norm(node: onnx_ir.Node, trace: Trace) -> None:
    """Each row along `axis` is divided by its norm."""
    data = node.inputs[0]
    rank = len(trace.shape(data))
    axis = node.attributes.get_int("axis", -1) % rank
    if labelled(trace.layout(data), [axis]):
        trace.mixers.append(Mixer(node, 0))
    trace.put(node.outputs[0], trace.settled(data))


def instance_norm(node: onnx_ir.Node, trace: Trace) -> None:
    """Statistics over all axes behind the second, for each position on that; as exporters write it, a GroupNorm as well."""
    data, made = node.inputs[0], node.outputs[0]
    shape = trace.shape(data)
    span = span_of(trace.layout(data), 1)
    if span is not None and len(span.axes) > 1:
        # Positions of the groups lie behind each other; scale and bias have one number for a group.
        trace.need_grid(span, keeps_rows=True)
        trace.mixers.append(Mixer(node, 0))
        trace.put(made, (span,))
        return
    operands = [Operand(trace.narrowed(data, (1,), "it is normalized over"), tuple(range(len(shape))), shape)]
    operands += [
        Operand(trace.layout(value), (1,), trace.shape(value), value.is_initializer())
        for value in node.inputs[1:]
        if value is not None
    ]
    trace.put(made, meet(trace, operands))


def group_norm(node: onnx_ir.Node, trace: Trace) -> None:
    """Statistics over each of `num_groups` parts of axis 1, and over all axes behind it."""
    data = node.inputs[0]
    instance_norm(node, trace)
    shape, groups = trace.shape(data), node.attributes["num_groups"].as_int()
    layout = trace.layouts[str(node.outputs[0].name)]
    if layout and groups < shape[1]:
        trace.grids.append(Grid(layout[0].ids.reshape(groups, -1), is_ordered=True, keeps_rows=groups > 1))
        trace.mixers.append(Mixer(node, 0))


RULES: dict[str, Rule] = {
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
}
