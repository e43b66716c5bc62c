"""The kernels' face: checks the arguments, allocates the results, calls the native module or its numpy twins.

The native module is used where it was built, unless the environment variable EDGEWRIGHT_PURE is 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import UsageError
from . import twins

MIN_EXPONENT, MAX_EXPONENT = -126, 126
MAX_POSITION = 1 << 30

_PURE = "EDGEWRIGHT_PURE"


def _load_native() -> ModuleType | None:
    try:
        from . import _native
    except ImportError:
        return None
    return _native


_native_module = _load_native()


def implementation() -> Literal["native", "numpy"]:
    """Which implementation the kernels use now."""
    return "numpy" if _native_module is None or os.environ.get(_PURE) == "1" else "native"


def _kernels() -> ModuleType:
    return twins if _native_module is None or os.environ.get(_PURE) == "1" else _native_module


@dataclass(frozen=True)
class Summary:
    """Of each channel: minimum and maximum of the finite values (+inf and -inf without any), their sum, and counts.

    Every array is [channels]. A minimum or maximum of zero is positive zero.
    """

    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    total: NDArray[np.float64]
    nan: NDArray[np.int64]
    infinite: NDArray[np.int64]


def summarize(data: NDArray[np.float32], axis: int | None = None, threads: int = 1) -> Summary:
    """Summary of the tensor (one channel) or of each index along `axis`; raises UsageError on a wrong axis."""
    array = _float32(data)
    if axis is None:
        view = array.reshape(1, 1, array.size)
    else:
        if not -array.ndim <= axis < array.ndim:
            raise UsageError(f"axis {axis} does not exist in a tensor of {array.ndim} axes; give one that does.")
        at = axis % array.ndim
        outer = int(np.prod(array.shape[:at], dtype=np.int64))
        inner = int(np.prod(array.shape[at + 1 :], dtype=np.int64))
        view = array.reshape(outer, array.shape[at], inner)
    channels = view.shape[1]
    minimum, maximum = np.empty(channels, np.float32), np.empty(channels, np.float32)
    total = np.empty(channels, np.float64)
    nan, infinite = np.empty(channels, np.int64), np.empty(channels, np.int64)
    _kernels().summarize(view, minimum, maximum, total, nan, infinite, threads)
    return Summary(minimum + np.float32(0), maximum + np.float32(0), total, nan, infinite)


def count_on_grid(data: NDArray[np.float32], exponent: int, first: int, bins: int, threads: int = 1) -> NDArray[np.int64]:
    """Counts [bins + 1]: values in [(first + k) * 2**exponent, (first + k + 1) * 2**exponent), last those in no bin.

    Positions are exact: halving the resolution of the result is what a call with `exponent + 1` gives.
    """
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise UsageError(f"a bin of 2**{exponent} is out of range; give {MIN_EXPONENT} to {MAX_EXPONENT}.")
    if bins < 1 or abs(first) > MAX_POSITION or first + bins > MAX_POSITION:
        raise UsageError(f"bins {first} to {first + bins} are out of range; stay within {MAX_POSITION} of zero.")
    counts = np.zeros(bins + 1, np.int64)
    _kernels().count_on_grid(_float32(data).ravel(), exponent, first, counts, threads)
    return counts


def quantization_errors(
    values: ArrayLike, weights: ArrayLike, scales: ArrayLike, lowest: ArrayLike, highest: ArrayLike, threads: int = 1
) -> NDArray[np.float64]:
    """Weighted squared error of quantizing values [n] with each candidate: sum of w * (v - scale * q)**2, [candidates].

    q = v / scale rounded half to even and clipped to [lowest, highest], which are the integers that the format holds minus
    its zero point, so lowest <= 0 <= highest. `scales`, `lowest` and `highest` are [candidates].
    """
    v, w, s = _float64(values), _float64(weights), _float64(scales)
    low, high = _float64(lowest), _float64(highest)
    _check_candidates(s, low, high)
    if v.shape != w.shape or s.shape != low.shape or s.shape != high.shape or v.ndim != 1 or s.ndim != 1:
        raise UsageError("values and weights, and scales and their bounds, must be vectors of one length each.")
    errors = np.empty(s.size, np.float64)
    _kernels().quantization_errors(v, w, s, low, high, errors, threads)
    return errors


def row_errors(
    data: NDArray[np.float32], scales: ArrayLike, lowest: float, highest: float, threads: int = 1
) -> NDArray[np.float64]:
    """Squared error of quantizing each row of data [rows, n] with its candidates scales [rows, candidates]."""
    array, s = _float32(data), _float64(scales)
    _check_candidates(s, np.float64(lowest), np.float64(highest))
    if array.ndim != 2 or s.ndim != 2 or s.shape[0] != array.shape[0]:
        raise UsageError(f"scales {s.shape} do not fit data {array.shape}; give one row of candidates a row of data.")
    errors = np.empty(s.shape, np.float64)
    _kernels().row_errors(array, s, float(lowest), float(highest), errors, threads)
    return errors


def divergences(counts: ArrayLike, levels: int, threads: int = 1) -> NDArray[np.float64]:
    """KL divergence, [bins + 1], of clipping a histogram of magnitudes after i bins and keeping `levels` levels.

    The reference is counts[:i] with what lies beyond added to its last filled bin; the model is counts[:i] merged into
    `levels` runs of bins, each spread evenly over its filled bins (Migacz, "8-bit inference with TensorRT", GTC 2017).
    Infinite for i < levels, and where counts[:i] is empty.
    """
    values = _float64(counts)
    if values.ndim != 1 or levels < 1 or (values < 0).any():
        raise UsageError("counts must be a vector of numbers that are not negative, levels at least one.")
    result = np.empty(values.size + 1, np.float64)
    _kernels().divergences(values, levels, result, threads)
    return result


def _check_candidates(scales: NDArray[np.float64], lowest: ArrayLike, highest: ArrayLike) -> None:
    if not ((scales > 0).all() and np.isfinite(scales).all()):
        raise UsageError("every candidate scale must be positive and finite.")
    if not (np.all(np.asarray(lowest) <= 0) and np.all(np.asarray(highest) >= 0)):
        raise UsageError("the quantized range must hold zero.")


def _float32(data: NDArray[np.float32]) -> NDArray[np.float32]:
    if data.dtype != np.float32:
        raise UsageError(f"the kernels take float32, not {data.dtype}; convert the data.")
    return np.ascontiguousarray(data)


def _float64(data: ArrayLike) -> NDArray[np.float64]:
    return np.ascontiguousarray(data, np.float64)
