"""A model without the bytes of its weights: what rules of graphs are checked on, digests begin with, and files are made of.

Nothing that is large is copied: to check, compare or write a graph must not cost the memory of its weights once more.
"""

from __future__ import annotations

import onnx_ir

_Weights = dict[str, onnx_ir.TensorProtocol]
# Smaller ones may be read by rules and by shape inference (axes, sizes, scales).
_LARGE_BYTES = 1 << 12


def without_weights(model: onnx_ir.Model) -> tuple[onnx_ir.Model, _Weights]:
    """A copy whose main graph has no weights but texts, and these weights by name, in their order."""
    copy = model.clone()
    return copy, {str(value.name): tensor for value, tensor in _take(copy.graph, -1)}


def weights_as_inputs(model: onnx_ir.Model) -> onnx_ir.Model:
    """A copy whose main graph's large weights are inputs of the same types and shapes."""
    copy = model.clone()
    given = {id(value) for value in copy.graph.inputs}
    for value, tensor in _take(copy.graph, _LARGE_BYTES):
        value.type, value.shape = onnx_ir.TensorType(tensor.dtype), onnx_ir.Shape(tensor.shape.numpy())
        if id(value) not in given:
            copy.graph.inputs.append(value)
    return copy


def _take(graph: onnx_ir.Graph, above_bytes: int) -> list[tuple[onnx_ir.Value, onnx_ir.TensorProtocol]]:
    taken = []
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype == onnx_ir.DataType.STRING or tensor.nbytes <= above_bytes:
            continue
        if above_bytes >= 0 and value.is_graph_output():
            continue
        taken.append((value, tensor))
        graph.initializers.pop(name)
        value.const_value = None
    return taken
