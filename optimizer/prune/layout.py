"""Where labels lie on a tensor: spans of axes, and how they change when axes are moved, split and merged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .labels import Ids


@dataclass(frozen=True, eq=False)
class Span:
    """Labels over one axis, or over a grid of axes that came from one.

    `axes`: ascending. `ids`: a label for each position, in the shape of these axes; several positions may share one.
    `is_ordered`: whether the axes still follow each other as when the one axis was split, so that keeping as many positions
    in every row leaves the kept ones in their order.
    """

    axes: tuple[int, ...]
    ids: Ids
    is_ordered: bool = True


Layout = tuple[Span, ...]
"""Spans that share no axis; an axis of no span has a size that never changes."""


def renumbered(span: Span, new: Mapping[int, int]) -> Span:
    """The span on other axes; its own are looked up in `new`."""
    axes = [new[axis] for axis in span.axes]
    order = sorted(range(len(axes)), key=axes.__getitem__)
    is_ordered = span.is_ordered and order == list(range(len(axes)))
    return Span(tuple(axes[place] for place in order), span.ids.transpose(order), is_ordered)


def span_of(layout: Layout, axis: int) -> Span | None:
    """The span that covers `axis`."""
    return next((span for span in layout if axis in span.axes), None)


def without(span: Span, axes: Sequence[int]) -> Span:
    """The span less axes along which nothing differs."""
    picked = tuple(0 if axis in axes else slice(None) for axis in span.axes)
    return Span(tuple(axis for axis in span.axes if axis not in axes), span.ids[picked], span.is_ordered)


def over(span: Span, axes: Sequence[int], shape: Sequence[int]) -> Ids:
    """The span's labels stretched over `axes` (ascending, its own among them) of a tensor of `shape`."""
    sizes = [shape[axis] if axis in span.axes else 1 for axis in axes]
    return np.broadcast_to(span.ids.reshape(sizes), [shape[axis] for axis in axes])


@dataclass(frozen=True)
class Block:
    """Neighbouring axes before a reshape, and those that they become: as many elements on both sides."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def blocks(before: Sequence[int], after: Sequence[int]) -> list[Block]:
    """The smallest blocks of a reshape, axes of size 1 left out; none where there are no elements."""
    old = [axis for axis, size in enumerate(before) if size != 1]
    new = [axis for axis, size in enumerate(after) if size != 1]
    found: list[Block] = []
    if 0 in before:
        return found
    while old and new:
        left, right = [old.pop(0)], [new.pop(0)]
        sizes = before[left[0]], after[right[0]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                left.append(old.pop(0))
                sizes = sizes[0] * before[left[-1]], sizes[1]
            else:
                right.append(new.pop(0))
                sizes = sizes[0], sizes[1] * after[right[-1]]
        found.append(Block(tuple(left), tuple(right)))
    return found


def reshaped(span: Span, before: Sequence[int], after: Sequence[int], cut: Sequence[Block]) -> Span:
    """The span after a reshape with these blocks."""
    touched = [block for block in cut if set(block.before) & set(span.axes)]
    old = [axis for block in touched for axis in block.before]
    new = [axis for block in touched for axis in block.after]
    ids = over(span, old, before).reshape([after[axis] for axis in new])
    return Span(tuple(new), ids, span.is_ordered)


def kept_shape(mask: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Sizes of what a mask keeps: rows without any are left out, the others must agree; None where they do not."""
    if mask.ndim == 1:
        return (int(mask.sum()),)
    rows = {kept_shape(row) for row in mask if row.any()}
    if len(rows) != 1:
        return None
    sizes = rows.pop()
    return None if sizes is None else (sum(bool(row.any()) for row in mask), *sizes)


def is_product(mask: NDArray[np.bool_]) -> bool:
    """Whether the mask keeps every combination of some positions on each axis."""
    sides = [mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)) for axis in range(mask.ndim)]
    return math.prod(int(side.sum()) for side in sides) == int(mask.sum())


def on_grid(span: Span, mask: NDArray[np.bool_], shape: Sequence[int]) -> NDArray[np.bool_]:
    """A mask over a span's axes, with all others of a tensor of `shape` as 1."""
    return mask.reshape([size if axis in span.axes else 1 for axis, size in enumerate(shape)])
