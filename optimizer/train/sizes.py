"""What a graph is at one size of its batch: the shape of every value, and every value that shapes alone decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes import common

from ...ir.model import Model, initializer
from .operators.table import OPERATORS

# What is larger is computed when the model runs.
_MAX_ELEMENTS = 1 << 22
_MAX_ROUNDS = 8


@dataclass(frozen=True)
class Sized:
    """`shapes` by value's name, where they are known; `arrays` of the values that no input's elements and no layer decide."""

    shapes: dict[str, tuple[int, ...]]
    arrays: dict[str, NDArray[Any]]


def at_batch(model: Model, size: int) -> Sized:
    """What `model` is when the first axis of every input has `size` places (where it is free)."""
    graph = model.clone().ir
    for value in graph.graph.inputs:
        if value.shape is not None and len(value.shape):
            first = value.shape[0]
            value.shape = onnx_ir.Shape([first if isinstance(first, int) else size, *value.shape[1:]])
    arrays: dict[str, NDArray[Any]] = {}
    # What is found decides further shapes, which decide further values.
    for _ in range(_MAX_ROUNDS):
        for node in graph.graph:
            for value in node.outputs:
                value.shape = None
        common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(graph)
        found = _decided(graph.graph)
        if not found:
            break
        arrays |= found
    shapes = {str(value.name): _shape(value) for value in _values(graph.graph)}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    return Sized(known | {name: array.shape for name, array in arrays.items()}, arrays)


def _values(graph: onnx_ir.Graph) -> list[onnx_ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]


def _shape(value: onnx_ir.Value) -> tuple[int, ...] | None:
    if value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def _decided(graph: onnx_ir.Graph) -> dict[str, NDArray[Any]]:
    """Compute what shapes and constants decide, and let its readers read the constant."""
    found: dict[str, NDArray[Any]] = {}
    for node in list(graph):
        if any(value.is_graph_output() or not value.uses() for value in node.outputs):
            continue
        arrays = _compute(node)
        for value, array in zip(node.outputs, arrays, strict=False):
            constant = initializer(f"{value.name} at this size", array)
            found[str(value.name)] = array
            graph.register_initializer(constant)
            value.replace_all_uses_with(constant)
    return found


def _compute(node: onnx_ir.Node) -> list[NDArray[Any]]:
    """The outputs of a node that reads constants alone, or only the shape of what it reads; else nothing."""
    if node.op_type in ("Shape", "Size"):
        shape = _shape(node.inputs[0]) if node.inputs[0] is not None else None
        if shape is None:
            return []
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
        sizes = np.array(shape[start:end], np.int64)
        return [sizes if node.op_type == "Shape" else np.array(sizes.prod(), np.int64)]
    made = _shape(node.outputs[0])
    if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx") or (made and np.prod(made) > _MAX_ELEMENTS):
        return []
    inputs: list[Any] = []
    for value in node.inputs:
        if value is not None and (value.const_value is None or value.const_value.size > _MAX_ELEMENTS):
            return []
        inputs.append(None if value is None or value.const_value is None else _tensor(value.const_value))
    if not inputs:
        return []
    result = OPERATORS[node.op_type](node)(*inputs)
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [part.contiguous().numpy() for part in parts]


def _tensor(tensor: onnx_ir.TensorProtocol) -> Any:
    return torch.from_numpy(np.array(tensor.numpy(), order="C"))
