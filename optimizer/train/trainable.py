"""Which initializers are trained: those that hold what was learned, and none that says how the data come in."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir

from ...core.errors import ModelError
from ...ir.model import Model, constant

# Inputs that hold weights whatever their size.
LAYERS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Einsum": (0, 1, 2, 3),
    "GRU": (1, 2, 3),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
    "RNN": (1, 2, 3),
}
# Inputs that hold weights (biases, gains, positions, class tokens) where they have several elements.
_OPERANDS: Mapping[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "Concat": tuple(range(64)),
    "Div": (0, 1),
    "Expand": (0,),
    "Mul": (0, 1),
    "Pad": (0,),
    "Reshape": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Sub": (0, 1),
    "Sum": tuple(range(64)),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}
_COMPARISONS = frozenset(
    {"And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"}
)
_STEPS = frozenset({"BitShift", "Ceil", "Floor", "Round", "Sign"})
_PLACES = frozenset({"ArgMax", "ArgMin", "ConstantOfShape", "NonZero", "OneHot", "Range", "Shape", "Size"})
WITHOUT_GRADIENT = _COMPARISONS | _STEPS | _PLACES
# Below this a summand says that a place is masked, since its softmax is nothing.
_MASKED = -50.0


def trainable(model: Model, known: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the initializers to train, in the order of their first readers.

    They are the floating-point weights of layers, embeddings, and operands of several elements. Not trained are scalars, masks
    (two values, of which one is 0), constants that meet the input before any layer does (its normalization), and what
    reaches no output through operators with gradients. Operators in `known` are taken to have gradients. Raises ModelError
    when nothing is left, naming the operator without gradient where that is why.
    """
    graph = model.graph
    candidates = _candidates(graph)
    carries: set[onnx_ir.Value] = set(candidates)
    blocked: onnx_ir.Node | None = None
    for node in graph:
        if not any(value in carries for value in node.inputs):
            continue
        if node.op_type in WITHOUT_GRADIENT and node.op_type not in known:
            blocked = blocked or node
            continue
        carries.update(value for value in node.outputs if value.dtype is None or _is_float(value) or _is_simulated(node))
    reached = {value for value in graph.outputs if value in carries}
    for node in reversed(graph):
        if any(value in reached for value in node.outputs):
            reached.update(value for value in node.inputs if value in carries)
    if not candidates:
        raise ModelError(
            "the model cannot be trained: it has no floating-point weights; give the float model that it was made from."
        )
    found = tuple(str(value.name) for value in candidates if value in reached)
    if not found:
        where = f"{blocked.name!r} ({blocked.op_type})" if blocked is not None else "the end"
        raise ModelError(
            f"the model cannot be trained: no gradient passes the node {where} on the way from its weights to its outputs; "
            "cut the model before it."
        )
    return found


def _candidates(graph: onnx_ir.Graph) -> list[onnx_ir.Value]:
    """Float initializers that hold weights by their place, in the order of their first readers."""
    learned: set[onnx_ir.Value] = set()
    found: dict[onnx_ir.Value, None] = {}
    for node in graph:
        layer = LAYERS.get(node.op_type, ())
        operands = _OPERANDS.get(node.op_type, ())
        # A constant that meets only other constants and data is a part of the preprocessing.
        is_raw = node.op_type in ("Add", "Sub", "Mul", "Div") and _meets_data(node, learned)
        for place, value in enumerate(node.inputs):
            if value is None or not value.is_initializer() or not _is_float(value):
                continue
            if place in layer or (place in operands and _size(value) > 1 and not is_raw and not _is_mask(node, value)):
                found[value] = None
                learned.add(value)
        if any(value in learned for value in node.inputs):
            learned.update(node.outputs)
    return list(found)


def _meets_data(node: onnx_ir.Node, learned: set[onnx_ir.Value]) -> bool:
    others = [value for value in node.inputs if value is not None and not value.is_initializer()]
    return bool(others) and not any(value in learned for value in others)


def _is_mask(node: onnx_ir.Node, value: onnx_ir.Value) -> bool:
    array = constant(value)
    if array is None or node.op_type not in ("Add", "Sub", "Mul", "Where"):
        return False
    levels = np.unique(array)
    if len(levels) != 2 or not np.any(levels == 0):
        return False
    other = float(levels[levels != 0][0])
    return other == 1.0 if node.op_type == "Mul" else abs(other) >= -_MASKED


def _size(value: onnx_ir.Value) -> int:
    return 0 if value.const_value is None else int(value.const_value.size)


def _is_simulated(node: onnx_ir.Node) -> bool:
    """Whether its integers are floating-point numbers while it is trained."""
    return node.op_type == "QuantizeLinear"


def _is_float(value: onnx_ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()
