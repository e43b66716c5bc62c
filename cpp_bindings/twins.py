"""The kernels in numpy: same arguments, same results, for a device without the native module.

Counts, minima and maxima are equal to the native ones; sums of float64 differ in their order, so within 1e-12 of the
sum of magnitudes; divergences within 1e-9.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PIECE = 1 << 18


def summarize(
    data: NDArray[np.float32],
    minimum: NDArray[np.float32],
    maximum: NDArray[np.float32],
    total: NDArray[np.float64],
    nan: NDArray[np.int64],
    infinite: NDArray[np.int64],
    threads: int,
) -> None:
    """Fill the five arrays by channel of data [outer, channels, inner]; see `kernels.summarize`."""
    minimum[:] = np.inf
    maximum[:] = -np.inf
    total[:] = 0.0
    nan[:] = 0
    infinite[:] = 0
    if data.size == 0:
        return
    finite = np.isfinite(data)
    if finite.all():
        np.minimum(minimum, data.min(axis=(0, 2)), out=minimum)
        np.maximum(maximum, data.max(axis=(0, 2)), out=maximum)
        total[:] = data.sum(axis=(0, 2), dtype=np.float64)
        return
    minimum[:] = np.where(finite, data, np.float32(np.inf)).min(axis=(0, 2))
    maximum[:] = np.where(finite, data, np.float32(-np.inf)).max(axis=(0, 2))
    total[:] = np.where(finite, data, np.float32(0)).sum(axis=(0, 2), dtype=np.float64)
    nan[:] = np.isnan(data).sum(axis=(0, 2))
    infinite[:] = np.isinf(data).sum(axis=(0, 2))


def count_on_grid(data: NDArray[np.float32], exponent: int, first: int, counts: NDArray[np.int64], threads: int) -> None:
    """Add to counts [bins + 1]; see `kernels.count_on_grid`."""
    bins = counts.size - 1
    for start in range(0, data.size, _PIECE):
        piece = data[start : start + _PIECE].astype(np.float64)
        piece = piece[np.isfinite(piece)]
        index = np.floor(np.ldexp(piece, -exponent)) - first
        index = index[(index >= 0) & (index < bins)].astype(np.int64)
        counts[:bins] += np.bincount(index, minlength=bins)
        counts[bins] += min(_PIECE, data.size - start) - index.size


def quantization_errors(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    scales: NDArray[np.float64],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
    errors: NDArray[np.float64],
    threads: int,
) -> None:
    """Fill errors [candidates]; see `kernels.quantization_errors`."""
    for j, scale in enumerate(scales):
        steps = np.rint(np.clip(values / scale, lowest[j], highest[j]))
        errors[j] = np.dot(weights, (values - steps * scale) ** 2)


def row_errors(
    data: NDArray[np.float32],
    scales: NDArray[np.float64],
    lowest: float,
    highest: float,
    errors: NDArray[np.float64],
    threads: int,
) -> None:
    """Fill errors [rows, candidates]; see `kernels.row_errors`."""
    wide = data.astype(np.float64)
    for j in range(scales.shape[1]):
        scale = scales[:, j : j + 1]
        steps = np.rint(np.clip(wide / scale, lowest, highest))
        errors[:, j] = ((wide - steps * scale) ** 2).sum(axis=1)


def divergences(counts: NDArray[np.float64], levels: int, result: NDArray[np.float64], threads: int) -> None:
    """Fill result [bins + 1]; see `kernels.divergences`."""
    result[:] = np.inf
    mass = np.concatenate([[0.0], np.cumsum(counts)])
    filled = np.concatenate([[0.0], np.cumsum(counts > 0.0)])
    entropy = np.concatenate([[0.0], np.cumsum(_entropy(counts))])
    last = np.maximum.accumulate(np.where(counts > 0.0, np.arange(counts.size), 0))
    total = mass[-1]
    for used in range(levels, counts.size + 1):
        kept = mass[used]
        if kept == 0.0:
            continue
        end, beyond = last[used - 1], total - kept
        edges = -(-np.arange(levels + 1) * used // levels)
        own = np.diff(mass[edges])
        spread = np.diff(filled[edges])
        there = own > 0.0
        model = np.log(own[there] / spread[there])
        own[np.searchsorted(edges, end, side="right") - 1] += beyond
        tail = _entropy(counts[end] + beyond) - _entropy(counts[end])
        result[used] = (entropy[used] + tail - np.dot(own[there], model)) / total + np.log(kept / total)


def _entropy(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mass * log(mass), zero where there is none."""
    return np.asarray(mass * np.log(np.where(mass > 0.0, mass, 1.0)))
