"""A batch that was fixed to one sample becomes free: found out on the graph, for exporters that fix it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir

from ...core.errors import ModelError
from ...ir.model import Model, initializer
from ...ir.passes import stamp
from ...ir.rewrites.forms import fresh
from .batch_axis import RULES, Axis, Given, Mixed
from .settle import MADE_BY, joined_sizes
from .sizes import at_batch

_MOST_TRIES = 2000
_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


@dataclass(frozen=True)
class _Way:
    """How a Reshape carries the batch to the axis `to`: in place, or by moving axes (batch first, and back) around it.

    `ahead` places of that axis lie before the batch, which then are repeated as a whole: 1 where a sample follows another.
    """

    to: int
    ahead: int
    is_moved: bool = False


def is_free(model: Model) -> bool:
    """Whether the first axis of every input is free."""
    return all(spec.shape[0] is None for spec in model.inputs if spec.shape)


def free_batch(model: Model) -> Model:
    """`model` with a free first axis in place of a single sample; one whose batch is free already is given back as it is.

    Raises ModelError naming the node that mixes samples, or whose batch cannot be followed, and for a batch fixed to more.
    """
    if is_free(model):
        return model
    for spec in model.inputs:
        if spec.shape and spec.shape[0] not in (None, 1):
            raise ModelError(
                f"the input {spec.name!r} has a fixed batch of {spec.shape[0]}, which training cannot change; "
                "export the model with a free first axis."
            )
    search = _Search(model, at_batch(model, 1).shapes)
    return _rewritten(model, search)


@dataclass
class _Search:
    """The axis of every value's batch. A Reshape may carry it in several ways; those that lead nowhere are taken back."""

    model: Model
    shapes: Mapping[str, tuple[int, ...]]
    axes: dict[onnx_ir.Value, Axis] = field(default_factory=dict)
    # Places of that axis that lie before the batch.
    ahead: dict[onnx_ir.Value, int] = field(default_factory=dict)
    ways: dict[onnx_ir.Node, _Way] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # For each Reshape passed so far, which of its ways is tried, and how many it has.
        tried: list[tuple[int, int]] = []
        blamed: onnx_ir.Node | None = None
        for _ in range(_MOST_TRIES):
            failed = self._follow(tried)
            if failed is None:
                return
            blamed = blamed or failed
            while tried and tried[-1][0] + 1 >= tried[-1][1]:
                tried.pop()
            if not tried:
                break
            tried[-1] = (tried[-1][0] + 1, tried[-1][1])
        name = "?" if blamed is None else f"{blamed.name!r} ({blamed.op_type})"
        raise ModelError(
            f"the batch is fixed to 1 and cannot be freed for training: the node {name} computes across samples or reorders "
            "them; export the model with a free first axis."
        )

    def _follow(self, tried: list[tuple[int, int]]) -> onnx_ir.Node | None:
        """Follow the batch through the graph, `tried` ways first; the node where that fails, or None."""
        graph = self.model.graph
        self.axes = {value: 0 for value in graph.inputs if value.shape is not None and len(value.shape)}
        self.ahead = dict.fromkeys(self.axes, 1)
        self.ways = {}
        met = 0
        for node in graph:
            if not any(self.axes.get(value) is not None for value in node.inputs if value is not None):
                continue
            try:
                if node.op_type in _RESHAPES:
                    ways = self._ways(node)
                    if met == len(tried):
                        tried.append((0, len(ways)))
                    way = self.ways[node] = ways[tried[met][0]]
                    self.axes[node.outputs[0]], self.ahead[node.outputs[0]] = way.to, way.ahead
                    met += 1
                else:
                    self._apply(node)
            except Mixed:
                return node
        return None

    def _apply(self, node: onnx_ir.Node) -> None:
        rule = RULES.get(node.op_type)
        made = self.shapes.get(str(node.outputs[0].name))
        if rule is None or made is None:
            raise Mixed
        shapes = [None if value is None else self.shapes.get(str(value.name)) for value in node.inputs]
        axes = [None if value is None else self.axes.get(value) for value in node.inputs]
        axis = rule(Given(node, shapes, made, axes))
        (ahead, *others) = {
            self.ahead[value] for value in node.inputs if value is not None and self.axes.get(value) is not None
        }
        if others:
            raise Mixed
        for place, value in enumerate(node.outputs):
            self.ahead[value] = ahead
            # The last states of a recurrent layer have no axis of time.
            self.axes[value] = 1 if node.op_type in ("GRU", "LSTM", "RNN") and place and axis == 2 else axis

    def _ways(self, node: onnx_ir.Node) -> list[_Way]:
        """Axes of the result that can hold the batch, the likeliest first; raises Mixed when there is none.

        In place it lies where as many elements are before it as in the input: an axis of one place is then the batch alone.
        Else, where the batch is an axis of its own, it is brought to the front, and from there to another axis of one place.
        """
        data = node.inputs[0]
        axis = None if data is None else self.axes.get(data)
        before = None if data is None else self.shapes.get(str(data.name))
        after = self.shapes.get(str(node.outputs[0].name))
        if data is None or axis is None or before is None or after is None:
            raise Mixed
        elements = math.prod(before[:axis]) * self.ahead[data]
        fitting = []
        for place, size in enumerate(after):
            ahead, rest = divmod(elements, math.prod(after[:place]))
            if not rest and ahead and size % ahead == 0:
                fitting.append(_Way(place, ahead))
        # Rows of a matrix are of all samples; with more axes, an axis that begins with the batch is likelier.
        is_matrix = len(after) == 2
        fitting.sort(key=lambda way: (after[way.to] != 1, way.to != axis, way.to if is_matrix else way.ahead))
        if before[axis] == 1:
            taken = {way.to for way in fitting}
            fitting += [_Way(place, 1, True) for place, size in enumerate(after) if size == 1 and place not in taken]
        if not fitting:
            raise Mixed
        return fitting


