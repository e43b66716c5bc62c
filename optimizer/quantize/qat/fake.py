"""Fake quantization: the numbers that integers stand for, with gradients that pass through the rounding.

Forward follows QuantizeLinear and DequantizeLinear to the bit: divide, round half to even, saturate, multiply. Backward follows
learned step size quantization (LSQ, Esser et al., arXiv 1902.08153, section 2.1, equations 3 and 5).
"""

from __future__ import annotations

from typing import Any

import torch


class _FakeQuantize(torch.autograd.Function):  # type: ignore[misc]
    """`scale * clamp(round(x / scale), low, high)`."""

    @staticmethod
    def forward(ctx: Any, x: Any, scale: Any, low: int, high: int) -> Any:
        ctx.save_for_backward(x, scale)
        ctx.low, ctx.high = low, high
        return torch.div(x, scale).round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, scale = ctx.saved_tensors
        ratio = torch.div(x, scale)
        # Half a step beyond the last integers is still rounded to them, not saturated.
        middle, reach = (ctx.low + ctx.high) / 2, (ctx.high - ctx.low + 1) / 2
        to_x = torch.where((ratio - middle).abs_() <= reach, gradient, 0.0)
        if not ctx.needs_input_grad[1]:
            return to_x, None, None, None
        level = ratio.round().clamp_(ctx.low, ctx.high).mul_(gradient)
        return to_x, level.sub_(ratio.mul_(to_x)).sum_to_size(scale.shape), None, None


class _ScaledGradient(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * ctx.factor, None


class _StraightThrough(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient, None


def fake_quantize(x: Any, scale: Any, low: int, high: int) -> Any:
    """What the integers of the float tensor `x` stand for, float32 of its shape.

    `scale`: float32, one element, or of the rank of `x` with sizes of 1 or its own. `low` and `high`: least and largest integer
    less the zero point. Gradients flow to `x` where it is not saturated, and to `scale` (LSQ, equation 3).
    """
    return _FakeQuantize.apply(x.float(), scale, low, high)


def scaled_gradient(x: Any, factor: float) -> Any:
    """`x`, whose gradient is multiplied by `factor` on its way back."""
    return _ScaledGradient.apply(x, factor)


def straight_through(x: Any, value: Any) -> Any:
    """`value`, whose gradient goes to `x` (of the same shape) unchanged."""
    return _StraightThrough.apply(x, value)
