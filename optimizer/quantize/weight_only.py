"""Weights stored as integers, arithmetic in float: a quarter or an eighth of the size where integer arithmetic does not pay."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir

from ...ir.model import Model, constant, initializer
from .bits import WeightBits, bits_by_layer, largest_integer, stored_type
from .insert import channel_axis
from .integers import quantize_weights
from .plan import layer

_KINDS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
_LEAST_SIZE = 64


def store_weights(
    model: Model, bits: WeightBits, ends: WeightBits, keep_float: Collection[str] = ()
) -> tuple[Model, list[onnx_ir.Node]]:
    """A copy of `model` whose weights are integers per channel under a DequantizeLinear, and the nodes that were made.

    `bits` and `ends` as in `bits_by_layer`; layers in `keep_float` stay as they are.
    """
    result = model.clone()
    graph = result.graph
    stored = {layer(node): value for node in graph if (value := _weights(node)) is not None}
    widths = bits_by_layer(result, stored, bits, ends)
    made = []
    for node in list(graph):
        name = layer(node) if node.outputs else ""
        array = constant(stored.get(name))
        if array is None or name in keep_float:
            continue
        axis = channel_axis(node, array.ndim)
        found = quantize_weights(array, axis, "int8", limit=largest_integer(widths[name]))
        kind = stored_type("int8", widths[name])
        parts = {"weights": found.values.astype(kind), "scale": found.scales, "zero": np.zeros(found.scales.shape, kind)}
        values = [initializer(f"{name}/{part}", data) for part, data in parts.items()]
        for value in values:
            graph.register_initializer(value)
        out = onnx_ir.Value(
            name=f"{name}/weights/float", shape=onnx_ir.Shape(array.shape), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        )
        made.append(
            onnx_ir.Node(
                "", "DequantizeLinear", values, {"axis": onnx_ir.AttrInt64("axis", axis)}, outputs=[out], name=f"{name}:weights"
            )
        )
        graph.insert_before(node, made[-1])
        node.replace_input_with(_KINDS[node.op_type], out)
    return result, made


def _weights(node: onnx_ir.Node) -> onnx_ir.Value | None:
    """The weights of `node` that are worth storing as integers."""
    index = _KINDS.get(node.op_type)
    if node.domain or index is None or index >= len(node.inputs):
        return None
    array = constant(node.inputs[index])
    if array is None or array.dtype != np.float32 or array.size < _LEAST_SIZE or array.ndim < 2:
        return None
    return node.inputs[index]
