"""Watching one tensor as its batches stream by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..cpp_bindings import kernels
from .histogram import GrowingHistogram
from .statistics import TensorStatistics

DEFAULT_BINS = 2048


class TensorObserver:
    """Keeps the extremes, the sum and a histogram of a tensor; with `channels` the sums along axis 1 too."""

    def __init__(self, name: str, bins: int = DEFAULT_BINS, channels: bool = False, threads: int = 1) -> None:
        """Start with nothing seen."""
        self._name = name
        self._threads = threads
        self._wants_channels = channels
        self._histogram = GrowingHistogram(bins, threads)
        self._minimum, self._maximum = float("inf"), float("-inf")
        self._count = self._infinite = 0
        self._total = 0.0
        self._channel_totals: NDArray[np.float64] | None = None
        self._channel_count = 0

    def observe(self, data: NDArray[Any]) -> None:
        """Add the values of a batch [n, ...]; raises DataError on a NaN."""
        values = np.ascontiguousarray(data, np.float32)
        by_channel = self._wants_channels and values.ndim >= 2
        summary = kernels.summarize(values, 1 if by_channel else None, self._threads)
        if summary.nan.any():
            raise DataError(
                f"the tensor {self._name!r} has {int(summary.nan.sum())} values that are NaN;"
                " remove the samples that cause them, or repair the model."
            )
        finite = values.size - int(summary.infinite.sum())
        self._infinite += values.size - finite
        if by_channel:
            self._add_channels(summary, values)
        if finite == 0:
            return
        minimum, maximum = float(summary.minimum.min()), float(summary.maximum.max())
        self._minimum, self._maximum = min(self._minimum, minimum), max(self._maximum, maximum)
        self._count += finite
        self._total += float(summary.total.sum())
        self._histogram.add(values, minimum, maximum)

    def statistics(self) -> TensorStatistics:
        """What was seen so far; raises DataError when there was no finite value."""
        if self._count == 0:
            raise DataError(f"the tensor {self._name!r} never had a finite value; give calibration data that reach it.")
        means = None if self._channel_totals is None else self._channel_totals / max(self._channel_count, 1)
        return TensorStatistics(
            self._name,
            self._count,
            self._infinite,
            self._minimum,
            self._maximum,
            self._total / self._count,
            self._histogram.counts(),
            means,
        )

    def _add_channels(self, summary: kernels.Summary, values: NDArray[np.float32]) -> None:
        if self._channel_totals is None:
            self._channel_totals = np.zeros(values.shape[1])
        if self._channel_totals.size != values.shape[1]:
            raise DataError(
                f"the tensor {self._name!r} has {values.shape[1]} channels after {self._channel_totals.size};"
                " give samples of one shape."
            )
        self._channel_totals += summary.total
        self._channel_count += values.size // values.shape[1] if values.shape[1] else 0
