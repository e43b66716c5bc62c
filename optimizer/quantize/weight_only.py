"""Weights stored as int8, arithmetic in float: a quarter of the size where int8 arithmetic does not pay or does not pass."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ...ir.model import Model, constant, initializer
from .insert import channel_axis
from .integers import quantize_weights

_KINDS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
_LEAST_SIZE = 64


def store_weights_as_int8(model: Model) -> tuple[Model, list[onnx_ir.Node]]:
    """A copy of `model` whose weights are int8 per channel under a DequantizeLinear, and the nodes that were made."""
    result = model.clone()
    graph = result.graph
    made = []
    for node in list(graph):
        index = _KINDS.get(node.op_type)
        if node.domain or index is None or index >= len(node.inputs):
            continue
        array = constant(node.inputs[index])
        if array is None or array.dtype != np.float32 or array.size < _LEAST_SIZE or array.ndim < 2:
            continue
        axis = channel_axis(node, array.ndim)
        found = quantize_weights(array, axis, "int8")
        name = str(node.outputs[0].name)
        parts = {"weights": found.values, "scale": found.scales, "zero": np.zeros(found.scales.shape, np.int8)}
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
        node.replace_input_with(index, out)
    return result, made
