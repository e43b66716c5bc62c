"""What changes of a node when positions of its tensors go: shapes, bounds, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import constant, initializer
from ...ir.rewrites.forms import fresh, replace
from .keeping import Keeping
from .rules.convolution import is_depthwise
from .rules.selecting import slices
from .rules.shuffle import shuffle

_FAR = 2**31

Adjuster = Callable[[onnx_ir.Node, Keeping], None]


def adjust(node: onnx_ir.Node, keeping: Keeping) -> None:
    """Change the attributes and constants of a node of the traced model to what stays of its tensors."""
    adjuster = _ADJUSTERS.get(node.op_type)
    if adjuster is not None and node.domain in ("", "ai.onnx"):
        adjuster(node, keeping)


def _set(node: onnx_ir.Node, keeping: Keeping, place: int, name: str, array: NDArray[np.generic]) -> None:
    """Give a node a constant of its own as an input."""
    graph = keeping.trace.model.graph
    value = initializer(fresh(graph, f"{node.outputs[0].name}/{name}"), array)
    graph.register_initializer(value)
    while len(node.inputs) <= place:
        node.resize_inputs(place + 1)
    node.replace_input_with(place, value)


def _reshape(node: onnx_ir.Node, keeping: Keeping) -> None:
    """Sizes that the shape names; where rows have become unequal, the shuffle becomes a Gather of what stays."""
    data, made = node.inputs[0], node.outputs[0]
    if not keeping.is_whole(data) and keeping.is_whole(made):
        _gather_shuffled(node, keeping)
        return
    wanted = constant(node.inputs[1])
    if not keeping.spans(made) or not keeping.is_whole(made) or wanted is None:
        return
    pairs = zip(wanted.tolist(), keeping.trace.shape(made), keeping.shape(made), strict=True)
    # 0 and -1 are whatever the input has; so is a batch that is named.
    sizes = [size if size in (0, -1) or old == new else new for size, old, new in pairs]
    _set(node, keeping, 1, "shape", np.array(sizes, np.int64))


def _gather_shuffled(node: onnx_ir.Node, keeping: Keeping) -> None:
    found = shuffle(node, keeping.trace.layout, keeping.trace.shape)
    if found is None:
        return
    made = node.outputs[0]
    into = keeping.positions(made, found.axis)
    out_of = keeping.positions(found.source, found.axis)
    if into is None or out_of is None:
        return
    graph = keeping.trace.model.graph
    indices = initializer(fresh(graph, f"{made.name}/indices"), np.searchsorted(out_of, found.order[into]))
    graph.register_initializer(indices)
    replace(graph, node, [onnx_ir.node("Gather", [found.source, indices], {"axis": found.axis})])


def _expand(node: onnx_ir.Node, keeping: Keeping) -> None:
    wanted, made = constant(node.inputs[1]), node.outputs[0]
    if wanted is None or not keeping.spans(made):
        return
    sizes = keeping.shape(made)[-wanted.size :]
    new = [1 if old == 1 else size for old, size in zip(wanted.tolist(), sizes, strict=True)]
    _set(node, keeping, 1, "shape", np.array(new, np.int64))


def _split(node: onnx_ir.Node, keeping: Keeping) -> None:
    data = node.inputs[0]
    axis = node.attributes.get_int("axis", 0) % len(keeping.trace.shape(data))
    sizes = [keeping.shape(made)[axis] for made in node.outputs]
    if sizes == [keeping.trace.shape(made)[axis] for made in node.outputs]:
        return
    node.attributes.pop("num_outputs", None)
    _set(node, keeping, 1, "split", np.array(sizes, np.int64))


def _slice(node: onnx_ir.Node, keeping: Keeping) -> None:
    """What stays between the bounds, on axes that are cut without a stride."""
    data = node.inputs[0]
    ranges = slices(node, keeping.trace.shape(data))
    if not any(axis in span.axes for span in keeping.spans(data) for axis in ranges):
        return
    bounds: list[tuple[int, int, int, int]] = []
    for axis, taken in ranges.items():
        stays = _stays(keeping, data, axis)
        positions = np.array(taken)
        ranks = (np.cumsum(stays) - 1)[positions[stays[positions]]]
        end = int(ranks[-1]) + (1 if taken.step > 0 else -1)
        bounds.append((int(ranks[0]), end if end >= 0 else -_FAR, axis, taken.step))
    for place, name in enumerate(("starts", "ends", "axes", "steps")):
        _set(node, keeping, place + 1, name, np.array([bound[place] for bound in bounds], np.int64))


def _gather(node: onnx_ir.Node, keeping: Keeping) -> None:
    data, indices = node.inputs[0], constant(node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(keeping.trace.shape(data))
    if indices is None or not any(axis in span.axes for span in keeping.spans(data)):
        return
    stays = _stays(keeping, data, axis)
    positions = (indices % len(stays)).ravel()
    ranks = (np.cumsum(stays) - 1)[positions[stays[positions]]]
    _set(node, keeping, 1, "indices", ranks.reshape(-1 if indices.ndim else ()).astype(np.int64))


def _stays(keeping: Keeping, value: onnx_ir.Value | None, axis: int) -> NDArray[np.bool_]:
    """Which positions stay on one axis."""
    for span in keeping.spans(value):
        if axis in span.axes:
            others = tuple(place for place, own in enumerate(span.axes) if own != axis)
            return np.asarray(keeping.mask(span).any(axis=others))
    return np.ones(keeping.trace.shape(value)[axis], bool)


def _conv(node: onnx_ir.Node, keeping: Keeping) -> None:
    """As many groups as channels where each is convolved alone; else each group's weights lose what its inputs lost."""
    data, weight = node.inputs[0], node.inputs[1]
    groups = node.attributes.get_int("group", 1)
    kept, array = keeping.positions(data, 1), constant(weight)
    if groups == 1 or kept is None or weight is None or array is None:
        return
    if is_depthwise(node, keeping.trace):
        node.attributes["group"] = onnx_ir.AttrInt64("group", len(kept))
    elif node.op_type == "Conv":
        # The weights' rows are those that stay already; their second axis is another channel in each group.
        rows = (kept % array.shape[1]).reshape(groups, -1).repeat(len(array) // groups, axis=0)
        index = rows.reshape(*rows.shape, *[1] * (array.ndim - 2))
        refill(weight, np.take_along_axis(array, index, axis=1))


def refill(value: onnx_ir.Value, array: NDArray[np.generic]) -> None:
    """Let an initializer hold another array."""
    value.const_value = onnx_ir.tensor(np.asarray(array, order="C"), name=value.name)
    value.shape = onnx_ir.Shape(array.shape)


def _resize(node: onnx_ir.Node, keeping: Keeping) -> None:
    sizes, made = constant(node.inputs[3]) if len(node.inputs) > 3 else None, node.outputs[0]
    if sizes is None or not keeping.spans(made):
        return
    new = keeping.shape(made)
    axes = node.attributes.get_ints("axes", None) or range(len(new))
    _set(node, keeping, 3, "sizes", np.array([new[axis] for axis in axes], np.int64))


def _recurrent(node: onnx_ir.Node, keeping: Keeping) -> None:
    made = next(value for value in node.outputs if value.name)
    size = keeping.shape(made)[-1]
    node.attributes["hidden_size"] = onnx_ir.AttrInt64("hidden_size", size)


def share(graph: onnx_ir.Graph, origin: Mapping[str, str]) -> None:
    """Let weights that are still equal be one again."""
    for name, source in origin.items():
        copy, first = graph.initializers[name], graph.initializers[source]
        a, b = constant(copy), constant(first)
        if a is not None and b is not None and a.shape == b.shape and np.array_equal(a, b):
            copy.replace_all_uses_with(first)
            graph.initializers.pop(name)


_ADJUSTERS: dict[str, Adjuster] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Resize": _resize,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}
