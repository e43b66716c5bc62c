"""Packing a flatbuffer so that what is equal is stored once: strings, vectors of numbers, and whole tables."""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

_PIECE_BYTES = 1 << 22  # a whole number of pages


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that gives the place of an equal string or vector which it has written before."""

    def __init__(self, size_bytes: int) -> None:
        """Room for `size_bytes` from the start: a builder that grows holds its content twice, in steps of twice its size."""
        super().__init__(1)
        # Of its own pages, so that they can be given back one by one.
        self.Bytes: bytearray | mmap.mmap = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.head = size_bytes
        self._written: dict[Any, Any] = {}

    def taken(self) -> bytes:
        """What was built; the builder has nothing afterwards. Never are both there whole."""
        file, start, end = io.BytesIO(), self.Head(), len(self.Bytes)
        with memoryview(self.Bytes) as built:
            while start < end:
                stop = min((start // _PIECE_BYTES + 1) * _PIECE_BYTES, end)
                file.write(built[start:stop])
                if isinstance(self.Bytes, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                    self.Bytes.madvise(mmap.MADV_DONTNEED, start // _PIECE_BYTES * _PIECE_BYTES, stop - start)
                start = stop
        self.Bytes = bytearray()
        return file.getvalue()

    def once(self, key: Any, write: Callable[[], Any]) -> Any:
        """The place of what was written under `key`, or of what `write` writes now."""
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> Any:  # noqa: N802 - its name there
        """Write a string, unless it is there."""
        write = super().CreateString
        return self.once(("string", s), lambda: write(s, encoding, errors))

    def CreateNumpyVector(self, x: NDArray[Any]) -> Any:  # noqa: N802 - its name there
        """Write a vector, unless it is there."""
        write = super().CreateNumpyVector
        return self.once((x.dtype.str, x.tobytes()), lambda: write(x))


class SharedTable:
    """A table whose equals are stored once. It has no table within: its fields are numbers, strings and vectors of numbers."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def Pack(self, builder: SharingBuilder) -> Any:  # noqa: N802 - the schema's name
        """Write the table, unless it is there; gives its place in the builder."""
        fields = tuple(sorted((name, _hashable(value)) for name, value in vars(self.table).items()))
        return builder.once((type(self.table), fields), lambda: self.table.Pack(builder))


def _hashable(value: Any) -> str:
    return f"{value.dtype.str}{value.tolist()}" if isinstance(value, np.ndarray) else repr(value)
