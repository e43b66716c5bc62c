"""The weights and the bias of a kernel: in integers where it can compute exactly with them, else in float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from . import fusion
from .constants import Constant
from .flatbuffer import Quant, Tensor
from .graph import Lowering

_LARGEST_BIAS = 2**31 - 1
_MOST_RATIO = 256  # of input scale times weight scale to the result's, which XNNPACK can multiply by


@dataclass(frozen=True)
class Kernel:
    """Weights and bias ready for a kernel; in int8 `quant` is the result's and `bias_quant` what a bias has or would have."""

    weights: Constant
    bias: Constant | None
    quant: Quant | None
    bias_quant: Quant | None = None

    @property
    def dtype(self) -> str:
        """Of the result."""
        return "float32" if self.quant is None else "int8"

    @property
    def is_int4(self) -> bool:
        """Whether integers are multiplied that fit in int4."""
        return self.weights.is_int4 and self.quant is not None


def prepare(
    low: Lowering, node: onnx_ir.Node, bias_value: onnx_ir.Value | None, end: fusion.Tail
) -> tuple[Kernel, fusion.Tail, str]:
    """The kernel of a node with weights at input 1: int8 where input, weights and result are, else float with the reason."""
    weights = low.constant(node.inputs[1])
    data = node.inputs[0]
    if weights is None or data is None:
        raise low.fail(node, "its weights are not constant")
    bias = low.constant(bias_value)
    if bias_value is not None and bias is None:
        raise low.fail(node, "its bias is not constant")
    if bias is not None:
        bias = bias.mapped(lambda array: array.reshape(-1))
    given = low.quant(data)
    reason = fusion.why_float(end, {"input": given, "weights": weights if weights.is_int8 else None})
    if given is None or end.quant is None or weights.quant is None or reason:
        return Kernel(weights, bias, None), end.in_float, reason
    scales = np.float32(given.scale) * np.asarray(weights.quant.scales, np.float32)
    reason = _why_inexact(weights, bias, scales, end.quant.scale)
    if reason:
        return Kernel(weights, bias, None), end.in_float, reason
    bias_quant = Quant(tuple(map(float, scales)), (0,) * scales.size)
    return Kernel(weights, _bias_integers(bias, bias_quant), end.quant, bias_quant), end, ""


def _why_inexact(weights: Constant, bias: Constant | None, scales: NDArray[Any], result: float) -> str:
    """Why int8 kernels cannot compute a layer exactly, or ""; `scales` are input scale times weight scale, by channel."""
    if not weights.is_symmetric_int8:
        return "its int8 weights have a zero point or hold -128, which the kernels cannot multiply exactly"
    if (scales >= _MOST_RATIO * result).any():
        return "its result's scale is too fine beside its input's and weights' for the kernels' multipliers"
    if bias is None or _has_scales(bias, scales):
        return ""
    if (scales > result).any():
        return (
            "its bias would be rounded to steps larger than its result's; store it as int32 at input scale times weight scale"
        )
    if (np.abs(bias.real / scales.astype(np.float64)) > _LARGEST_BIAS).any():
        return "its bias overflows int32 at input scale times weight scale"
    return ""


def _has_scales(bias: Constant, scales: NDArray[Any]) -> bool:
    """Whether the bias is stored in int32 at these scales."""
    if bias.array.dtype != np.int32 or bias.quant is None or any(bias.quant.zeros):
        return False
    stored = np.asarray(bias.quant.scales, np.float32)
    shape = bias.array.shape
    return bool(np.allclose(np.broadcast_to(stored, shape), np.broadcast_to(scales, shape), rtol=1e-5, atol=0))


def _bias_integers(bias: Constant | None, quant: Quant) -> Constant | None:
    """The bias in int32 at input scale times weight scale: as stored where it has that scale, else rounded to it."""
    if bias is None:
        return None
    scales = np.asarray(quant.scales, np.float32)
    if _has_scales(bias, scales):
        return replace(bias, quant=quant)
    integers = np.rint(bias.real.astype(np.float64) / scales.astype(np.float64))
    return Constant(bias.name, integers.astype(np.int32), quant)


def put_bias(low: Lowering, kernel: Kernel, channels: int) -> Tensor:
    """The bias tensor of a kernel; zeros where there is none, because some kernels cannot do without."""
    bias = kernel.bias
    if kernel.quant is None:
        if bias is None:
            return low.writer.constant("zeros", np.zeros(channels, np.float32))
        if bias.widened and not kernel.weights.widened:
            return low.writer.constant(bias.name, bias.real)  # XNNPACK refuses weights and bias that are widened differently
        return low.put_real(bias)
    if bias is None:
        return low.writer.constant("zeros", np.zeros(channels, np.int32), kernel.bias_quant)
    return low.writer.constant(bias.name, bias.array, bias.quant)


def put_weights(
    low: Lowering, kernel: Kernel, change: Callable[[NDArray[Any]], NDArray[Any]], axis: int, *, takes_int4: bool = False
) -> Tensor:
    """The weight tensor of a kernel, in its layout; `axis` is where the output channels went."""
    changed = kernel.weights.mapped(change, axis)
    return low.put_real(changed) if kernel.quant is None else low.put(changed, takes_int4=takes_int4)
