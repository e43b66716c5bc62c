"""Bytes that wait in a temporary file without a name until somebody wants them."""

from __future__ import annotations

import tempfile
from typing import IO

from .errors import StoreError

_BUFFERED_BYTES = 1 << 20


class Spool:
    """One file, whatever is added, gone with this object. Methods raise StoreError when the disk refuses. Not thread-safe."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0

    def add(self, data: bytes) -> int:
        """Where `data` begins."""
        place = self._end
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=_BUFFERED_BYTES, prefix="edgewright-")  # noqa: SIM115
            self._file.seek(place)
            self._file.write(data)
        except OSError as error:
            raise no_scratch(error) from error
        self._end += len(data)
        return place

    def read_into(self, place: int, target: memoryview) -> None:
        """Fill `target` with what was added at `place`; raises ValueError where less was added."""
        if place + len(target) > self._end:
            raise ValueError(f"{len(target)} bytes at {place} were never added, of {self._end}")
        try:
            if self._file is not None and len(target) > 0:
                self._file.seek(place)
                self._file.readinto(target)  # type: ignore[attr-defined]
        except OSError as error:
            raise no_scratch(error) from error


def no_scratch(error: OSError) -> StoreError:
    """What is said where a temporary file cannot be written."""
    return StoreError(
        f"cannot write a temporary file in {tempfile.gettempdir()}: {error.strerror or error}; free some space or "
        "point TMPDIR to another disk."
    )
