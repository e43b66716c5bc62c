"""Constants as the model stores them: plain, float16 under a Cast, or integers under a DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .flatbuffer import Quant

_LEVEL = 64  # the integer that stands for a lone number: a power of two, so that scale * integer is that very number


@dataclass(frozen=True)
class Constant:
    """`array` as stored; `quant` where its integers stand for reals, `widened` where float16 stands for float32.

    `is_int4`: the model holds these int8 as int4.
    """

    name: str
    array: NDArray[Any]
    quant: Quant | None = None
    widened: bool = False
    is_int4: bool = False

    @property
    def real(self) -> NDArray[Any]:
        """The numbers that operators compute with, in float32 where they are reals."""
        if self.widened:
            return self.array.astype(np.float32)
        if self.quant is None:
            return self.array
        scales, zeros = np.asarray(self.quant.scales, np.float32), np.asarray(self.quant.zeros, np.int32)
        if scales.size > 1:
            shape = [1] * self.array.ndim
            shape[self.quant.axis] = -1
            scales, zeros = scales.reshape(shape), zeros.reshape(shape)
        return np.asarray((self.array.astype(np.int32) - zeros).astype(np.float32) * scales, np.float32)

    @property
    def is_int8(self) -> bool:
        """Whether it is stored as int8 that stands for reals."""
        return self.quant is not None and self.array.dtype == np.int8

    @property
    def is_symmetric_int8(self) -> bool:
        """Whether int8 kernels may multiply by it: zero point 0 and no -128, whose products would not fit two to an int16."""
        return self.is_int8 and self.quant is not None and not any(self.quant.zeros) and self.array.min(initial=0) > -128

    def mapped(self, change: Callable[[NDArray[Any]], NDArray[Any]], axis: int = 0) -> Constant:
        """With `change` applied to what is stored; `axis` is where the quantized axis went."""
        quant = replace(self.quant, axis=axis) if self.quant is not None and len(self.quant.scales) > 1 else self.quant
        return replace(self, array=change(self.array), quant=quant)

    def transposed(self, perm: tuple[int, ...]) -> Constant:
        """With its axes permuted."""
        return self.mapped(lambda array: array.transpose(perm), perm.index(self.quant.axis) if self.quant and perm else 0)

    def with_rank(self, rank: int) -> Constant:
        """With axes of size 1 put before its own, up to `rank`."""
        extra = rank - self.array.ndim
        if extra <= 0:
            return self
        return self.mapped(
            lambda array: array.reshape((1,) * extra + array.shape), (self.quant.axis if self.quant else 0) + extra
        )


def dequantized(name: str, array: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None, axis: int) -> Constant:
    """The constant of DequantizeLinear; uint8 becomes int8 by moving integers and zero points by 128, which is exact."""
    is_int4 = array.dtype.name == "int4"
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    if is_int4:
        array = array.astype(np.int8)
    elif array.dtype == np.uint8:
        array, zeros = (array.astype(np.int16) - 128).astype(np.int8), zeros - 128
    zeros = np.broadcast_to(zeros, scale.shape)
    position = axis % max(array.ndim, 1) if scale.size > 1 else 0
    quant = Quant(tuple(map(float, scale.reshape(-1))), tuple(map(int, zeros.reshape(-1))), position)
    return Constant(name, array, quant, is_int4=is_int4)


def lone_number(constant: Constant) -> Constant | None:
    """A plain constant of one number as int8 that stands for exactly that number, else None."""
    if constant.array.size != 1 or constant.array.dtype.kind != "f":
        return None
    value = float(np.float32(constant.array.reshape(-1)[0]))
    if not np.isfinite(value):
        return None
    level = int(np.sign(value)) * _LEVEL
    scale = abs(value) / _LEVEL if value else 1.0
    return Constant(constant.name, np.full(constant.array.shape, level, np.int8), Quant((scale,), (0,)))
