"""Writing the integer operators that ONNX Runtime would make of QuantizeLinear and DequantizeLinear, which takes fewer bytes.

    DQ(x), DQ(w), DQ(b) -> Conv -> Q    becomes    QLinearConv(x, w, b)

ONNX Runtime puts the same operators in their place when it loads the longer form, so that the answers are the same to the bit;
but each of the longer form's nodes, and the scales and zero points of each bias, are a good part of a small model's file. Only
products with a bias in float it would leave in float (`fuse_biased_products`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import constant

MICROSOFT = "com.microsoft"
# Operators that only move values and whose kernels take 8-bit integers.
_MOVES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class Integers:
    """8-bit integers that stand for reals, and the initializers that say how."""

    value: onnx_ir.Value
    scale: onnx_ir.Value
    zero: onnx_ir.Value

    @property
    def inputs(self) -> tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]:
        """As operators take them."""
        return (self.value, self.scale, self.zero)

    @property
    def grid(self) -> tuple[onnx_ir.Value, onnx_ir.Value]:
        """As operators take them for what they make."""
        return (self.scale, self.zero)


def fuse(graph: onnx_ir.Graph) -> None:
    """Put integer operators in place of all that ONNX Runtime fuses to these; equal initializers must be one value.

    What is left without a reader stays for a clean-up. A fused node keeps its name.
    """
    for node in list(graph):
        write = _WRITERS.get(node.op_type) if node.domain == "" else None
        if write is not None and node.inputs and node.outputs:
            write(graph, node)
    if any(node.domain == MICROSOFT for node in graph):
        graph.opset_imports[MICROSOFT] = 1


def fuse_biased_products(graph: onnx_ir.Graph) -> None:
    """Put one integer operator in place of a product of integers to whose result a bias is added in float.

        Add(MatMul(DQ(x), DQ(@w)), @b)    becomes    MatMulIntegerToFloat(x, @w, b)

    ONNX Runtime (1.32) would not: it makes a float Gemm of product and sum first, and then multiplies in float with weights
    that it dequantizes anew in every run.
    """
    for node in list(graph):
        made = _layer(node) if node.op_type == "MatMul" and node.domain == "" else None
        sizes = made[1].value.shape if made is not None else None
        after = _biased(node, sizes[-1]) if sizes is not None and len(sizes) == 2 else None
        if made is None or after is None:
            continue
        data, weights, _ = made
        inputs = [data.value, weights.value, data.scale, weights.scale, data.zero, weights.zero, after.bias]
        _replace(graph, node, "MatMulIntegerToFloat", MICROSOFT, inputs, after.made)
        graph.opset_imports[MICROSOFT] = 1


@dataclass(frozen=True)
class _Biased:
    """What the sum behind a product makes, and the constant [outputs] that it adds."""

    made: onnx_ir.Value
    bias: onnx_ir.Value


def _biased(node: onnx_ir.Node, width: int | onnx_ir.SymbolicDim) -> _Biased | None:
    """The sum that is the only reader of a product, if it adds a number to each of its `width` outputs."""
    reader, place = _only_reader(node)
    if reader is None or reader.op_type != "Add" or reader.domain != "":
        return None
    bias = reader.inputs[1 - place]
    known = constant(bias)
    if bias is None or known is None or known.dtype != np.float32 or known.ndim != 1 or known.size != width:
        return None
    return _Biased(reader.outputs[0], bias)


def _convolution(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    made = _layer(node)
    after = _quantized(node)
    if made is None or after is None:
        return
    data, weights, bias = made
    inputs = [*data.inputs, *weights.inputs, *after.grid, *([] if bias is None else [bias])]
    _replace(graph, node, "QLinearConv", "", inputs, after.value)


def _product(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    made = _layer(node)
    if made is None or node.attributes.get_float("beta", 1.0) != 1.0:
        return
    data, weights, bias = made
    if bias is not None and node.attributes.get_float("alpha", 1.0) != 1.0:
        return  # QGemm takes the bias to stand at alpha times the product of the scales
    after = _quantized(node)
    inputs: list[onnx_ir.Value | None] = [*data.inputs, *weights.inputs, bias]
    if after is not None:
        inputs += after.grid
    elif bias is None:
        inputs.pop()
    node.attributes.pop("beta", None)
    _replace(graph, node, "QGemm", MICROSOFT, inputs, node.outputs[0] if after is None else after.value)


def _sum(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    left, right, after = _dequantized(node.inputs[0]), _dequantized(node.inputs[1]), _quantized(node)
    if left is not None and right is not None and after is not None:
        _replace(graph, node, "QLinearAdd", MICROSOFT, [*left.inputs, *right.inputs, *after.grid], after.value)


def _mean(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    data, after = _dequantized(node.inputs[0]), _quantized(node)
    if data is not None and after is not None:
        _replace(graph, node, "QLinearGlobalAveragePool", MICROSOFT, [*data.inputs, *after.grid], after.value)


def _move(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    data, after = _dequantized(node.inputs[0]), _quantized(node)
    if data is not None and after is not None and data.grid == after.grid:
        _replace(graph, node, node.op_type, "", [data.value, *node.inputs[1:]], after.value)


_WRITERS: Mapping[str, Callable[[onnx_ir.Graph, onnx_ir.Node], None]] = {
    "Conv": _convolution,
    "Gemm": _product,
    "Add": _sum,
    "GlobalAveragePool": _mean,
    **dict.fromkeys(_MOVES, _move),
}


def _layer(node: onnx_ir.Node) -> tuple[Integers, Integers, onnx_ir.Value | None] | None:
    """What a layer multiplies and its int32 bias, if all is quantized and the bias stands at the product of the scales."""
    data = _dequantized(node.inputs[0])
    weights = _dequantized(node.inputs[1], is_weight=True)
    if data is None or weights is None or not _is_by_output(node, weights):
        return None
    given = node.inputs[2] if len(node.inputs) > 2 else None
    if given is None:
        return data, weights, None
    reader = given.producer()
    if reader is None or reader.op_type != "DequantizeLinear" or reader.inputs[0] is None:
        return None
    integers, scales, zeros = (constant(value) for value in (*reader.inputs, None)[:3])
    if integers is None or integers.dtype != np.int32 or (zeros is not None and zeros.any()):
        return None
    wanted = np.float32(_array(data.scale)) * _array(weights.scale)
    if scales is None or wanted.size not in (1, scales.size) or not np.all(scales == wanted):
        return None
    return data, weights, reader.inputs[0]


def _is_by_output(node: onnx_ir.Node, weights: Integers) -> bool:
    """Whether the weights of a layer have one scale, or one for each of its outputs."""
    reader = node.inputs[1].producer() if node.inputs[1] is not None else None
    if reader is None or _array(weights.scale).size == 1:
        return reader is not None
    axis = reader.attributes.get_int("axis", 1)
    is_turned = node.op_type == "Conv" or bool(node.attributes.get_int("transB", 0))
    return axis in ((0,) if is_turned else (1, -1))


def _dequantized(value: onnx_ir.Value | None, *, is_weight: bool = False) -> Integers | None:
    """The 8-bit integers behind `value`: with one scale, or those of a weight."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or "block_size" in node.attributes:
        return None
    found = _integers(node, node.inputs[0])
    if found is None or is_weight is not _is_constant(found.value):
        return None
    return found if is_weight or _array(found.scale).size == 1 else None


