"""Preferred forms: several spellings of one computation are brought to the one that the kernels know best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir

from ..model import constant, initializer

_SPATIAL = 4  # rank of [batch, channels, height, width]
_WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool")

# A rewrite looks at one node and either changes its attributes and says True, or gives the nodes that replace it (the last
# one makes its output), or None.
_Replacement = list[onnx_ir.Node]


def prefer_forms(graph: onnx_ir.Graph) -> bool:
    """Bring the nodes of `graph` (changed in place) to the preferred forms; True when something changed."""
    changed = False
    for node in list(graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type in _WINDOWED:
            changed |= _explicit_pads(node)
        rewrite = _REWRITES.get(node.op_type)
        made = rewrite(node, graph) if rewrite is not None else None
        if made is not None:
            replace(graph, node, made)
            changed = True
    return changed


def replace(graph: onnx_ir.Graph, node: onnx_ir.Node, made: Sequence[onnx_ir.Node]) -> None:
    """Put `made` in the place of `node`; the output of the last one takes over the name, type and shape."""
    old, new = node.outputs[0], made[-1].outputs[0]
    onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], list(made), [old], [new])


def _explicit_pads(node: onnx_ir.Node) -> bool:
    """`auto_pad=SAME_UPPER` -> `pads=[...]`, where the sizes are known. ONNX operators, Conv and the pools, `auto_pad`."""
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    data = node.inputs[0]
    if mode == "NOTSET" or data is None or data.shape is None:
        return False
    spatial = data.shape[2:]
    kernel = node.attributes.get_ints("kernel_shape", None)
    if kernel is None and node.op_type == "Conv" and node.inputs[1] is not None and node.inputs[1].shape is not None:
        kernel = [int(size) for size in node.inputs[1].shape[2:] if isinstance(size, int)]
    if not kernel or len(kernel) != len(spatial):
        return False
    strides = node.attributes.get_ints("strides", None) or [1] * len(kernel)
    dilations = node.attributes.get_ints("dilations", None) or [1] * len(kernel)
    begins, ends = [], []
    for size, width, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        total = 0
        if mode != "VALID":
            if not isinstance(size, int):
                return False
            total = max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        small, large = total // 2, total - total // 2
        begins.append(small if mode != "SAME_LOWER" else large)
        ends.append(large if mode != "SAME_LOWER" else small)
    del node.attributes["auto_pad"]
    node.attributes["pads"] = onnx_ir.AttrInt64s("pads", begins + ends)
    return True


def _global_mean(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`ReduceMean(x, axes=[2, 3])` of [n, c, h, w] -> `GlobalAveragePool(x)`, and a Reshape where the axes are dropped."""
    data = node.inputs[0]
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if data is None or data.shape is None or len(data.shape) != _SPATIAL or axes is None:
        return None
    if sorted(int(axis) % _SPATIAL for axis in axes.ravel()) != [2, 3] or not _is_float(data):
        return None
    pool = onnx_ir.node("GlobalAveragePool", [data])
    if node.attributes.get_int("keepdims", 1):
        return [pool]
    channels = data.shape[1]
    if not isinstance(channels, int):
        return None
    pool.outputs[0].type = data.type
    pool.outputs[0].shape = onnx_ir.Shape([data.shape[0], channels, 1, 1])
    return [pool, reshape(graph, node, pool.outputs[0], [-1, channels])]


