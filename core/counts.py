"""Histogram counts on a grid of powers of two: exactly mergeable, in any order, with the standard library alone.

A bin is [(first + k) * 2**exponent, (first + k + 1) * 2**exponent). The exponent is the smallest for which the filled bins
span at most `bins`, so it follows from the smallest and the largest value alone; a coarser grid's bins are unions of a finer
one's. Counts of parts, merged in whatever order, therefore equal the counts of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import DataError, UsageError

MIN_EXPONENT, MAX_EXPONENT = -126, 126
MAX_POSITION = 1 << 30
MIN_BINS, MAX_BINS = 16, 1 << 16


def coarser(exponent: int, first: int, last: int, bins: int) -> int:
    """Smallest exponent, at least the given one, at which positions `first` to `last` span at most `bins` bins."""
    while last - first >= bins or first < -MAX_POSITION or last >= MAX_POSITION - bins:
        exponent, first, last = exponent + 1, first >> 1, last >> 1
    return exponent


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of values; the first and the last count are not zero, and without values there is none."""

    bins: int
    exponent: int = MIN_EXPONENT
    first: int = 0
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the invariants; raises DataError."""
        if not MIN_BINS <= self.bins <= MAX_BINS:
            raise DataError(f"a histogram of {self.bins} bins is not possible; ask for {MIN_BINS} to {MAX_BINS}.")
        if not self.counts:
            return
        last = self.first + len(self.counts) - 1
        whole = MIN_EXPONENT <= self.exponent <= MAX_EXPONENT and min(self.counts) >= 0
        tight = self.counts[0] > 0 and self.counts[-1] > 0
        if not (whole and tight and coarser(self.exponent, self.first, last, self.bins) == self.exponent):
            raise DataError("the histogram's counts are not on their grid; count the data again.")

    @property
    def total(self) -> int:
        """Number of values."""
        return sum(self.counts)

    @property
    def width(self) -> float:
        """Width of a bin."""
        return 2.0**self.exponent

    def edges(self) -> list[float]:
        """The len(counts) + 1 edges of the bins, exact."""
        return [(self.first + k) * self.width for k in range(len(self.counts) + 1)] if self.counts else []

    def at(self, exponent: int) -> Counts:
        """The same values on a coarser grid; raises UsageError when `exponent` is a finer one."""
        step = exponent - self.exponent
        if not self.counts or step == 0:
            return self
        if step < 0:
            raise UsageError(f"counts on a grid of 2**{self.exponent} cannot be put on one of 2**{exponent}; count again.")
        first = self.first >> step
        counts = [0] * (((self.first + len(self.counts) - 1) >> step) - first + 1)
        for k, count in enumerate(self.counts):
            counts[((self.first + k) >> step) - first] += count
        return Counts(self.bins, exponent, first, tuple(counts))

    def merge(self, other: Counts) -> Counts:
        """Counts of both; associative and commutative. Raises UsageError when the numbers of bins differ."""
        if self.bins != other.bins:
            raise UsageError(f"histograms of {self.bins} and {other.bins} bins cannot be merged; count with one number.")
        if not self.counts or not other.counts:
            return self if self.counts else other
        exponent = max(self.exponent, other.exponent)
        one, two = _positions(self, exponent), _positions(other, exponent)
        exponent = coarser(exponent, min(one[0], two[0]), max(one[1], two[1]), self.bins)
        left, right = self.at(exponent), other.at(exponent)
        first = min(left.first, right.first)
        counts = [0] * (max(left.first + len(left.counts), right.first + len(right.counts)) - first)
        for part in (left, right):
            for k, count in enumerate(part.counts):
                counts[part.first - first + k] += count
        return Counts(self.bins, exponent, first, tuple(counts))

    def to_json(self) -> dict[str, Any]:
        """JSON object; equal counts give equal objects."""
        return {"bins": self.bins, "exponent": self.exponent, "first": self.first, "counts": list(self.counts)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Counts:
        """Inverse of `to_json`; raises DataError on anything else."""
        try:
            bins, exponent, first = value["bins"], value["exponent"], value["first"]
            counts: Sequence[Any] = value["counts"]
            if not all(type(number) is int for number in (bins, exponent, first, *counts)):
                raise TypeError
        except (KeyError, TypeError) as error:
            raise DataError("the histogram is not an object with the integers bins, exponent, first and counts.") from error
        return Counts(bins, exponent, first, tuple(counts))


def _positions(counts: Counts, exponent: int) -> tuple[int, int]:
    step = exponent - counts.exponent
    return counts.first >> step, (counts.first + len(counts.counts) - 1) >> step
