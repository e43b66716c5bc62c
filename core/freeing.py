"""Giving memory back between the steps of long work.

A graph's nodes and values refer to each other, so that a model which nobody has any more stays until the next full collection,
and the allocator keeps what was freed in small pieces. Between two steps on a large model that is a model's worth or more. A
full collection walks through every object of the process, so it is done only where there is something to win.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

_WORTH_BYTES = 64 << 20  # that the process must have grown by for a collection


class _Resident:
    """Resident bytes of this process, and the least of them since memory was last given back."""

    def __init__(self) -> None:
        self.least = 0

    @staticmethod
    def now() -> int | None:
        """None where the system does not tell (no Linux)."""
        try:
            return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None


_resident = _Resident()


def give_back() -> None:
    """Where the process grew by 64 MiB since the last time, collect what only refers to itself, and let it be returned.

    The allocator that returns it is glibc's; elsewhere only the collection is done.
    """
    before = _resident.now()
    if before is not None:
        _resident.least = min(_resident.least, before)
        if before - _resident.least < _WORTH_BYTES:
            return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _resident.least = _resident.now() or 0