def _mean(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    return _mean_of_transpose(node, graph) or _global_mean(node, graph)


def _mean_of_transpose(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`ReduceMean(Transpose(x), axes)` -> `ReduceMean(x, axes of x)`, where the axes that are left keep their order."""
    data = node.inputs[0]
    before = data.producer() if data is not None else None
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    keeps_axes = node.attributes.get_int("keepdims", 1)
    if before is None or before.op_type != "Transpose" or axes is None or not axes.size or keeps_axes:
        return None
    order = before.attributes.get_ints("perm", None)
    if order is None:
        return None
    dropped = {int(axis) % len(order) for axis in axes.ravel()}
    left = [old for new, old in enumerate(order) if new not in dropped]
    if left != sorted(left):
        return None
    target = initializer(
        fresh(graph, f"{node.outputs[0].name}_axes"), np.array(sorted(order[axis] for axis in dropped), np.int64)
    )
    graph.register_initializer(target)
    return [onnx_ir.node("ReduceMean", [before.inputs[0], target], {"keepdims": 0})]


def _hard_sigmoid(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`Mul(Clip(Add(x, 3), 0, 6), 1/6)` -> `HardSigmoid(x)`, as Keras writes it; the rules find the form with Div."""
    for data, factor in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        clip = data.producer() if data is not None else None
        if clip is None or clip.op_type != "Clip" or len(clip.inputs) != 3 or not _is_number(factor, 1 / 6):
            continue
        summed = clip.inputs[0].producer() if clip.inputs[0] is not None else None
        if summed is None or summed.op_type != "Add" or not (_is_number(clip.inputs[1], 0) and _is_number(clip.inputs[2], 6)):
            continue
        for x, three in ((summed.inputs[0], summed.inputs[1]), (summed.inputs[1], summed.inputs[0])):
            # A constant of a higher rank than x would have grown the result.
            if x is not None and _is_number(three, 3) and _rank(x) is not None and _rank(x) == _rank(node.outputs[0]):
                return [onnx_ir.node("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5})]
    return None


def _rank(value: onnx_ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def _is_number(value: onnx_ir.Value | None, number: float) -> bool:
    """Whether `value` is a constant of the one element `number`."""
    array = constant(value)
    return array is not None and array.size == 1 and bool(np.isclose(array.ravel()[0], number))


def _whole_pool(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`AveragePool(x, kernel_shape=[h, w])` over the whole of x without padding -> `GlobalAveragePool(x)`."""
    data = node.inputs[0]
    if data is None or data.shape is None or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    kernel = node.attributes.get_ints("kernel_shape", None)
    pads = node.attributes.get_ints("pads", None) or ()
    dilations = node.attributes.get_ints("dilations", None) or ()
    if list(data.shape[2:]) != list(kernel or ()) or any(pads) or any(step != 1 for step in dilations):
        return None
    return [onnx_ir.node("GlobalAveragePool", [data])]


def _as_reshape(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`Flatten`, `Squeeze`, `Unsqueeze` -> `Reshape`, where at most one size of the result is free."""
    data, made = node.inputs[0], node.outputs[0]
    if data is None or made.shape is None:
        return None
    shape = [size if isinstance(size, int) else -1 for size in made.shape]
    if shape.count(-1) > 1 or 0 in shape or not shape:
        return None
    return [reshape(graph, node, data, shape)]


def _constant_target(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`Reshape(x, [size of x's first axis, ...])` -> `Reshape(x, [0, ..., -1])`: the 0 copies the first axis."""
    data, made = node.inputs[0], node.outputs[0]
    if constant(node.inputs[1]) is not None or data is None or not data.shape or not made.shape:
        return None
    first, kept = data.shape[0], made.shape[0]
    if isinstance(first, int) or isinstance(kept, int) or first.value is None or first.value != kept.value:
        return None
    shape = [0, *(size if isinstance(size, int) else -1 for size in made.shape[1:])]
    if shape.count(-1) > 1 or 0 in shape[1:]:
        return None
    return [reshape(graph, node, data, shape)]


def _whole_slice(node: onnx_ir.Node, graph: onnx_ir.Graph) -> _Replacement | None:
    """`Slice(x, @zeros, @huge)` -> `Identity(x)`, where the sizes stay what they are and no step goes backwards."""
    data, made = node.inputs[0], node.outputs[0]
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.ones(1)
    if data is None or data.shape is None or made.shape is None or steps is None or (steps < 0).any():
        return None
    before, after = ([size if isinstance(size, int) else size.value for size in shape] for shape in (data.shape, made.shape))
    return [onnx_ir.node("Identity", [data])] if before == after and None not in before else None


def reshape(graph: onnx_ir.Graph, node: onnx_ir.Node, data: onnx_ir.Value, shape: Sequence[int]) -> onnx_ir.Node:
    """`data` in another shape, whose constant goes by the name of what `node` makes."""
    target = initializer(fresh(graph, f"{node.outputs[0].name}_shape"), np.array(shape, np.int64))
    graph.register_initializer(target)
    return onnx_ir.node("Reshape", [data, target])


def fresh(graph: onnx_ir.Graph, name: str) -> str:
    """`name`, or the first of `name_1`, `name_2`, ... that no initializer of `graph` has."""
    candidate, count = name, 0
    while candidate in graph.initializers:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def _is_float(value: onnx_ir.Value) -> bool:
    return value.dtype in (onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16, onnx_ir.DataType.DOUBLE)


_REWRITES: dict[str, Callable[[onnx_ir.Node, onnx_ir.Graph], _Replacement | None]] = {
    "ReduceMean": _mean,
    "Mul": _hard_sigmoid,
    "AveragePool": _whole_pool,
    "Flatten": _as_reshape,
    "Reshape": _constant_target,
    "Slice": _whole_slice,
    "Squeeze": _as_reshape,
    "Unsqueeze": _as_reshape,
}
