"""Weights stored as integers, arithmetic in float: a quarter or an eighth of the size where integer arithmetic does not pay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import Model, constant, initializer
from .bits import stored_type
from .correction import mean_output_error
from .insert import Numbers, channel_axis
from .plan import layer

_KINDS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
_BIAS = 2
_LEAST_SIZE = 64


def storable(model: Model) -> dict[str, onnx_ir.Value]:
    """The weights that are worth storing as integers, by layer (its first output's name), in graph order."""
    return {layer(node): value for node in model.graph if (value := _weights(node)) is not None}


def store_weights(model: Model, numbers: Numbers, keep_float: Collection[str] = ()) -> tuple[Model, list[onnx_ir.Node]]:
    """A copy of `model` whose weights are integers under a DequantizeLinear, and the nodes that were made.

    Integers and scales are chosen by `numbers` as for int8 arithmetic, signed, and the mean error of their rounding is taken
    out of the float bias of layers that have one. Layers in `keep_float` stay as they are.
    """
    result = model.clone()
    graph = result.graph
    stored = storable(result)
    made = []
    for node in list(graph):
        name = layer(node) if node.outputs else ""
        array = constant(stored.get(name))
        if array is not None and name not in keep_float:
            made.append(_store(graph, node, array, numbers))
    return result, made


def _store(graph: onnx_ir.Graph, node: onnx_ir.Node, array: NDArray[Any], numbers: Numbers) -> onnx_ir.Node:
    """Let `node` read its weights `array` from integers; the DequantizeLinear between them."""
    name, axis = layer(node), channel_axis(node, array.ndim)
    found = numbers.choose(name, array, axis, "int8", per_channel=numbers.per_channel)
    kind = stored_type("int8", numbers.bits.get(name, 8))
    shape: tuple[int, ...] = found.scales.shape if numbers.per_channel else ()
    parts = {
        "weights": found.values.astype(kind),
        "scale": found.scales.reshape(shape),
        "zero": np.zeros(shape, kind),
    }
    values = [initializer(f"{name}/{part}", data) for part, data in parts.items()]
    for value in values:
        graph.register_initializer(value)
    out = onnx_ir.Value(
        name=f"{name}/weights/float", shape=onnx_ir.Shape(array.shape), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    )
    attributes = {"axis": onnx_ir.AttrInt64("axis", axis)} if numbers.per_channel else {}
    made = onnx_ir.Node("", "DequantizeLinear", values, attributes, outputs=[out], name=f"{name}:weights")
    graph.insert_before(node, made)
    node.replace_input_with(_KINDS[node.op_type], out)
    if numbers.correct_bias:
        _correct_bias(graph, node, found.dequantize() - array, axis, numbers)
    return made


def _correct_bias(graph: onnx_ir.Graph, node: onnx_ir.Node, error: NDArray[Any], axis: int, numbers: Numbers) -> None:
    """Take the mean output error of weights that are off by `error` out of the bias, where there is one and it is known."""
    bias = constant(node.inputs[_BIAS]) if len(node.inputs) > _BIAS and _adds_bias(node) else None
    if bias is None or bias.size != error.shape[axis] or bias.shape[-1:] != (bias.size,):
        return
    shift = mean_output_error(node, error, axis, numbers.rounder, numbers.means)
    if shift is not None:
        corrected = initializer(f"{layer(node)}/bias", (bias - shift.reshape(bias.shape)).astype(np.float32))
        graph.register_initializer(corrected)
        node.replace_input_with(_BIAS, corrected)


def _adds_bias(node: onnx_ir.Node) -> bool:
    """Whether the output is weights times input plus bias, nothing scaled or transposed between."""
    scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return scales == [1.0, 1.0] and not node.attributes.get_int("transA", 0)


def _weights(node: onnx_ir.Node) -> onnx_ir.Value | None:
    """The weights of `node` that are worth storing as integers."""
    index = _KINDS.get(node.op_type)
    if node.domain or index is None or index >= len(node.inputs):
        return None
    array = constant(node.inputs[index])
    if array is None or array.dtype != np.float32 or array.size < _LEAST_SIZE or array.ndim < 2:
        return None
    return node.inputs[index]
