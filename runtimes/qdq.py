"""Small exact rewrites of QuantizeLinear/DequantizeLinear graphs that let runtimes fuse what they would leave in float."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ..ir.model import Model, constant, initializer

_BORDER = frozenset({"QuantizeLinear", "DequantizeLinear"})
_ACTIVATIONS = ("Relu", "Clip")
# Operators whose outputs hold values of their first input and nothing else.
_MOVES = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Expand"}
    | {"DepthToSpace", "SpaceToDepth", "Resize", "Identity"}
)


def prepare(model: Model) -> Model:
    """A copy in the form that runtimes fuse best. Every integer stays what it was:

    Conv -> Clip{0, 6} -> Q{scale 6/255}    becomes    Conv -> Q{scale 6/255}
    ReduceMean{all spatial axes, keepdims}  becomes    GlobalAveragePool
    Q{scale [s], zero point [z]}            becomes    Q{scale s, zero point z}
    DQ(@w_int4)                             becomes    DQ(Cast{int8}(@w_int4))

    Of int4 no fusion knows; the Cast of a constant is done when the file is loaded, and then the kernels are those of int8.
    """
    copy = model.clone()
    for node in copy.graph:
        if node.op_type in _BORDER and node.domain in ("", "ai.onnx"):
            _as_scalars(copy.graph, node)
        if node.op_type == "DequantizeLinear" and node.inputs[0] is not None and node.inputs[0].dtype == onnx_ir.DataType.INT4:
            _read_through_cast(copy.graph, node, node.inputs[0])
    for node in list(copy.graph):
        if node.domain in ("", "ai.onnx"):
            if node.op_type in _ACTIVATIONS and _is_absorbed(node):
                _bypass(copy.graph, node)
            elif node.op_type == "ReduceMean" and _is_global_mean(node):
                _as_global_pool(copy.graph, node)
    return copy


def join_pairs(model: Model) -> Model:
    """A copy in which an operator that only moves values is not quantized again with the scale that its input has.

        DQ{s} -> MaxPool -> Q{s} -> DQ{s} -> Conv    becomes    DQ{s} -> MaxPool -> Conv

    The values lie on the grid already, so nothing changes but a kernel less.
    """
    copy = model.clone()
    for node in list(copy.graph):
        if node.op_type == "QuantizeLinear" and _is_repeated(node):
            source = node.inputs[0]
            for reader in [user for user, _ in node.outputs[0].uses()]:
                for user, index in list(reader.outputs[0].uses()):
                    user.replace_input_with(index, source)
    return copy


def _as_scalars(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Make scale and zero point scalars where they are vectors of one element, which ONNX Runtime fuses only in part."""
    for index in range(1, len(node.inputs)):
        array = constant(node.inputs[index])
        if array is None or array.shape != (1,):
            continue
        name = f"{node.inputs[index].name}/scalar"  # type: ignore[union-attr]
        if name not in graph.initializers:
            graph.register_initializer(initializer(name, array.reshape(())))
        node.replace_input_with(index, graph.initializers[name])


def _read_through_cast(graph: onnx_ir.Graph, node: onnx_ir.Node, integers: onnx_ir.Value) -> None:
    """Let a DequantizeLinear read `integers` as int8, its zero point too."""
    widened = onnx_ir.Value(name=f"{integers.name}/int8", shape=integers.shape, type=onnx_ir.TensorType(onnx_ir.DataType.INT8))
    target = onnx_ir.AttrInt64("to", int(onnx_ir.DataType.INT8))
    cast = onnx_ir.Node("", "Cast", [integers], {"to": target}, outputs=[widened])
    cast.metadata_props.update(node.metadata_props)
    graph.insert_before(node, cast)
    node.replace_input_with(0, widened)
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero is not None:
        name = f"{node.inputs[2].name}/int8"  # type: ignore[union-attr]
        if name not in graph.initializers:
            graph.register_initializer(initializer(name, zero.astype(np.int8)))
        node.replace_input_with(2, graph.initializers[name])


