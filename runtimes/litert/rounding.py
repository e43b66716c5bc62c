"""QuantizeLinear and DequantizeLinear of activations."""

from __future__ import annotations

import onnx_ir

from .flatbuffer import Quant
from .graph import Lowering


def quantize(low: Lowering, node: onnx_ir.Node) -> None:
    """QuantizeLinear that no kernel before it took along: nothing where the numbers are the same, else QUANTIZE."""
    value, out = node.inputs[0], node.outputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    quant = low.activation_quant(node)
    bound = low.bound(value)
    made = low.requantized(bound.tensor, quant)
    low.bind(out, made, bound.perm, bound.merged)
    low.record(node, "int8")


def dequantize(low: Lowering, node: onnx_ir.Node) -> None:
    """DequantizeLinear of an activation: its integers stay, whoever needs floats widens them."""
    value, out = node.inputs[0], node.outputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    quant = low.activation_quant(node)
    bound = low.bound(value)
    tensor = bound.tensor
    if tensor.dtype == "uint8":
        shifted = Quant(quant.scales, quant.zeros)
        low.bind(out, low.requantized(tensor, shifted), bound.perm, bound.merged)
    elif tensor.quant == quant:
        low.alias(out, value)
    else:
        raise low.fail(node, "it reads integers by another scale than they were written with")
    low.record(node, "int8")


EMITTERS = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
