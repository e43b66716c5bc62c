"""Recurrent layers: a hidden unit is a row of every gate, and a column of the recurrent weights."""

from __future__ import annotations

import onnx_ir

from ..labels import Ids
from ..layout import Span, span_of
from ..trace import Mixer, Rule, Trace, Unknown, is_weight

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(node: onnx_ir.Node, trace: Trace) -> None:
    """`LSTM`, `GRU` and `RNN`; both directions of a layer lose the same units.

    Inputs: x [time, batch, in], w [directions, gates * hidden, in], r [directions, gates * hidden, hidden], bias
    [directions, 2 * gates * hidden], lengths, first hidden and cell state [directions, batch, hidden], peepholes
    [directions, 3 * hidden]. Outputs: y [time, directions, batch, hidden], last hidden and cell state.
    """
    gates, hidden = _GATES[node.op_type], node.attributes["hidden_size"].as_int()
    x, w, r, bias, _, *states = (*node.inputs, *[None] * 8)[:8]
    if w is None or r is None or not is_weight(w) or not is_weight(r) or hidden == 1:
        raise Unknown("with computed weights or a single unit")
    labels = trace.labels
    units = labels.fresh(hidden)
    for value, axis, times in ((w, 1, gates), (r, 1, gates), (r, 2, 1), (bias, 1, 2 * gates), (states[2], 1, 3)):
        if value is None:
            continue
        if not is_weight(value):
            raise Unknown("with computed weights or a single unit")
        along = trace.along(value, axis)
        if along is not None:
            labels.unite(along.reshape(times, hidden), units)
    trace.make(node, w, 1, "hidden")
    trace.roles[str(r.name), 1] = "makes"
    if bias is not None:
        trace.roles[str(bias.name), 1] = "makes"
    trace.read(r, 2)
    _read(node, trace, x, w)
    for state in states[:2]:
        _state(trace, state, units)
    axes = (3, 2, 2)
    for made, axis in zip(node.outputs, axes, strict=False):
        if made.name:
            trace.put(made, (Span((axis,), units),))


def _read(node: onnx_ir.Node, trace: Trace, x: onnx_ir.Value | None, w: onnx_ir.Value) -> None:
    reads = trace.along(w, 2)
    layout = trace.narrowed(x, (2,), "it is the time or the batch of a recurrent layer")
    if reads is None:
        return
    trace.read(w, 2)
    if layout:
        trace.labels.unite(reads, layout[0].ids)
        trace.mixers.append(Mixer(node, 0))
    else:
        trace.labels.freeze(reads, "it reads a fixed number of features")


def _state(trace: Trace, state: onnx_ir.Value | None, units: Ids) -> None:
    """A first state has as many numbers as there are units."""
    if state is None:
        return
    span = span_of(trace.narrowed(state, (2,), "it is the batch of a recurrent layer"), 2)
    if span is None:
        trace.labels.freeze(units, f"the first state {state.name!r} has a fixed size")
    else:
        trace.labels.unite(span.ids, units)


RULES: dict[str, Rule] = dict.fromkeys(_GATES, recurrent)
