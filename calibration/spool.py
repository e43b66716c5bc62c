"""Rows of arrays that lie in files, read by position, and the temporary files that compressed data are unpacked into.

Positional reads, not memory maps: a map's pages count as resident memory, and grow with the samples that were seen.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, StoreError

_BLOCK_BYTES = 32 << 20


class Rows(Protocol):
    """An array [n, ...] whose rows can be taken by index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape, samples first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows [k, ...] at `indices`, in that order."""


class MemoryRows:
    """Rows of an array in memory."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self._array.dtype

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows at `indices`."""
        return np.asarray(self._array[np.asarray(indices, dtype=np.intp)])


class TextRows:
    """Rows of text [n]; one long text does not widen the others, as an array of strings would have it."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [sys.intern(text) for text in texts]

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape."""
        return (len(self._texts),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Text of any width."""
        return np.dtype(np.str_)

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows at `indices`."""
        return np.array([self._texts[index] for index in indices], np.str_)


class FieldRows:
    """Fields of a two-dimensional array: `[n, k]`, or `[n]` for one field that stands alone."""

    def __init__(self, parent: Rows, fields: tuple[int, ...], *, is_single: bool) -> None:
        self.parent = parent
        self._fields: int | list[int] = fields[0] if is_single else list(fields)
        self._shape = (parent.shape[0],) if is_single else (parent.shape[0], len(fields))

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.parent.dtype

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows at `indices`."""
        return self.pick(self.parent.take(indices))

    def pick(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The fields of rows of the parent."""
        return np.ascontiguousarray(rows[:, self._fields])


class FileRows:
    """Rows of a C-ordered array at `offset` of an open file."""

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
        self._file = file
        self._offset = offset
        self._shape = shape
        self._dtype = dtype
        self._where = where
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements, in the machine's byte order."""
        return self._dtype.newbyteorder("=")

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows at `indices`; neighbours are read in one go. Raises DataError where the file ends too early."""
        rows = np.empty((len(indices), *self._shape[1:]), self._dtype)
        if rows.nbytes:
            target = rows.reshape(-1).view(np.uint8).data
            start = 0
            while start < len(indices):
                stop = start + 1
                while stop < len(indices) and indices[stop] == indices[stop - 1] + 1:
                    stop += 1
                self._read(int(indices[start]) * self._row_bytes, target[start * self._row_bytes : stop * self._row_bytes])
                start = stop
        return rows.astype(self.dtype, copy=False)

    def _read(self, position: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self._file.fileno(), [target[done:]], self._offset + position + done)
            except OSError as error:
                raise DataError(f"cannot read {self._where}: {error.strerror or error}; check the disk.") from error
            if count == 0:
                raise DataError(f"{self._where} ends before its last sample; the file is truncated, write it anew.")
            done += count


def spool_file(needed_bytes: int, where: str) -> IO[bytes]:
    """A file without a name in the cache folder ($EDGEWRIGHT_CACHE, else ~/.cache/edgewright): gone when the process ends.

    Raises StoreError when `needed_bytes` do not fit on the disk.
    """
    folder = Path(os.environ.get("EDGEWRIGHT_CACHE") or _user_cache() / "edgewright")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed_bytes > free:
            raise StoreError(
                f"unpacking {where} takes {needed_bytes} bytes and {folder} has {free} free; "
                "free some space or point EDGEWRIGHT_CACHE to another disk."
            )
        return tempfile.TemporaryFile(dir=folder)  # the caller's array keeps it open
    except OSError as error:
        raise StoreError(
            f"cannot unpack {where} into {folder}: {error.strerror or error}; point EDGEWRIGHT_CACHE to a writable folder."
        ) from error


class RowWriter:
    """Writes rows of one shape and type, one after the other, into a spool file, and gives them back as `Rows`."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], where: str, limit_bytes: int) -> None:
        """`shape` is that of one row; raises DataError beyond `limit_bytes`."""
        self.shape = shape
        self.dtype = dtype
        self._where = where
        self._limit_bytes = limit_bytes
        self._count = 0
        self._row_bytes = math.prod(shape) * dtype.itemsize
        self._file = spool_file(0, where)

    def write(self, rows: NDArray[Any]) -> None:
        """Append rows [k, *shape]."""
        if (self._count + len(rows)) * self._row_bytes > self._limit_bytes:
            raise DataError(f"{self._where} holds more than {self._limit_bytes} bytes; give it as an uncompressed .npz.")
        write_all(self._file, np.ascontiguousarray(rows, self.dtype), self._where)
        self._count += len(rows)

    def rows(self) -> FileRows:
        """All that was written."""
        self._file.flush()
        return FileRows(self._file, 0, (self._count, *self.shape), self.dtype, self._where)


def write_all(file: IO[bytes], data: NDArray[Any], where: str) -> None:
    """Write an array's bytes; raises StoreError when the disk is full."""
    try:
        file.write(data.reshape(-1).view(np.uint8).data if data.nbytes else b"")
    except OSError as error:
        raise StoreError(
            f"cannot unpack {where}: {error.strerror or error}; free some space or point EDGEWRIGHT_CACHE to another disk."
        ) from error


def in_c_order(file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> FileRows:
    """Rows of an array that lies in Fortran order: transposed once, block by block, into a spool file."""
    count, inner = shape[0], math.prod(shape[1:])
    source = FileRows(file, offset, (inner, count), dtype, where)
    spool = spool_file(count * inner * dtype.itemsize, where)
    block = max(1, _BLOCK_BYTES // max(1, count * dtype.itemsize))
    row_bytes = inner * dtype.itemsize
    try:
        for start in range(0, inner, block):
            piece = source.take(range(start, min(start + block, inner)))
            across = np.ascontiguousarray(piece.T)
            for row in range(count):
                data = across[row].view(np.uint8).data
                if os.pwrite(spool.fileno(), data, row * row_bytes + start * dtype.itemsize) != len(data):
                    raise StoreError(f"cannot unpack {where}: the disk is full; free some space.")
    except OSError as error:
        raise StoreError(f"cannot unpack {where}: {error.strerror or error}; free some space.") from error
    # Fortran order reverses the axes of a row too.
    return _ReversedRows(spool, 0, (count, *shape[:0:-1]), dtype.newbyteorder("="), where)


class _ReversedRows(FileRows):
    """Rows whose own axes lie reversed in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape, axes in the order of the array."""
        return (self._shape[0], *self._shape[:0:-1])

    def take(self, indices: Sequence[int]) -> NDArray[Any]:
        """Rows at `indices`."""
        rows = super().take(indices)
        return np.ascontiguousarray(rows.transpose(0, *range(rows.ndim - 1, 0, -1)))


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
