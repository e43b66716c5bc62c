"""What a model costs: parameters, bytes, multiply-accumulates, and the peak of living activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir

from .model import Model
from .verify import operators


@dataclass(frozen=True)
class Statistics:
    """Figures of one model at batch 1 (or its fixed batch).

    `parameters`: elements of floating-point and integer weights that a computing node reads (constants of shapes, axes and
    the like are one-dimensional int64 and not counted). `weight_bytes`: bytes of all weights as stored. `macs`:
    multiply-accumulates of Conv, ConvTranspose, Gemm, MatMul, Einsum, LSTM, GRU and RNN. `peak_activation_bytes`: see the
    function of that name. A figure is None when a shape that it needs is free.
    """

    parameters: int
    weight_bytes: int
    macs: int | None
    peak_activation_bytes: int | None
    operators: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """JSON object with the five fields."""
        return {
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "macs": self.macs,
            "peak_activation_bytes": self.peak_activation_bytes,
            "operators": dict(self.operators),
        }


def statistics(model: Model) -> Statistics:
    """Figures of `model`; a free first axis counts as 1, and so does the batch where it lies elsewhere."""
    parameters = weight_bytes = 0
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None:
            continue
        weight_bytes += tensor.nbytes
        if not (tensor.dtype == onnx_ir.DataType.INT64 and len(tensor.shape) <= 1):
            parameters += tensor.size
    return Statistics(parameters, weight_bytes, macs(model), peak_activation_bytes(model), operators(model))


def macs(model: Model) -> int | None:
    """Multiply-accumulates of one inference, or None when a shape is unknown. Control flow counts as nothing."""
    total = 0
    for node in model.graph:
        found = node_macs(node)
        if found is None:
            return None
        total += found
    return total


def node_macs(node: onnx_ir.Node) -> int | None:
    """Multiply-accumulates of one node: 0 for operators that `Statistics.macs` does not count, None when a shape is unknown."""
    count = _COUNTERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    return 0 if count is None else count(node)


def peak_activation_bytes(model: Model) -> int | None:
    """Largest sum of bytes of tensors that live at once while the nodes run in their order, or None when a shape is unknown.

    A tensor lives from the node that makes it to the last that reads it; graph inputs live from the start to their last
    reader, graph outputs to the end. Every node's inputs and outputs live together: nothing is computed in place, no
    operator is fused, and weights are not counted. So it is what an arena without tricks needs.
    """
    nodes = list(model.graph)
    last: dict[onnx_ir.Value, int] = {}
    for step, node in enumerate(nodes):
        for value in node.inputs:
            if value is not None:
                last[value] = step
    for value in model.graph.outputs:
        last[value] = len(nodes)
    weights = set(model.graph.initializers.values())
    alive = 0
    frees: dict[int, int] = {}
    for value in model.graph.inputs:
        if value in weights:
            continue
        size = _bytes(value)
        if size is None:
            return None
        alive += size
        frees[last.get(value, 0)] = frees.get(last.get(value, 0), 0) + size
    peak = alive
    for step, node in enumerate(nodes):
        for value in node.outputs:
            if not value.name or (value not in last):
                continue
            size = _bytes(value)
            if size is None:
                return None
            alive += size
            frees[last[value]] = frees.get(last[value], 0) + size
        peak = max(peak, alive)
        alive -= frees.pop(step, 0)
    return peak


def _shape(value: onnx_ir.Value | None) -> list[int] | None:
    """Sizes with a free first axis as 1, and the batch wherever it lies; None when another axis is free."""
    if value is None or value.shape is None:
        return None
    batches = _batches(value)
    sizes: list[int] = []
    for axis, size in enumerate(value.shape):
        if isinstance(size, int):
            sizes.append(size)
        elif axis == 0 or size.value in batches:
            sizes.append(1)
        else:
            return None
    return sizes


def _batches(value: onnx_ir.Value) -> set[str]:
    """Names of the free first axes of the graph's inputs: attention is often laid out with the batch second."""
    inputs = value.graph.inputs if isinstance(value.graph, onnx_ir.Graph) else ()
    shapes = [item.shape for item in inputs if item.shape is not None and len(item.shape) > 0]
    return {first.value for first in (shape[0] for shape in shapes) if isinstance(first, onnx_ir.SymbolicDim) and first.value}


def _bytes(value: onnx_ir.Value) -> int | None:
    shape = _shape(value)
    if shape is None or value.dtype is None:
        return None
    return math.ceil(math.prod(shape) * value.dtype.itemsize)


def _conv(node: onnx_ir.Node) -> int | None:
    made, weights = _shape(node.outputs[0]), _shape(node.inputs[1])
    # [out, in / groups, kernel...]: every element of the output sums over all axes of the weights but the first.
    return None if made is None or weights is None else math.prod(made) * math.prod(weights[1:])


def _conv_transpose(node: onnx_ir.Node) -> int | None:
    data, weights = _shape(node.inputs[0]), _shape(node.inputs[1])
    # [in, out / groups, kernel...]: every element of the input is multiplied into all axes of the weights but the first.
    return None if data is None or weights is None else math.prod(data) * math.prod(weights[1:])


def _gemm(node: onnx_ir.Node) -> int | None:
    made, left = _shape(node.outputs[0]), _shape(node.inputs[0])
    return None if made is None or left is None else math.prod(made) * left[0 if node.attributes.get_int("transA", 0) else 1]


def _matmul(node: onnx_ir.Node) -> int | None:
    made, left = _shape(node.outputs[0]), _shape(node.inputs[0])
    return None if made is None or not left else math.prod(made) * left[-1]


def _einsum(node: onnx_ir.Node) -> int | None:
    """Product of the sizes of all letters, when two operands are multiplied; an ellipsis is not counted."""
    equation = str(node.attributes["equation"].value).replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) < 2 or "." in equation:
        return None if "." in equation else 0
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        shape = _shape(value)
        if shape is None or len(shape) != len(term):
            return None
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.values()) * (len(terms) - 1)


def _recurrent(node: onnx_ir.Node) -> int | None:
    """Every element of [directions, gates * hidden, inputs or hidden] once a time step; a free batch counts as 1."""
    data, weights, recurrence = node.inputs[0], _shape(node.inputs[1]), _shape(node.inputs[2])
    if data is None or data.shape is None or not weights or not recurrence:
        return None
    batch_axis = 0 if node.attributes.get_int("layout", 0) else 1
    batch, steps = data.shape[batch_axis], data.shape[1 - batch_axis]
    if not isinstance(steps, int):
        return None
    return steps * (batch if isinstance(batch, int) else 1) * (math.prod(weights) + math.prod(recurrence))


_COUNTERS = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
