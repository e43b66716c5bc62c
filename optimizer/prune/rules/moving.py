"""Operators that move positions without computing: reshapes, transpositions, stretching."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ....ir.model import constant
from ..layout import Layout, Span, blocks, renumbered, reshaped
from ..trace import Rule, Trace, Unknown
from .shuffle import shuffle


def identity(node: onnx_ir.Node, trace: Trace) -> None:
    """`y = x`."""
    trace.put(node.outputs[0], trace.layout(node.inputs[0]))


def reshape(node: onnx_ir.Node, trace: Trace) -> None:
    """The same elements in the same order, on other axes: also Flatten, Squeeze and Unsqueeze."""
    data, made = node.inputs[0], node.outputs[0]
    before, after = trace.shape(data), trace.shape(made)
    if node.op_type == "Reshape" and trace.layout(data) and constant(node.inputs[1]) is None:
        raise Unknown("to a computed shape")
    cut = blocks(before, after)
    found: list[Span] = []
    taken: set[int] = set()
    # The largest first: where two lie in one block, only one of them can have its positions told apart afterwards.
    for span in sorted(trace.layout(data), key=lambda span: -span.ids.size):
        mine = {place for place, block in enumerate(cut) if set(block.before) & set(span.axes)}
        if mine & taken:
            trace.labels.freeze(span.ids, f"{made.name!r} merges it with another axis that is pruned")
            continue
        taken |= mine
        found.append(reshaped(span, before, after, cut))
    trace.put(made, tuple(found))
    grids = [span for span in trace.layout(data) if len(span.axes) > 1]
    if grids and shuffle(node, trace.layout, trace.shape) is None:
        for span in grids:
            trace.need_grid(span)


def transpose(node: onnx_ir.Node, trace: Trace) -> None:
    """Axes in another order."""
    rank = len(trace.shape(node.inputs[0]))
    order = node.attributes.get_ints("perm", None) or tuple(reversed(range(rank)))
    new = {old: place for place, old in enumerate(order)}
    trace.put(node.outputs[0], tuple(renumbered(span, new) for span in trace.layout(node.inputs[0])))


def expand(node: onnx_ir.Node, trace: Trace) -> None:
    """Axes of size 1 are repeated; the others stay, and so do their labels."""
    data, made = node.inputs[0], node.outputs[0]
    shift = len(trace.shape(made)) - len(trace.shape(data))
    layout = trace.settled(data)
    wanted = target_sizes(node)
    kept: list[Span] = []
    for span in layout:
        # A size that is computed as the model runs cannot be made smaller here.
        if all(wanted.get(axis + shift - len(trace.shape(made))) is not None for axis in span.axes):
            kept.append(renumbered(span, {axis: axis + shift for axis in span.axes}))
        else:
            trace.labels.freeze(span.ids, f"{made.name!r} is expanded to a size that is computed")
    trace.put(made, tuple(kept))


def target_sizes(node: onnx_ir.Node) -> dict[int, int | None]:
    """Sizes that an Expand asks for, by axis from the end; 1 for axes that it does not name, None for computed ones."""
    value = node.inputs[1]
    parts = [value]
    maker = value.producer() if value is not None else None
    if maker is not None and maker.op_type == "Concat":
        parts = list(maker.inputs)
    sizes: list[int | None] = []
    for part in parts:
        array = constant(part)
        if array is not None:
            sizes.extend(int(size) for size in array.ravel())
        elif part is not None and part.shape is not None and part.shape.is_static():
            sizes.extend([None] * int(np.prod(part.shape.numpy(), dtype=np.int64)))
        else:
            return dict.fromkeys(range(-64, 0))
    found: dict[int, int | None] = dict.fromkeys(range(-64, 0), 1)
    found.update({place - len(sizes): size for place, size in enumerate(sizes)})
    return found


def tile(node: onnx_ir.Node, trace: Trace) -> None:
    """Every axis is repeated as a whole."""
    times = constant(node.inputs[1])
    if times is None:
        raise Unknown("with computed repeats")
    layout: Layout = trace.settled(node.inputs[0])
    trace.put(
        node.outputs[0],
        tuple(Span(span.axes, np.tile(span.ids, [int(times[axis]) for axis in span.axes]), span.is_ordered) for span in layout),
    )


def sizes(node: onnx_ir.Node, trace: Trace) -> None:
    """The sizes of some axes, as numbers; what goes along these axes would change what is computed with them."""
    data, made = node.inputs[0], node.outputs[0]
    axes = range(len(trace.shape(data)))[node.attributes.get_int("start", 0) : node.attributes.get_int("end", None)]
    others = [axis for axis in range(len(trace.shape(data))) if axis not in axes]
    trace.narrowed(data, others, f"{made.name!r} is its size")
    trace.put(made, ())


RULES: dict[str, Rule] = {
    "Identity": identity,
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": reshape,
    "Unsqueeze": reshape,
    "Transpose": transpose,
    "Expand": expand,
    "Tile": tile,
    "Shape": sizes,
}
