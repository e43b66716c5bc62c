"""Equal constants become one; weights that only happen to be equal do not."""

from __future__ import annotations

import onnx_ir

_Key = tuple[onnx_ir.DataType, tuple[int, ...], bytes]


def merge_constants(graph: onnx_ir.Graph) -> bool:
    """Let readers of equal integers, and of equal single numbers, read the same initializer; True when there were any.

    Floating-point initializers of several elements stay apart: the gains of two fresh normalizations are both ones, and after
    a step of training no longer equal. What the source reads twice is one initializer already.
    """
    first: dict[_Key, onnx_ir.Value] = {}
    changed = False
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype == onnx_ir.DataType.STRING or value.is_graph_output():
            continue
        if tensor.dtype.is_floating_point() and (tensor.size > 1 or _is_weight(value)):
            continue
        key = (tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes())
        kept = first.setdefault(key, value)
        if kept is not value:
            value.replace_all_uses_with(kept)
            graph.initializers.pop(name)
            changed = True
    return changed


def _is_weight(value: onnx_ir.Value) -> bool:
    """Whether a single number is the weight of a layer with one channel."""
    return any(node.op_type in _LAYERS and place > 0 for node, place in value.uses())


_LAYERS = frozenset(
    {
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "Gemm",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
        "PRelu",
    }
)