def _bypass(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    source, made = node.inputs[0], node.outputs[0]
    if source is None:
        return
    for user, index in list(made.uses()):
        user.replace_input_with(index, source)
    graph.remove(node, safe=True)


def _is_absorbed(node: onnx_ir.Node) -> bool:
    """Whether every user quantizes the result to integers that the activation's bounds cannot change."""
    users = [user for user, _ in node.outputs[0].uses()]
    if not users or node.outputs[0].is_graph_output() or node.inputs[0] is None:
        return False
    low, high = _bounds(node)
    return low is not None and all(_covers(user, low, high) for user in users)


def _is_repeated(node: onnx_ir.Node) -> bool:
    """Whether a QuantizeLinear only repeats the scale and zero point of the values that were moved."""
    moved = node.inputs[0].producer() if node.inputs[0] is not None else None
    if moved is None or moved.op_type not in _MOVES or moved.inputs[0] is None or len(node.inputs) < 3:
        return False
    if moved.op_type == "Resize" and "mode" in moved.attributes and moved.attributes["mode"].as_string() != "nearest":
        return False
    before = moved.inputs[0].producer()
    readers = [user for user, _ in node.outputs[0].uses()]
    if before is None or not readers or node.outputs[0].is_graph_output():
        return False
    if any(user.op_type != "DequantizeLinear" or user.outputs[0].is_graph_output() for user in readers):
        return False
    return all(_same_grid(node, other) for other in (before, *readers))


def _same_grid(one: onnx_ir.Node, other: onnx_ir.Node) -> bool:
    if other.op_type != "DequantizeLinear" or len(other.inputs) < 3:
        return False
    for mine, its in zip(one.inputs[1:3], other.inputs[1:3], strict=True):
        left, right = constant(mine), constant(its)
        if left is None or right is None or left.size != 1 or left.dtype != right.dtype or not np.array_equal(left, right):
            return False
    return True


def _bounds(node: onnx_ir.Node) -> tuple[float | None, float]:
    if node.op_type == "Relu":
        return 0.0, np.inf
    given = []
    for index, (name, free) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        attribute = node.attributes.get(name)
        value = node.inputs[index] if len(node.inputs) > index else None
        if attribute is not None:
            given.append(attribute.as_float())
        elif value is None:
            given.append(free)
        else:
            known = constant(value)
            if known is None:
                return None, np.inf
            given.append(float(known.reshape(-1)[0]))
    return given[0], given[1]


def _covers(user: onnx_ir.Node, low: float, high: float) -> bool:
    """Whether `user` is a QuantizeLinear whose integers all lie within the bounds, rounded as it rounds."""
    if user.op_type != "QuantizeLinear" or len(user.inputs) < 3:
        return False
    scale, zero = constant(user.inputs[1]), constant(user.inputs[2])
    if scale is None or zero is None or scale.size != 1 or zero.dtype not in (np.int8, np.uint8):
        return False
    limits = np.iinfo(zero.dtype)
    step, offset = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    return bool(np.rint(low / step) + offset <= limits.min and np.rint(high / step) + offset >= limits.max)


def _is_global_mean(node: onnx_ir.Node) -> bool:
    source = node.inputs[0]
    if source is None or source.shape is None or len(source.shape) not in (3, 4, 5):
        return False
    keep = node.attributes.get("keepdims")
    if keep is not None and keep.as_int() != 1:
        return False
    rank = len(source.shape)
    if "axes" in node.attributes:
        axes = list(node.attributes["axes"].as_ints())
    else:
        known = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if known is None:
            return False
        axes = [int(axis) for axis in known.reshape(-1)]
    return {axis % rank for axis in axes} == set(range(2, rank))


def _as_global_pool(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    source, made = node.inputs[0], node.outputs[0]
    pool = onnx_ir.node("GlobalAveragePool", [source], name=node.name, metadata_props=dict(node.metadata_props))
    result = pool.outputs[0]
    result.shape, result.type = made.shape, made.type
    onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], [pool], [made], [result])
