"""Choosing integers: scale and zero point of activations, per-channel integers of weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...calibration.ranges import weight_scales

IntegerType = Literal["int8", "uint8"]
Rounding = Callable[[NDArray[np.float32], NDArray[np.float32], int], NDArray[np.int16] | None]
_LEVELS = 255
PAIR_LIMIT = 128  # two products of u8 <= 255 with weights whose sum is at most 128 stay below 2**15
BIAS_LIMIT = float(2**31 - 2**8)


@dataclass(frozen=True)
class Affine:
    """Real value = scale * (integer - zero); `scale` is exactly representable in float32."""

    scale: float
    zero: int
    dtype: IntegerType

    def quantize(self, array: NDArray[Any]) -> NDArray[Any]:
        """Integers of `array`, rounded half to even and saturated, as QuantizeLinear does."""
        limits = np.iinfo(self.dtype)
        rounded = np.rint(array.astype(np.float32) / np.float32(self.scale)) + self.zero
        return np.asarray(np.clip(rounded, limits.min, limits.max).astype(self.dtype))


def affine(low: float, high: float, dtype: IntegerType) -> Affine:
    """Asymmetric parameters for [low, high], widened so that zero is exact (Jacob et al., arXiv 1712.05877)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / _LEVELS)
    if not np.isfinite(scale) or scale < np.finfo(np.float32).tiny:
        scale = np.float32(1.0)
    smallest = int(np.iinfo(dtype).min)
    zero = int(np.clip(np.rint(smallest - low / float(scale)), smallest, smallest + _LEVELS))
    return Affine(float(scale), zero, dtype)


def fixed(scale: float, signed_zero: int, dtype: IntegerType) -> Affine:
    """Parameters that a kernel demands, given for the signed form."""
    return Affine(float(np.float32(scale)), signed_zero + (128 if dtype == "uint8" else 0), dtype)


@dataclass(frozen=True)
class QuantizedWeights:
    """`values` has the weights' shape; `scales` has one entry a channel of `axis`, or one in all."""

    values: NDArray[Any]
    scales: NDArray[np.float32]
    zero: int
    axis: int

    def dequantize(self) -> NDArray[np.float32]:
        """What the integers stand for, in float32."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        scales = self.scales.reshape(shape) if self.scales.size > 1 else self.scales
        return (self.values.astype(np.float32) - np.float32(self.zero)) * scales.astype(np.float32)


def quantize_weights(
    weights: NDArray[Any],
    axis: int,
    dtype: IntegerType,
    *,
    per_channel: bool = True,
    method: Literal["max", "mse"] = "mse",
    saturating_pairs: bool = False,
    least_scale: NDArray[Any] | None = None,
    limit: int = 127,
    rounding: Rounding | None = None,
    choose: Callable[[NDArray[np.float32], int], NDArray[np.float32] | None] | None = None,
) -> QuantizedWeights:
    """Symmetric integers in [-limit, limit] (uint8: shifted by 128), a scale per channel of `axis`.

    `method` "mse" clips a channel where that lowers its squared error. With `saturating_pairs` a channel's scale grows just so
    far that no two weights of one sign, whichever the kernel pairs, can exceed 16 bits when both activations are 255: channels
    whose two largest weights sum to at most 128 lose nothing. `least_scale` [channels] is a lower bound (for the bias).
    `rounding(rows [channels, k], scales, limit)` gives better integers than the nearest, `choose(rows, limit)` better scales
    than those of "mse", or None where they cannot.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float32)
    if not per_channel:
        rows = rows.reshape(1, -1)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    chosen = choose(rows, limit) if choose is not None and per_channel and method == "mse" else None
    if chosen is not None:
        scales = chosen
    else:
        scales = largest / np.float32(limit) if method == "max" else weight_scales(rows, 0, largest=limit)
    if saturating_pairs:
        scales = np.maximum(scales, _largest_pair(rows) / np.float32(PAIR_LIMIT - 1))
    scales = np.where((largest == 0) | (scales < np.finfo(np.float32).tiny), np.float32(1), scales).astype(np.float32)
    if least_scale is not None:
        scales = np.maximum(scales, least_scale if per_channel else np.max(least_scale)).astype(np.float32)
    signed = np.clip(np.rint(rows / scales[:, None]), -limit, limit).astype(np.int16)
    better = rounding(rows, scales, limit) if rounding is not None and per_channel else None
    if better is not None:
        is_safe = _largest_pair(better.astype(np.float32)) <= PAIR_LIMIT
        signed = np.where(is_safe[:, None], better, signed) if saturating_pairs else better
    moved = signed.reshape(np.moveaxis(weights, axis, 0).shape)
    zero = 128 if dtype == "uint8" else 0
    values = np.moveaxis(moved + zero, 0, axis).astype(dtype)
    return QuantizedWeights(np.ascontiguousarray(values), scales, zero, axis)


def _largest_pair(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest sum of two weights of one sign, per row."""
    if rows.shape[1] < 2:
        return np.zeros(rows.shape[0], np.float32)
    positive = np.sort(np.partition(np.maximum(rows, 0), -2, axis=1)[:, -2:], axis=1).sum(axis=1)
    negative = np.sort(np.partition(np.maximum(-rows, 0), -2, axis=1)[:, -2:], axis=1).sum(axis=1)
    return np.asarray(np.maximum(positive, negative), np.float32)


def least_scale_for_bias(bias: NDArray[Any], input_scale: float) -> NDArray[Any]:
    """Weight scale [channels] below which the int32 bias would overflow."""
    return np.asarray(np.abs(bias).astype(np.float64) / (float(input_scale) * BIAS_LIMIT), np.float32)


def quantize_bias(bias: NDArray[Any], input_scale: float, weight_scales_: NDArray[Any]) -> tuple[Any, Any]:
    """int32 bias and its scales: input scale times weight scale, in float32 as the runtimes compute it."""
    scales = (np.float32(input_scale) * weight_scales_.astype(np.float32)).astype(np.float32)
    scales = np.broadcast_to(scales, bias.shape) if scales.size == 1 else scales
    limit = 2**31 - 1
    integers = np.clip(np.rint(bias.astype(np.float64) / scales.astype(np.float64)), -limit, limit).astype(np.int32)
    return integers, scales.copy()
