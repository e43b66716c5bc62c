"""Arithmetic on shapes is settled: what does not depend on the size of the batch becomes a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from ...core.errors import ModelError
from ...ir.model import Model, constant, initializer
from ...ir.passes import stamp
from ...ir.rewrites.forms import fresh
from ...ir.rewrites.matching import maker
from .sizes import Sized, at_batch

MADE_BY = "training-form"
# Operators that let a size of 1 stand for any size.
BROADCASTING = frozenset(
    {"Add", "And", "Div", "Equal", "Greater", "Less", "Max", "Mean", "Min", "Mul", "Or", "Pow", "Sub", "Sum", "Where"}
)
_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}


def settle(model: Model) -> Model:
    """`model` with constant Reshape targets (-1 for the axis that holds the batch), and constants in place of shape arithmetic.

    A class token, which is copied for every sample before it is joined to others, keeps its `Expand`, with the shortest
    arithmetic that there is: `Concat(Shape{start=0, end=1}(x), @sizes)`. Raises ModelError when another axis than the first
    of an input is free.
    """
    for spec in model.inputs:
        for axis, size in enumerate(spec.shape):
            if size is None and axis > 0:
                raise ModelError(
                    f"axis {axis} of the input {spec.name!r} has no fixed size, which training needs; give one with --shape."
                )
    result = model.clone()
    _Settling(result, at_batch(model, 2), at_batch(model, 3)).run()
    return result


@dataclass
class _Settling:
    """Two sizes of the batch, 2 and 3, tell what does not depend on it and which axes grow with it."""

    model: Model
    two: Sized
    three: Sized

    def run(self) -> None:
        graph = self.model.graph
        for node in list(graph):
            if node.op_type == "Reshape":
                self._reshape(node)
            elif node.op_type == "Expand":
                self._expand(node)
            for place in _STATES.get(node.op_type, ()):
                self._state(node, place)
        for node in list(graph):
            for place, value in enumerate(node.inputs):
                if value is not None and value.name in self.two.arrays and value.name not in graph.initializers:
                    self._operand(node, place, value)
        common.RemoveUnusedNodesPass()(self.model.ir)
        common.TopologicalSortPass()(self.model.ir)
        common.NameFixPass()(self.model.ir)
        self._annotate()

    def sizes(self, value: onnx_ir.Value | None) -> list[int | None] | None:
        """Sizes of `value`, None for an axis that grows with the batch; None where they are not known."""
        name = "" if value is None else str(value.name)
        two, three = self.two.shapes.get(name), self.three.shapes.get(name)
        if two is None or three is None or len(two) != len(three):
            return None
        return [size if size == more else None for size, more in zip(two, three, strict=True)]

    def _constant(self, node: onnx_ir.Node, name: str, array: NDArray[Any]) -> onnx_ir.Value:
        graph = self.model.graph
        value = initializer(fresh(graph, f"{node.outputs[0].name}_{name}"), array)
        graph.register_initializer(value)
        return value

    def _target(self, node: onnx_ir.Node, sizes: Sequence[int | None]) -> onnx_ir.Value:
        return self._constant(node, "shape", np.array([-1 if size is None else size for size in sizes], np.int64))

    def _reshape(self, node: onnx_ir.Node) -> None:
        """`Reshape(x, Concat(...))` or `Reshape(x, @[0, 12])` -> `Reshape(x, @[-1, 12])`."""
        sizes = self.sizes(node.outputs[0])
        if sizes is None or sizes.count(None) > 1 or 0 in sizes:
            return
        wanted = np.array([-1 if size is None else size for size in sizes], np.int64)
        before = constant(node.inputs[1])
        if before is None or not np.array_equal(before, wanted):
            node.replace_input_with(1, self._target(node, sizes))
        node.attributes.pop("allowzero", None)

    def _expand(self, node: onnx_ir.Node) -> None:
        """An Expand whose readers broadcast anyway is left out; one that is needed keeps the shortest target."""
        made, data = node.outputs[0], node.inputs[0]
        sizes, given = self.sizes(made), self.sizes(data)
        if sizes is None or given is None or data is None:
            return
        if sizes == given or all(self._broadcasts(user, made, data) for user, _ in made.uses()):
            if not made.is_graph_output():
                made.replace_all_uses_with(data)
            return
        self._target_of_expand(node, sizes)

    def _broadcasts(self, user: onnx_ir.Node, made: onnx_ir.Value, data: onnx_ir.Value) -> bool:
        """Whether `user` makes the same shape when it reads `data` instead of `made`."""
        if user.op_type not in BROADCASTING:
            return False
        for known in (self.two, self.three):
            given = [str((data if value is made else value).name) for value in user.inputs if value is not None]
            shapes = [known.shapes.get(name) for name in given]
            if any(shape is None for shape in shapes):
                return False
            if np.broadcast_shapes(*(shape for shape in shapes if shape is not None)) != known.shapes.get(
                str(user.outputs[0].name)
            ):
                return False
        return True

    def _target_of_expand(self, node: onnx_ir.Node, sizes: Sequence[int | None]) -> None:
        two = self.two.shapes[str(node.outputs[0].name)]
        if None not in sizes:
            node.replace_input_with(1, self._target(node, sizes))
            return
        axis = sizes.index(None)
        if sizes.count(None) > 1 or two[axis] != 2 or _is_shortest(node.inputs[1]):
            return
        target, steps = joined_sizes(self.model.graph, str(node.outputs[0].name), sizes)
        self.model.graph.insert_before(node, steps)
        node.replace_input_with(1, target)

    def _state(self, node: onnx_ir.Node, place: int) -> None:
        """An initial state of zeros is what a recurrent layer begins with anyway."""
        value = node.inputs[place] if place < len(node.inputs) else None
        if value is None:
            return
        array = self.two.arrays.get(str(value.name))
        array = constant(value) if array is None else array
        if array is not None and not array.any():
            node.replace_input_with(place, None)

    def _operand(self, node: onnx_ir.Node, place: int, value: onnx_ir.Value) -> None:
        """What shapes decide becomes a constant where the batch does not matter, or where one sample's stands for all."""
        name = str(value.name)
        two, three = self.two.arrays[name], self.three.arrays.get(name)
        if three is None or (name in self.two.shapes and node.outputs[0].name in self.two.arrays):
            return
        if two.shape == three.shape and np.array_equal(two, three):
            node.replace_input_with(place, self._constant(node, f"operand_{place}", two))
            return
        one = _one_sample(two, three)
        if one is None or node.op_type not in BROADCASTING:
            return
        shortened = self._constant(node, f"operand_{place}", one)
        for known in (self.two, self.three):
            known.shapes[str(shortened.name)] = one.shape
        if self._broadcasts(node, value, shortened):
            node.replace_input_with(place, shortened)

    def _annotate(self) -> None:
        """Every shape that is known is written down, with `batch` for the axis that grows with it."""
        for node in self.model.graph:
            for value in node.outputs:
                sizes, two = self.sizes(value), self.two.shapes.get(str(value.name))
                if sizes is not None and two is not None:
                    value.shape = onnx_ir.Shape(
                        [
                            size if size is not None else ("batch" if twice == 2 else None)
                            for size, twice in zip(sizes, two, strict=True)
                        ]
                    )