def _quantized(node: onnx_ir.Node) -> Integers | None:
    """What the only reader of a node's result makes of it, if that quantizes it to 8-bit integers with one scale."""
    reader, place = _only_reader(node)
    if reader is None or reader.op_type != "QuantizeLinear" or place != 0:
        return None
    found = _integers(reader, reader.outputs[0])
    return found if found is not None and _array(found.scale).size == 1 else None


def _only_reader(node: onnx_ir.Node) -> tuple[onnx_ir.Node | None, int]:
    """The node that alone reads a node's result, and as which of its inputs; None where there are others, or the caller."""
    made = node.outputs[0]
    uses = tuple(made.uses())
    return (uses[0].node, uses[0].idx) if len(uses) == 1 and not made.is_graph_output() else (None, 0)


def _integers(node: onnx_ir.Node, value: onnx_ir.Value | None) -> Integers | None:
    scale, zero = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    kind = (constant(scale), constant(zero))
    if value is None or scale is None or zero is None or kind[0] is None or kind[1] is None:
        return None
    return Integers(value, scale, zero) if kind[1].dtype in (np.int8, np.uint8) else None


def _is_constant(value: onnx_ir.Value) -> bool:
    maker = value.producer()
    if maker is not None and maker.op_type == "Cast":
        return constant(maker.inputs[0]) is not None
    return constant(value) is not None


def _array(value: onnx_ir.Value) -> NDArray[Any]:
    array = constant(value)
    return np.zeros(0) if array is None else array


def _replace(
    graph: onnx_ir.Graph,
    node: onnx_ir.Node,
    op_type: str,
    domain: str,
    inputs: Sequence[onnx_ir.Value | None],
    made: onnx_ir.Value,
) -> None:
    """Let an operator of `inputs` make `made` in place of `node` (and of the QuantizeLinear that made it)."""
    result = onnx_ir.Value(name=made.name, shape=made.shape, type=made.type)
    fused = onnx_ir.Node(domain, op_type, inputs, list(node.attributes.values()), outputs=[result], name=node.name)
    graph.insert_before(node, fused)
    last = made.producer()
    for user, index in list(made.uses()):
        user.replace_input_with(index, result)
    if made.is_graph_output():
        graph.outputs[list(graph.outputs).index(made)] = result
    if last is not None and last is not node:
        graph.remove(last, safe=True)
    graph.remove(node, safe=True)
