"""What stands in for integers while a model trains: of an activation, and of a layer's weights and bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..integers import BIAS_LIMIT, PAIR_LIMIT
from .fake import fake_quantize, straight_through
from .scale import Scale

_LARGEST_INT32 = 2**31 - 1
_TINY = float(torch.finfo(torch.float32).tiny)


class ActivationQuantizer(nn.Module):  # type: ignore[misc]
    """Scale and zero point of the tensors of one group; the zero point stays the integer that calibration found."""

    def __init__(self, scale: Any, zero: int, limits: tuple[int, int], elements: int, *, is_learned: bool) -> None:
        """`scale`: float32 [1]; `limits`: least and largest integer; `elements`: numbers of a sample."""
        super().__init__()
        self.zero = zero
        self._low, self._high = limits[0] - zero, limits[1] - zero
        self.scale = Scale(scale, elements, max(-self._low, self._high), is_learned=is_learned)

    def forward(self, x: Any) -> Any:
        """What the integers of `x` [n, ...] stand for."""
        return fake_quantize(x, self.scale(), self._low, self._high)

    def integers(self, x: Any) -> Any:
        """The integers of `x`, int32 of its shape."""
        with torch.no_grad():
            levels = torch.div(x.float(), self.scale()).round_().clamp_(self._low, self._high)
            return levels.to(torch.int32) + self.zero


class LayerQuantizer(nn.Module):  # type: ignore[misc]
    """Integers of a layer's weights, symmetric, and of its bias, int32 at input scale times weight scale.

    The weight scale is learned, and never below what keeps the bias in int32 and, where `is_pairwise`, what keeps any two
    products of a channel in 16 bits. Weights that are `held` keep the integer `level` whatever the float weight is.

    What an optimizer sees are weights in `unit`s, one for each output channel, and the bias in `bias_unit`s: folding batch norm
    leaves channels that differ by orders of magnitude, of which steps of one size (Adam's) would wreck the smallest. Powers of
    two lose no digits.
    """

    held: Any
    level: Any
    unit: Any

    def __init__(
        self,
        scale: Any,
        axis: int,
        largest: int,
        input_scale: Callable[[], Any],
        shape: Sequence[int],
        unit: Any,
        bias_unit: float,
        *,
        is_pairwise: bool,
    ) -> None:
        """`scale`: float32 of the weights' rank, one number for each channel of `axis` or one in all."""
        super().__init__()
        self.largest, self.bias_unit = largest, bias_unit
        self.register_buffer("unit", unit)
        # Narrow integers cannot exceed 16 bits in pairs.
        self.is_pairwise = is_pairwise and 2 * largest > PAIR_LIMIT
        self._axis, self._shape = axis, tuple(shape)
        self._input_scale = input_scale
        elements = int(np.prod(shape)) // scale.numel()
        self.scale = Scale(scale, elements, largest)
        self.register_buffer("held", None)
        self.register_buffer("level", None)

    def hold(self, places: Any, levels: Any) -> None:
        """From now on the weights at `places` (bool) stand for the integers `levels` there, both of the weights' shape."""
        if self.held is None:
            self.held = torch.zeros(self._shape, dtype=torch.bool)
            self.level = torch.zeros(self._shape, dtype=torch.int8)
        self.level.copy_(torch.where(places & ~self.held, levels.to(torch.int8), self.level))
        self.held.logical_or_(places)

    def step(self, weights: Any, bias: Any | None) -> Any:
        """The scale that is used, of the rank of `weights`: the learned one, or the least that is allowed."""
        scale = self.scale()
        with torch.no_grad():
            least = torch.full_like(scale, _TINY)
            if bias is not None:
                least = torch.maximum(least, self._least_for(bias, scale))
            if self.is_pairwise:
                least = torch.maximum(least, self._least_for_pairs(weights, torch.maximum(scale, least)))
        return torch.where(scale >= least, scale, least)

    def weights(self, weights: Any, bias: Any | None) -> Any:
        """What the integers of `weights` stand for."""
        scale = self.step(weights, bias)
        if self.held is not None:
            weights = torch.where(self.held, self.level * scale, weights)
        return fake_quantize(weights, scale, -self.largest, self.largest)

    def weight_levels(self, weights: Any, bias: Any | None) -> Any:
        """The integers of `weights`, float32 of their shape."""
        with torch.no_grad():
            return self._levels(weights, self.step(weights, bias))

    def distance(self, weights: Any, bias: Any | None) -> Any:
        """Sum of squares by which `weights` that are not saturated miss what their integers stand for, for their gradient."""
        with torch.no_grad():
            scale = self.step(weights, bias)
            levels = self._levels(weights, scale)
            is_free = (weights / scale).abs() <= self.largest
        return torch.where(is_free, weights - levels * scale, 0.0).square().sum()

    def bias(self, bias: Any, weights: Any) -> Any:
        """What the integers of `bias` [channels] stand for; its gradient passes unchanged."""
        with torch.no_grad():
            integers, scale = self.bias_levels(bias, weights)
            value = integers.float() * scale
        return straight_through(bias, value)

    def bias_levels(self, bias: Any, weights: Any) -> tuple[Any, Any]:
        """Integers [channels] of `bias` in float64, and their scales, float32."""
        with torch.no_grad():
            scale = (self._input_scale() * self.step(weights, bias)).reshape(-1).expand(bias.shape)
            integers = (bias.double() / scale.double()).round_().clamp_(-_LARGEST_INT32, _LARGEST_INT32)
            return integers, scale

    def _levels(self, weights: Any, scale: Any) -> Any:
        levels = torch.div(weights, scale).round_().clamp_(-self.largest, self.largest)
        return levels if self.held is None else torch.where(self.held, self.level.float(), levels)

    def _least_for(self, bias: Any, scale: Any) -> Any:
        """As `integers.least_scale_for_bias`."""
        least = (bias.abs().double() / (self._input_scale().double() * BIAS_LIMIT)).float()
        return least.max() if scale.numel() == 1 else least.reshape(scale.shape)

    def _least_for_pairs(self, weights: Any, scale: Any) -> Any:
        """As `integers.quantize_weights` holds back: 0 where the integers at `scale` are safe already."""
        is_safe = self._pairs(self._levels(weights, scale), scale) <= PAIR_LIMIT
        return torch.where(is_safe, 0.0, self._pairs(weights, scale) / (PAIR_LIMIT - 1))

    def _pairs(self, weights: Any, scale: Any) -> Any:
        """Largest sum of two weights of one sign, for each scale."""
        rows = weights.reshape(1, -1) if scale.numel() == 1 else weights.movedim(self._axis, 0).flatten(1)
        if rows.shape[1] < 2:
            return torch.zeros_like(scale)
        sums = [side.clamp(min=0).topk(2, dim=1).values.sum(dim=1) for side in (rows, -rows)]
        return torch.maximum(*sums).reshape(scale.shape)
