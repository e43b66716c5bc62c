"""Operands that meet position by position: what goes in one goes in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir

from .layout import Layout, Span, over, renumbered
from .trace import Trace, whole

_FIXED_PARTNER = "its channels meet data of a fixed size"


@dataclass(frozen=True)
class Operand:
    """An operand with a number for each of its axes: axes of the same number run along each other.

    `sizes`: of the axes; one of size 1 is stretched. `is_weight`: whether it is an initializer.
    """

    layout: Layout
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    is_weight: bool = False

    def spans(self) -> list[Span]:
        """The labels, on the numbers of the axes."""
        return [renumbered(span, dict(enumerate(self.axes))) for span in self.layout]

    def bare(self) -> set[int]:
        """Axes that have a size and no labels."""
        labelled = {axis for span in self.layout for axis in span.axes}
        return {self.axes[place] for place, size in enumerate(self.sizes) if size > 1 and place not in labelled}


def broadcast(trace: Trace, values: Sequence[onnx_ir.Value | None], rank: int) -> list[Operand]:
    """Operands of an elementwise operator: their axes are those of the result, counted from its end."""
    found = []
    for value in values:
        if value is None:
            continue
        sizes = trace.shape(value)
        axes = tuple(range(rank - len(sizes), rank))
        layout = trace.settled(value)
        found.append(Operand(layout, axes, sizes, value.is_initializer()))
    return found


def meet(trace: Trace, operands: Sequence[Operand]) -> Layout:
    """Unite the labels of operands and give those of what they make together."""
    labels = trace.labels
    merged: list[Span] = []
    # The widest first, activations before weights: a weight gives way, as nothing else depends on it yet.
    spans = [(span, operand.is_weight) for operand in operands for span in operand.spans()]
    for span, is_weight in sorted(spans, key=lambda pair: (-len(pair[0].axes), pair[1])):
        others = [other for other in merged if set(other.axes) & set(span.axes)]
        if not others:
            merged.append(span)
        elif len(others) > 1 or not set(span.axes) <= set(others[0].axes):
            for other in (span, *others):
                labels.freeze(other.ids, "two ways of cutting its channels meet")
            merged = [other for other in merged if other not in others]
        elif _gives_way(trace, span, others[0], is_weight):
            merged = _less(trace, merged, set(span.axes))
            labels.freeze(span.ids, _FIXED_PARTNER)
        else:
            sizes = dict(zip(others[0].axes, others[0].ids.shape, strict=True))
            shape = [sizes.get(axis, 1) for axis in range(max(others[0].axes) + 1)]
            labels.unite(over(span, others[0].axes, shape), others[0].ids)
    for operand in operands:
        merged = _less(trace, merged, operand.bare())
    return tuple(merged)


def _gives_way(trace: Trace, span: Span, other: Span, is_weight: bool) -> bool:
    """Whether a weight along the later axes of a grid (one number for each place in a row) keeps all of them."""
    return (
        is_weight and len(other.axes) > len(span.axes) and other.axes[0] not in span.axes and trace.labels.are_alone(span.ids)
    )


def _less(trace: Trace, merged: Sequence[Span], axes: set[int]) -> list[Span]:
    """The spans where nothing may go along `axes`."""
    rest = (whole(trace.labels, span, [axis for axis in span.axes if axis in axes], _FIXED_PARTNER) for span in merged)
    return [span for span in rest if span is not None]


def contract(trace: Trace, operands: Sequence[Operand], summed: Sequence[int]) -> Layout:
    """Labels of a product that is summed over the axes `summed`: along them, positions go together and leave no trace."""
    found = []
    for span in meet(trace, operands):
        gone = [axis for axis in span.axes if axis in summed]
        rest = span if len(gone) < len(span.axes) else None
        if rest is not None:
            rest = whole(trace.labels, rest, gone, "")
        if rest is not None:
            found.append(rest)
    return tuple(found)


def labelled(layout: Layout, axes: Sequence[int]) -> bool:
    """Whether any of the axes has labels."""
    return bool({axis for span in layout for axis in span.axes} & set(axes))
