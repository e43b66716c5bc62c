"""Filling histograms as data stream by: memory by bins, never by samples. Loads numpy and the kernels, no more."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..core.counts import MAX_BINS, MIN_BINS, MIN_EXPONENT, Counts, coarser
from ..core.errors import UsageError
from ..cpp_bindings import kernels


class GrowingHistogram:
    """Counts on a grid of powers of two that coarsens as the range grows.

    What `counts` gives depends on the values alone, not on their order nor on how they were cut into pieces.
    """

    def __init__(self, bins: int, threads: int = 1) -> None:
        """Start empty; raises UsageError when `bins` is out of range."""
        if not MIN_BINS <= bins <= MAX_BINS:
            raise UsageError(f"a histogram of {bins} bins is not possible; ask for {MIN_BINS} to {MAX_BINS}.")
        self._bins = bins
        self._threads = threads
        self._exponent = MIN_EXPONENT
        self._low, self._high = 0, -1
        self._counts = np.zeros(bins, np.int64)

    def add(self, data: NDArray[np.float32], minimum: float, maximum: float) -> None:
        """Count the finite values of `data`, whose smallest and largest are `minimum` and `maximum`."""
        if minimum > maximum:
            return
        low, high = _position(minimum, self._exponent), _position(maximum, self._exponent)
        if self._low <= self._high:
            low, high = min(low, self._low), max(high, self._high)
        exponent = coarser(self._exponent, low, high, self._bins)
        step = exponent - self._exponent
        low, high = low >> step, high >> step
        self._regrid(step, low)
        self._exponent, self._low, self._high = exponent, low, high
        self._counts += kernels.count_on_grid(data, exponent, low, self._bins, self._threads)[:-1]

    def counts(self) -> Counts:
        """The counts so far."""
        if self._low > self._high:
            return Counts(self._bins)
        counts = self._counts[: self._high - self._low + 1]
        return Counts(self._bins, self._exponent, self._low, tuple(int(count) for count in counts))

    def _regrid(self, step: int, low: int) -> None:
        """Move the counts to the grid that is `step` powers coarser and starts at position `low`."""
        if self._low > self._high or (step == 0 and low == self._low):
            return
        filled = np.flatnonzero(self._counts)
        places = np.array([((self._low + int(k)) >> step) - low for k in filled], np.int64)
        moved = np.zeros(self._bins, np.int64)
        np.add.at(moved, places, self._counts[filled])
        self._counts = moved


def _position(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))
