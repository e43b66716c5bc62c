"""Many windows' bytes at once into an array of counts, and their sums by device: thousands in a moment.

Windows of one artifact differ in their numbers only: behind the same head (version, model, digest) stand as many LEB128 numbers
in each. So all of them are read together, byte places at a time, in place of one number at a time; what comes out is what
`Window.decode` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ...core.errors import ProtocolError
from ..protocol.window import ERROR_KINDS, LATENCY_BINS, Window

Counts = NDArray[np.int64]

_TIMES = 2  # start, end
_HEAD = 6  # start, end, merged, requests, samples, unseen
_MOST_BYTES = 9  # of a LEB128 number below 2**63
_AT_ONCE = 256  # windows that are decoded together, so that they stay near the processor
_MOST_COUNT = float(2**56)  # in a sum, so that windows of some days can be added to it within 64 bits
_MOST_OF_WINDOW = 2**40  # in one device's window: 300 million values a second for an hour


@dataclass(frozen=True)
class Layout:
    """Where numbers stand in a row of an artifact whose tensors have so many counts each."""

    model: str
    sha256: str
    lengths: tuple[int, ...]

    @cached_property
    def head(self) -> bytes:
        """What every window's bytes begin with."""
        empty = Window(self.model, self.sha256, 0, 0, 1, 0, 0, 0, (0,) * len(ERROR_KINDS), (0,) * LATENCY_BINS, ())
        return empty.encode()[: -(_HEAD + len(ERROR_KINDS) + LATENCY_BINS + 1)]

    @property
    def requests(self) -> int:
        """Column of requests."""
        return 3

    @property
    def samples(self) -> int:
        """Column of samples."""
        return 4

    @property
    def errors(self) -> slice:
        """Columns of errors by kind."""
        return slice(_HEAD, _HEAD + len(ERROR_KINDS))

    @property
    def latency(self) -> slice:
        """Columns of latency by bin."""
        return slice(self.errors.stop, self.errors.stop + LATENCY_BINS)

    @cached_property
    def tensors(self) -> tuple[slice, ...]:
        """Columns of each tensor's counts."""
        found, at = [], self.latency.stop + 1
        for length in self.lengths:
            found.append(slice(at + 1, at + 1 + length))
            at += 1 + length
        return tuple(found)

    @property
    def columns(self) -> int:
        """Numbers of a row."""
        return int(self.latency.stop) + 1 + len(self.lengths) + sum(self.lengths)

    def decode(self, windows: Sequence[bytes]) -> Counts:
        """Windows as `Window.encode` gives them, int64 [windows, columns].

        Raises ProtocolError for one of another shape, or with a count that no device reaches, which would outweigh all others.
        """
        size = len(self.head)
        if any(data[:size] != self.head for data in windows):
            raise ProtocolError(f"a window is not of {self.model!r} {self.sha256[:12]}, or of another version.")
        found = np.zeros((len(windows), self.columns), np.int64)
        for begin in range(0, len(windows), _AT_ONCE):
            some = windows[begin : begin + _AT_ONCE]
            numbers = _leb128(np.frombuffer(b"".join(data[size:] for data in some), np.uint8))
            if numbers.size != len(some) * self.columns:
                raise self._wrong()
            found[begin : begin + _AT_ONCE] = numbers.reshape(len(some), self.columns)
        fits = (found[:, self._shape] == [len(self.lengths), *self.lengths]).all()
        if not fits or (found < 0).any():
            raise self._wrong()
        if found.max(initial=0) > _MOST_OF_WINDOW:
            raise ProtocolError(f"a window of {self.model!r} {self.sha256[:12]} has a count above {_MOST_OF_WINDOW:,}.")
        return found

    def fits(self, data: bytes) -> bool:
        """Whether a window is one that `decode` takes."""
        try:
            self.decode([data])
        except ProtocolError:
            return False
        return True

    def window(self, row: Counts) -> Window:
        """A row as a window; inverse of `decode`."""
        start, end, merged, requests, samples, unseen = map(int, row[:_HEAD])
        errors, latency, *tensors = (tuple(map(int, row[at])) for at in (self.errors, self.latency, *self.tensors))
        return Window(self.model, self.sha256, start, end, merged, requests, samples, unseen, errors, latency, tuple(tensors))

    def merge(self, rows: Counts, owners: NDArray[np.intp], count: int) -> Counts:
        """Rows merged by owner, int64 [count, columns], as `Window.merge` merges; `owners` int [rows] are below `count`.

        An owner without rows has start and end 0 and merged 0. Raises ProtocolError where a sum exceeds what a count may be.
        """
        found = np.zeros((count, self.columns), np.int64)
        if not len(rows):
            return found
        order = np.argsort(owners, kind="stable")
        own, starts, sizes = np.unique(owners[order], return_index=True, return_counts=True)
        _check_sum(rows, int(sizes.max()))
        if len(rows) == len(own):
            found[owners] = rows
            return found
        # A sum over rows is a product with a matrix of ones, which goes through each row once.
        ones = csr_array((np.ones(len(rows), np.int64), (owners, np.arange(len(rows)))), shape=(count, len(rows)))
        found = np.asarray(ones @ rows, np.int64)
        found[own, 0] = np.minimum.reduceat(rows[order, 0], starts)
        found[own, 1] = np.maximum.reduceat(rows[order, 1], starts)
        found[own[:, None], self._shape] = [len(self.lengths), *self.lengths]
        return found

    def merge_all(self, rows: Counts) -> Counts:
        """All rows, one or more, as one, int64 [columns]; raises ProtocolError where a sum exceeds what a count may be."""
        _check_sum(rows, len(rows))
        found: Counts = rows.sum(axis=0)
        found[0], found[1] = rows[:, 0].min(), rows[:, 1].max()
        found[self._shape] = [len(self.lengths), *self.lengths]
        return found

    @cached_property
    def _shape(self) -> list[int]:
        """Columns that say how many tensors and counts there are."""
        return [self.latency.stop, *(at.start - 1 for at in self.tensors)]

    def _wrong(self) -> ProtocolError:
        return ProtocolError(f"a window of {self.model!r} {self.sha256[:12]} has not the bins of its artifact.")


def _check_sum(rows: Counts, most: int) -> None:
    """Raises ProtocolError where sums of at most `most` of the rows might exceed what a count may be."""
    if float(rows.max()) * most > _MOST_COUNT and float(rows.sum(axis=0, dtype=np.float64).max()) > _MOST_COUNT:
        raise ProtocolError("counts of windows are too large to be added.")


def _leb128(data: NDArray[np.uint8]) -> Counts:
    """All LEB128 numbers in their order; raises ProtocolError for one that is cut off or longer than a count may be."""
    ends = np.flatnonzero(data < 0x80)
    if not len(data):
        return np.zeros(0, np.int64)
    if not len(ends) or ends[-1] != len(data) - 1:
        raise ProtocolError("the telemetry ends within a number.")
    starts = np.concatenate([[0], ends[:-1] + 1])
    found: Counts = (data[starts] & 0x7F).astype(np.int64)
    longer = np.flatnonzero(ends > starts)
    for byte in range(1, _MOST_BYTES + 1):
        if not len(longer):
            return found
        if byte == _MOST_BYTES:
            raise ProtocolError("a number of the telemetry is too long.")
        found[longer] |= (data[starts[longer] + byte] & 0x7F).astype(np.int64) << (7 * byte)
        longer = longer[ends[longer] > starts[longer] + byte]
    return found