def joined_sizes(
    graph: onnx_ir.Graph, name: str, sizes: Sequence[int | None]
) -> tuple[onnx_ir.Value, tuple[onnx_ir.Node, ...]]:
    """The value [rank] of `sizes`, with the size of the batch in place of None, and the nodes that make it."""
    axis = list(sizes).index(None)
    count = onnx_ir.node("Shape", [graph.inputs[0]], {"start": 0, "end": 1})
    parts: list[onnx_ir.Value] = [count.outputs[0]]
    for place, known, which in ((0, sizes[:axis], "before"), (len(parts) + 1, sizes[axis + 1 :], "after")):
        if known:
            value = initializer(fresh(graph, f"{name}_{which}"), np.array(known, np.int64))
            graph.register_initializer(value)
            parts.insert(place, value)
    whole = onnx_ir.node("Concat", parts, {"axis": 0})
    for made, length in ((count, 1), (whole, len(sizes))):
        made.outputs[0].dtype, made.outputs[0].shape = onnx_ir.DataType.INT64, onnx_ir.Shape([length])
    stamp((count, whole), MADE_BY)
    return whole.outputs[0], (count, whole)


def _is_shortest(target: onnx_ir.Value | None) -> bool:
    """Whether the target of an Expand is `Concat` of constants and of `Shape{start=0, end=1}`."""
    whole = maker(target, "Concat")
    if whole is None:
        return False
    computed = [value for value in whole.inputs if constant(value) is None]
    counts = [maker(value, "Shape") for value in computed]
    return len(counts) == 1 and counts[0] is not None and counts[0].attributes.get_int("end", None) == 1


def _one_sample(two: NDArray[Any], three: NDArray[Any]) -> NDArray[Any] | None:
    """The array with one place on the axis that holds the batch, where all places are alike; else None."""
    if two.ndim != three.ndim:
        return None
    grown = [axis for axis, (size, more) in enumerate(zip(two.shape, three.shape, strict=True)) if size != more]
    if len(grown) != 1 or two.shape[grown[0]] != 2 or three.shape[grown[0]] != 3:
        return None
    one: NDArray[Any] = two.take([0], axis=grown[0])
    return one if all(np.array_equal(np.broadcast_to(one, array.shape), array) for array in (two, three)) else None