def _rewritten(model: Model, search: _Search) -> Model:
    """A copy of `model` in which Reshapes leave the batch's size open, and what is joined to samples is copied for each."""
    result = model.clone()
    graph = result.graph
    names = {str(node.outputs[0].name): node for node in graph}
    for node, way in search.ways.items():
        _reshape(graph, names[str(node.outputs[0].name)], way, search, node)
    for node in model.graph:
        if node.op_type == "Concat" and any(search.axes.get(value) is not None for value in node.inputs if value is not None):
            _copy_for_each(result, names[str(node.outputs[0].name)], node, search)
    for value in graph.inputs:
        if value.shape is not None and len(value.shape):
            value.shape = onnx_ir.Shape(["batch", *value.shape[1:]])
    for node in graph:
        for value in node.outputs:
            value.shape = None
    return result


def _reshape(graph: onnx_ir.Graph, node: onnx_ir.Node, way: _Way, search: _Search, source: onnx_ir.Node) -> None:
    data, made = source.inputs[0], source.outputs[0]
    before, after = (search.shapes[str(value.name)] for value in (data, made) if value is not None)
    sizes = list(after)
    steps: list[onnx_ir.Node] = []
    value = node.inputs[0]
    axis = None if data is None else search.axes[data]
    if way.is_moved and axis:
        steps.append(onnx_ir.node("Transpose", [value], {"perm": _to_front(axis, len(before))}))
        value = steps[-1].outputs[0]
    if way.is_moved:
        sizes = [-1, *sizes[: way.to], *sizes[way.to + 1 :]]
    else:
        sizes[way.to] = -1
    target = initializer(fresh(graph, f"{made.name}_free"), np.array(sizes, np.int64))
    graph.register_initializer(target)
    steps.append(onnx_ir.node("Reshape", [value, target]))
    if way.is_moved and way.to:
        order = [*range(1, way.to + 1), 0, *range(way.to + 1, len(sizes))]
        steps.append(onnx_ir.node("Transpose", [steps[-1].outputs[0]], {"perm": order}))
    stamp(steps, MADE_BY)
    last = steps[-1].outputs[0]
    for step in steps:
        step.outputs[0].type = made.type
    onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], steps, [node.outputs[0]], [last])


def _to_front(axis: int, rank: int) -> list[int]:
    return [axis, *(place for place in range(rank) if place != axis)]


def _copy_for_each(model: Model, node: onnx_ir.Node, source: onnx_ir.Node, search: _Search) -> None:
    """Parts of a Concat that hold no samples, such as class tokens, are copied for every sample."""
    for place, part in enumerate(source.inputs):
        if part is None or search.axes.get(part) is not None:
            continue
        axis = search.axes[source.outputs[0]]
        sizes = [None if index == axis else size for index, size in enumerate(search.shapes[str(part.name)])]
        target, steps = joined_sizes(model.graph, str(part.name), sizes)
        grown = onnx_ir.node("Expand", [node.inputs[place], target])
        stamp((grown,), MADE_BY)
        grown.outputs[0].type = part.type
        model.graph.insert_before(node, [*steps, grown])
        node.replace_input_with(place, grown.outputs[0])
