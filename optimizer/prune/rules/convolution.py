"""Convolutions: dense, depthwise, grouped, transposed."""

from __future__ import annotations

import onnx_ir

from ..labels import Ids
from ..layout import Span
from ..trace import Grid, Mixer, Rule, Trace, Unknown, is_weight

_FIXED_INPUT = "its channels are convolved one by one from channels of a fixed number"


def conv(node: onnx_ir.Node, trace: Trace) -> None:
    """`y[n, o] = sum over i of x[n, i] * w[o, i]`, w: [out, in / groups, ...]."""
    weight, groups, into = _given(node, trace)
    makes = trace.along(weight, 0)
    if groups == 1:
        reads = trace.along(weight, 1)
        trace.read(weight, 1)
        _tie(trace, reads, into, "its readers want a fixed number of channels")
    elif trace.shape(weight)[1] == 1 and groups == trace.shape(node.inputs[0])[1]:
        _each(trace, makes, into, groups)
    else:
        for ids in (into, makes):
            if ids is not None:
                trace.grids.append(Grid(ids.reshape(groups, -1), is_ordered=True, keeps_rows=True))
    _made(node, trace, weight, 0, makes, is_own=not (groups > 1 and trace.shape(weight)[1] == 1))


def conv_transpose(node: onnx_ir.Node, trace: Trace) -> None:
    """`y[n, o] = sum over i of x[n, i] * w[i, o]`, w: [in, out / groups, ...]."""
    weight, groups, into = _given(node, trace)
    makes, reads = trace.along(weight, 1), trace.along(weight, 0)
    _tie(trace, reads, into, "its readers want a fixed number of channels")
    trace.read(weight, 0)
    if groups == 1:
        _made(node, trace, weight, 1, makes, is_own=True)
    elif trace.shape(weight)[1] == 1 and groups == trace.shape(node.inputs[0])[1]:
        _made(node, trace, weight, 0, reads, is_own=False)
    else:
        if reads is not None:
            trace.grids.append(Grid(reads.reshape(groups, -1), is_ordered=True, keeps_rows=True))
        # A position on the weight's second axis is one output in every group.
        every = None if makes is None else makes[None].repeat(groups, 0).ravel()
        _made(node, trace, weight, 1, every, is_own=True)


def _given(node: onnx_ir.Node, trace: Trace) -> tuple[onnx_ir.Value, int, Ids | None]:
    """The weight, the number of groups, and the labels of the input's channels."""
    data, weight = node.inputs[0], node.inputs[1]
    if weight is None or not is_weight(weight):
        raise Unknown("with computed weights")
    layout = trace.narrowed(data, (1,), "it lies along an axis that is convolved")
    into = layout[0].ids if layout else None
    if into is not None and not is_depthwise(node, trace):
        trace.mixers.append(Mixer(node, 0))
    return weight, node.attributes.get_int("group", 1), into


def is_depthwise(node: onnx_ir.Node, trace: Trace) -> bool:
    """Whether each channel is convolved by itself."""
    groups = node.attributes.get_int("group", 1)
    return groups > 1 and groups == trace.shape(node.inputs[0])[1]


def _tie(trace: Trace, reads: Ids | None, into: Ids | None, reason: str) -> None:
    """The weight's input side is the input's channels."""
    if reads is not None and into is not None:
        trace.labels.unite(reads, into)
    for ids in (reads, into):
        if ids is not None and (reads is None or into is None):
            trace.labels.freeze(ids, reason)


def _each(trace: Trace, makes: Ids | None, into: Ids | None, groups: int) -> None:
    """Every input channel makes some outputs alone."""
    if makes is None:
        return
    if into is None:
        trace.labels.freeze(makes, _FIXED_INPUT)
    else:
        trace.labels.unite(makes.reshape(groups, -1), into[:, None])


def _made(node: onnx_ir.Node, trace: Trace, weight: onnx_ir.Value, axis: int, ids: Ids | None, *, is_own: bool) -> None:
    """Put the labels on the output and on the bias."""
    if ids is None:
        trace.put(node.outputs[0], ())
        return
    if is_own:
        trace.make(node, weight, axis, "channels")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and is_weight(bias):
        along = trace.along(bias, 0)
        if along is not None:
            trace.labels.unite(along, ids)
            trace.roles.setdefault((str(bias.name), 0), "makes" if is_own else "scales")
    elif bias is not None:
        trace.labels.freeze(ids, "its bias is computed")
    trace.put(node.outputs[0], (Span((1,), ids),))


RULES: dict[str, Rule] = {"Conv": conv, "ConvTranspose": conv_transpose}
