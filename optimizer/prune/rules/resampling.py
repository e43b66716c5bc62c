"""Operators between channels and space, and around space: pads, resizing, depth to space and back."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ....ir.model import constant
from ..labels import FIXED
from ..layout import Span
from ..trace import Rule, Trace, Unknown


def pad(node: onnx_ir.Node, trace: Trace) -> None:
    """Positions before and behind; on an axis of channels those that are added never go."""
    data, made = node.inputs[0], node.outputs[0]
    rank = len(trace.shape(data))
    pads = constant(node.inputs[1])
    named = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.arange(rank)
    if pads is None or named is None:
        raise Unknown("with computed pads")
    count = named.size
    amounts = {int(axis) % rank: (int(pads[place]), int(pads[place + count])) for place, axis in enumerate(named.ravel())}
    found = []
    for span in trace.settled(data):
        around = [amounts.get(axis, (0, 0)) for axis in span.axes]
        if not any(before or behind for before, behind in around):
            found.append(span)
        elif len(span.axes) == 1 and min(around[0]) >= 0 and node.attributes.get_string("mode", "constant") == "constant":
            found.append(Span(span.axes, np.pad(span.ids, around, constant_values=FIXED)))
        else:
            trace.labels.freeze(span.ids, f"{made.name!r} pads it")
    trace.put(made, tuple(found))


def resize(node: onnx_ir.Node, trace: Trace) -> None:
    """Axes that keep their size keep their labels."""
    data, made = node.inputs[0], node.outputs[0]
    before, after = trace.shape(data), trace.shape(made)
    same = [axis for axis, (old, new) in enumerate(zip(before, after, strict=True)) if old == new]
    trace.put(made, trace.narrowed(data, same, f"{made.name!r} resizes it"))


def depth_to_space(node: onnx_ir.Node, trace: Trace) -> None:
    """`blocksize` squared channels become one: DCR has them far apart, CRD beside each other."""
    data, made = node.inputs[0], node.outputs[0]
    layout = trace.narrowed(data, (1,), f"{made.name!r} moves it")
    area = node.attributes["blocksize"].as_int() ** 2
    found = []
    for span in layout:
        is_far = node.attributes.get_string("mode", "DCR") == "DCR"
        ids = span.ids.reshape(area, -1) if is_far else span.ids.reshape(-1, area).T
        trace.labels.unite(ids, ids[:1])
        found.append(Span((1,), ids[0]))
    trace.put(made, tuple(found) if trace.shape(made)[1] > 1 else _alone(trace, found, made))


def space_to_depth(node: onnx_ir.Node, trace: Trace) -> None:
    """Every channel becomes `blocksize` squared ones, far apart."""
    data, made = node.inputs[0], node.outputs[0]
    layout = trace.narrowed(data, (1,), f"{made.name!r} moves it")
    area = node.attributes["blocksize"].as_int() ** 2
    trace.put(made, tuple(Span((1,), np.tile(span.ids, area)) for span in layout))


def _alone(trace: Trace, spans: list[Span], made: onnx_ir.Value) -> tuple[Span, ...]:
    for span in spans:
        trace.labels.freeze(span.ids, f"{made.name!r} is one channel")
    return ()


RULES: dict[str, Rule] = {
    "Pad": pad,
    "Resize": resize,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
