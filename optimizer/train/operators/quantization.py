"""Quantization as training sees it: exact forwards, straight through backwards.

Quantized values are floating-point numbers that hold the integers, since torch's integers carry no gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch

from .reading import Operator, given, rank, unsupported

_RANGES = {
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (-32768, 32767),
    "UINT16": (0, 65535),
    "INT32": (-(2**31), 2**31 - 1),
}


def _shape(node: onnx_ir.Node) -> Callable[[Any, Any], Any]:
    """Lets scales or zero points [channels], or [.., blocks, ..], meet the elements of x."""
    axis, block = node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)
    scale = given(node, 1)
    if scale is None or scale.shape is None:
        raise unsupported(node, "the rank of its scale is unknown")
    if len(scale.shape) == 0:
        return lambda part, x: part
    if block:
        return lambda part, x: part.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if len(scale.shape) > 1:
        raise unsupported(node, "its scale has several axes and no block size")
    if scale.shape[0] == 1:
        return lambda part, x: part.reshape(())
    total = rank(node)
    shape = [-1 if place == axis % total else 1 for place in range(total)]
    return lambda part, x: part.reshape(shape)


def _quantize(node: onnx_ir.Node) -> Callable[..., Any]:
    made = node.outputs[0].dtype
    if made is None or made.name not in _RANGES:
        raise unsupported(node, f"it quantizes to {made.name if made is not None else 'an unknown type'}")
    low, high = _RANGES[made.name]
    shaped = _shape(node)

    def quantize(x: Any, scale: Any, zero: Any = None) -> Any:
        steps = x / shaped(scale, x)
        offset = 0.0 if zero is None else shaped(zero, x).to(x.dtype)
        # Rounded before the zero point is added, as ONNX has it: to even at a half.
        rounded = steps + (torch.round(steps) - steps).detach()
        # Saturated: no gradient comes back from beyond the range.
        return torch.clamp(rounded + offset, low, high)

    return quantize


def _dequantize(node: onnx_ir.Node) -> Callable[..., Any]:
    shaped = _shape(node)

    def dequantize(x: Any, scale: Any, zero: Any = None) -> Any:
        values = x.to(scale.dtype)
        values = values if zero is None else values - shaped(zero, x).to(scale.dtype)
        return values * shaped(scale, x)

    return dequantize


QUANTIZATION: Mapping[str, Operator] = {"DequantizeLinear": _dequantize, "QuantizeLinear": _quantize}
