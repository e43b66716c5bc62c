"""A model without the bytes of its weights: what rules of graphs are checked on, digests begin with, and files are made of.

Nothing that is large is copied: to check, compare or write a graph must not cost the memory of its weights once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir
from numpy.typing import NDArray

from ..core.mapping import is_mapped, mapped

_Weights = dict[str, onnx_ir.TensorProtocol]
# Smaller ones may be read by rules and by shape inference (axes, sizes, scales).
_LARGE_BYTES = 1 << 12
# What may refer to the file that it was read from.
_OF_A_FILE = (onnx_ir.serde.TensorProtoTensor, onnx_ir.StringTensor)
# From how many bytes on weights are worth a file, each and all together.
_MAPPED_BYTES, _LEAST_MAPPED_BYTES = 1 << 16, 16 << 20


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


class _Arrays(Sequence[NDArray[Any]]):
    """The arrays of tensors, each made when it is asked for."""

    def __init__(self, tensors: Sequence[onnx_ir.TensorProtocol]) -> None:
        self._tensors = tensors

    def __len__(self) -> int:
        return len(self._tensors)

    def __getitem__(self, place: Any) -> Any:
        return self._tensors[place].numpy()


def map_weights(model: onnx_ir.Model) -> None:
    """Let the main graph's large weights lie in a file, where they are many bytes; raises StoreError.

    Nothing refers to the file that the model was read from afterwards, of which one number left would keep all in memory.
    """
    found = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype == onnx_ir.DataType.STRING or tensor.dtype.bitwidth < 8 or _is_in_file(tensor):
            continue
        if tensor.nbytes >= _MAPPED_BYTES:
            found[name] = tensor
    if sum(tensor.nbytes for tensor in found.values()) < _LEAST_MAPPED_BYTES:
        return
    arrays = mapped(_Arrays(list(found.values())))
    for (name, tensor), array in zip(found.items(), arrays, strict=True):
        model.graph.initializers[name].const_value = _tensor(tensor, array)
    graphs = [model.graph]
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        for name, attribute in node.attributes.items():
            if isinstance(attribute.value, _OF_A_FILE):
                node.attributes[name] = onnx_ir.AttrTensor(name, _tensor(attribute.value))
            elif isinstance(attribute.value, onnx_ir.Graph):
                graphs.append(attribute.value)
    for graph in graphs:
        for value in graph.initializers.values():
            if isinstance(value.const_value, _OF_A_FILE):
                value.const_value = _tensor(value.const_value)


def _tensor(like: onnx_ir.TensorProtocol, array: NDArray[Any] | None = None) -> onnx_ir.TensorProtocol:
    """`like` in memory of its own, or in `array`."""
    shape = onnx_ir.Shape(tuple(like.shape.numpy()))
    if like.dtype == onnx_ir.DataType.STRING:
        return onnx_ir.StringTensor(list(like.string_data()), shape=shape, name=like.name)  # type: ignore[attr-defined]
    return onnx_ir.Tensor(like.numpy().copy() if array is None else array, dtype=like.dtype, shape=shape, name=like.name)


def _is_in_file(tensor: onnx_ir.TensorProtocol) -> bool:
    return isinstance(tensor, onnx_ir.Tensor) and is_mapped(tensor.raw)
