"""Operators that cut positions out of an axis or put axes behind each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ....ir.model import constant
from ..labels import FIXED, Ids
from ..layout import Layout, Span, over, renumbered, span_of
from ..meeting import Operand, meet
from ..trace import Rule, Trace, Unknown, is_weight


def concat(node: onnx_ir.Node, trace: Trace) -> None:
    """Inputs behind each other on one axis; on the others they meet."""
    made = node.outputs[0]
    shape = trace.shape(made)
    axis = node.attributes["axis"].as_int() % len(shape)
    values = [value for value in node.inputs if value is not None]
    layouts = [trace.settled(value) for value in values]
    beside = [tuple(span for span in layout if axis not in span.axes) for layout in layouts]
    axes = sorted({other for layout in layouts for span in layout if axis in span.axes for other in span.axes})
    behind = None
    if axes:
        sizes = [trace.shape(value) for value in values]
        behind = [_spread(layout, axis, axes, size) for layout, size in zip(layouts, sizes, strict=True)]
    found = list(meet(trace, [_beside(trace, value, layout, axis, axes) for value, layout in zip(values, beside, strict=True)]))
    if behind is not None:
        is_ordered = all(span.is_ordered for layout in layouts for span in layout if axis in span.axes)
        found.append(Span(tuple(axes), np.concatenate(behind, axes.index(axis)), is_ordered))
    trace.put(made, tuple(found))


def _spread(layout: Layout, axis: int, axes: Sequence[int], shape: Sequence[int]) -> Ids:
    """Labels of one input over the axes that the result's grid has."""
    span = span_of(layout, axis)
    if span is None:
        return np.full([shape[other] for other in axes], FIXED, np.int64)
    return over(span, axes, shape)


def _beside(trace: Trace, value: onnx_ir.Value, layout: Layout, axis: int, axes: Sequence[int]) -> Operand:
    """The input without the axis that grows: of size 1, it meets nothing."""
    sizes = tuple(1 if place == axis or place in axes else size for place, size in enumerate(trace.shape(value)))
    return Operand(layout, tuple(range(len(sizes))), sizes, value.is_initializer())


def split(node: onnx_ir.Node, trace: Trace) -> None:
    """Parts of one axis."""
    data = node.inputs[0]
    axis = node.attributes.get_int("axis", 0) % len(trace.shape(data))
    start = 0
    for made in node.outputs:
        size = trace.shape(made)[axis]
        pick(trace, data, made, axis, np.arange(start, start + size))
        start += size


def slice_(node: onnx_ir.Node, trace: Trace) -> None:
    """Every so many positions between two, on some axes."""
    data, made = node.inputs[0], node.outputs[0]
    ranges = slices(node, trace.shape(data))
    current = trace.layout(data)
    for axis, positions in ranges.items():
        if abs(positions.step) > 1 and span_of(current, axis) is not None:
            raise Unknown("with a stride over channels")
        if len(positions) < trace.shape(data)[axis] or positions.step != 1:
            current = picked(trace, current, axis, np.asarray(positions), str(made.name))
    for span in current:
        if len(span.axes) > 1:
            trace.need_grid(span)
    trace.put(made, current)


def slices(node: onnx_ir.Node, shape: Sequence[int]) -> dict[int, range]:
    """Positions that a Slice takes, by axis; raises Unknown when a bound is computed."""
    given = [constant(value) for value in node.inputs[1:]]
    is_computed = any(array is None and value is not None for array, value in zip(given, node.inputs[1:], strict=True))
    starts, ends, axes, steps = (*given, None, None)[:4]
    if is_computed or starts is None or ends is None:
        raise Unknown("with computed bounds")
    names = np.arange(len(starts)) if axes is None else axes.ravel()
    strides = np.ones(len(starts), np.int64) if steps is None else steps.ravel()
    found = {}
    for start, end, name, step in zip(starts.tolist(), ends.tolist(), names.tolist(), strides.tolist(), strict=True):
        axis = name % len(shape)
        found[axis] = range(shape[axis])[slice(start, _end(end, shape[axis], step), step)]
    return found


def _end(end: int, size: int, step: int) -> int | None:
    """ONNX says "to the first" of a backward slice by an end far below zero."""
    return None if step < 0 and end < -size else end


def gather(node: onnx_ir.Node, trace: Trace) -> None:
    """Positions of one axis by their numbers; what numbers are computed may take any of them."""
    data, made = node.inputs[0], node.outputs[0]
    shape = trace.shape(data)
    axis = node.attributes.get_int("axis", 0) % len(shape)
    indices = constant(node.inputs[1])
    wide = len(trace.shape(node.inputs[1]))
    if indices is not None and indices.ndim == 1:
        pick(trace, data, made, axis, indices % shape[axis])
        return
    new = {old: old if old < axis else old + wide - 1 for old in range(len(shape)) if old != axis}
    if indices is not None and indices.ndim == 0:
        layout = picked(trace, trace.layout(data), axis, indices.reshape(1) % shape[axis], str(made.name))
        for span in layout:
            if len(span.axes) > 1:
                trace.need_grid(span)
    else:
        layout = trace.narrowed(data, sorted(new), f"{made.name!r} may take any position of it")
        if data is not None and is_weight(data):
            for other in range(len(shape)):
                if other != axis:
                    trace.make(node, data, other, "features")
    trace.put(made, tuple(renumbered(span, new) for span in layout))


def pick(trace: Trace, data: onnx_ir.Value | None, made: onnx_ir.Value, axis: int, positions: NDArray[np.int64]) -> None:
    """Put on `made` the labels of `data`, of which it takes some positions on one axis."""
    layout = picked(trace, trace.layout(data), axis, positions, str(made.name))
    for span in layout:
        if len(span.axes) > 1:
            trace.need_grid(span)
    trace.put(made, layout)


def picked(trace: Trace, layout: Layout, axis: int, positions: NDArray[np.int64], name: str) -> Layout:
    """The layout where one axis has these positions alone; of a single position the axis is no longer told."""
    found = []
    for span in layout:
        if axis not in span.axes:
            found.append(span)
            continue
        place = span.axes.index(axis)
        if len(span.axes) > 1:
            # Cut along its first axis a grid gives whole rows; along another one, each row must lose the same positions.
            trace.need_grid(span, is_ordered=span.is_ordered and place == 0)
        ids = span.ids.take(positions, place)
        if len(positions) > 1:
            found.append(Span(span.axes, ids, span.is_ordered))
        elif len(span.axes) > 1:
            rest = tuple(other for other in span.axes if other != axis)
            found.append(Span(rest, ids.squeeze(place), span.is_ordered))
        else:
            trace.labels.freeze(ids, f"{name!r} is this channel alone")
    return tuple(found)


RULES: dict[str, Rule] = {"Concat": concat, "Split": split, "Slice": slice_, "Gather": gather}
