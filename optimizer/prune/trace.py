"""What labels lie on every tensor of a model, found by one walk through its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir

from ...ir.model import Model
from .labels import Ids, Labels
from .layout import Layout, Span, span_of, without
from .places import Kind, Role
from .shapes import Shape

_FLOATS = (onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16, onnx_ir.DataType.DOUBLE, onnx_ir.DataType.BFLOAT16)


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions that must form full rows when some of them go.

    `ids`: [rows, positions]. `is_ordered`: equal numbers in each row suffice; else every row must keep the same positions.
    `keeps_rows`: no row may go as a whole.
    """

    ids: Ids
    is_ordered: bool
    keeps_rows: bool


@dataclass(frozen=True, eq=False)
class Maker:
    """Units that a layer makes: labels along the axis of its weights, under the name of its output."""

    name: str
    ids: Ids
    kind: Kind


@dataclass(frozen=True)
class Mixer:
    """A node that mixes the positions along labelled axes of one of its inputs, so that what is gone must not count."""

    node: onnx_ir.Node
    operand: int


class Unknown(Exception):
    """A rule does not know how a node passes labels on; the message goes behind the operator's name."""


Rule = Callable[[onnx_ir.Node, "Trace"], None]


class Trace:
    """The walk's state: shapes, layouts by value, and what was learned on the way.

    `model` is a copy in which weights that are equal by chance have names of their own; `origin` gives the name that they
    have in the model itself. `makers`, `mixers` and `grids` are in the order of the nodes; `unknown` are the nodes that no
    rule could pass, with the reason, by the name of their first output.
    """

    def __init__(self, model: Model, shapes: Mapping[str, Shape], origin: Mapping[str, str]) -> None:
        """Know the shapes by value's name; those that are missing are unknown."""
        self.model = model
        self.origin = origin
        self.labels = Labels()
        self.makers: list[Maker] = []
        self.mixers: list[Mixer] = []
        self.grids: list[Grid] = []
        self.heads: list[Ids] = []
        self.unknown: dict[str, str] = {}
        self.roles: dict[tuple[str, int], Role] = {}
        self.layouts: dict[str, Layout] = {}
        self._shapes = shapes

    def shape(self, value: onnx_ir.Value | None) -> Shape:
        """Sizes at batch 1; raises Unknown when they are unknown."""
        found = self._shapes.get(str(value.name)) if value is not None else None
        if found is None:
            raise Unknown("of unknown sizes")
        return found

    def layout(self, value: onnx_ir.Value | None) -> Layout:
        """Labels of a value; every axis of a weight has labels of its own at first."""
        if value is None:
            return ()
        if is_weight(value) and str(value.name) in self._shapes:
            for axis in range(len(self.shape(value))):
                self.along(value, axis)
        return self.layouts.get(str(value.name), ())

    def along(self, weight: onnx_ir.Value, axis: int) -> Ids | None:
        """Labels along one axis of a weight, new ones when it has none; None for an axis of size 1."""
        layout = self.layouts.get(str(weight.name), ())
        found = span_of(layout, axis)
        if found is not None:
            return found.ids
        size = self.shape(weight)[axis]
        if size == 1:
            return None
        span = Span((axis,), self.labels.fresh(size))
        self.layouts[str(weight.name)] = (*layout, span)
        return span.ids

    def put(self, value: onnx_ir.Value, layout: Layout) -> None:
        """Note the labels of a value that a node makes; axes along which a grid does not differ are no part of it."""
        found = []
        for span in layout:
            roots = self.labels.roots(span.ids)
            same = [
                axis
                for place, axis in enumerate(span.axes)
                if len(span.axes) > 1 and bool((roots == roots.take([0], place)).all())
            ]
            if len(same) == len(span.axes):
                same = same[1:]
            kept = without(span, same)
            if bool((self.labels.roots(kept.ids) == roots.flat[0]).all()):
                self.labels.freeze(kept.ids.ravel()[:1], f"all of axis {kept.axes[0]} of {value.name!r} is one channel")
                continue
            found.append(kept)
        self.layouts[str(value.name)] = tuple(found)

    def settled(self, value: onnx_ir.Value | None) -> Layout:
        """Labels of a value that is computed with: what is left of a grid must be one again."""
        layout = self.layout(value)
        for span in layout:
            if len(span.axes) > 1:
                self.need_grid(span)
        return layout

    def need_grid(self, span: Span, *, is_ordered: bool | None = None, keeps_rows: bool = False) -> None:
        """Note that what is left of a grid must be one, by the first axis, by the first two and so on."""
        ordered = span.is_ordered if is_ordered is None else is_ordered
        for cut in range(1, len(span.axes)):
            rows = int(np.prod(span.ids.shape[:cut]))
            self.grids.append(Grid(span.ids.reshape(rows, -1), ordered, keeps_rows))

    def narrowed(self, value: onnx_ir.Value | None, axes: Sequence[int], reason: str) -> Layout:
        """Labels of a value on these axes alone: along its others nothing may go; `reason` says why."""
        found = []
        for span in self.settled(value):
            rest = whole(self.labels, span, [axis for axis in span.axes if axis not in axes], reason)
            if rest is not None:
                found.append(rest)
        if value is not None:
            self.layouts[str(value.name)] = tuple(found)
        return tuple(found)

    def freeze(self, value: onnx_ir.Value | None, reason: str) -> None:
        """Let nothing of a value go, nor, if it is a weight, by any other reader of it."""
        for span in self.layout(value):
            self.labels.freeze(span.ids, reason)

    def make(self, node: onnx_ir.Node, weight: onnx_ir.Value, axis: int, kind: Kind) -> None:
        """Note that a node makes the units along this axis of its weight."""
        ids = self.along(weight, axis)
        if ids is not None:
            self.makers.append(Maker(str(node.outputs[0].name), ids, kind))
            self.roles[str(weight.name), axis] = "makes"

    def read(self, weight: onnx_ir.Value, axis: int) -> None:
        """Note that a weight is summed over along this axis."""
        self.roles.setdefault((str(weight.name), axis), "reads")


def whole(labels: Labels, span: Span, axes: Sequence[int], reason: str) -> Span | None:
    """The span where nothing may go along `axes`: rows go as a whole, or, when no axis is left, nothing does (None)."""
    if not axes:
        return span
    if len(axes) == len(span.axes):
        labels.freeze(span.ids, reason)
        return None
    ids = span.ids
    for place, axis in enumerate(span.axes):
        if axis in axes:
            labels.unite(ids, ids.take([0], place))
    return without(span, axes)


def is_weight(value: onnx_ir.Value) -> bool:
    """Whether a value is an initializer of floating-point numbers."""
    return value.is_initializer() and value.const_value is not None and value.dtype in _FLOATS
