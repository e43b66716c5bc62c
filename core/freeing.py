"""Giving memory back between the steps of long work.

A graph's nodes and values refer to each other, so that a model which nobody has any more stays until the next full collection,
and the allocator keeps what was freed in small pieces. Between two steps on a large model that is a model's worth or more. A
full collection walks through every object of the process, so it is done only where there is something to win.
"""

from __future__ import annotations

import ctypes
import gc

from .mapping import forget_pages
from .resident import resident_bytes

_WORTH_BYTES = 64 << 20  # that the process must have grown by for a collection


class _Since:
    """The least that the process has held since memory was last given back, in bytes."""

    least = 0


def give_back() -> None:
    """Let go of mapped arrays; where the process grew by 64 MiB since the last time, collect what only refers to itself, and
    let it be returned.

    The allocator that returns it is glibc's; elsewhere only the collection is done. Without /proc it is done every time.
    """
    forget_pages()
    held = resident_bytes()
    _Since.least = min(_Since.least, held)
    if held and held - _Since.least < _WORTH_BYTES:
        return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _Since.least = resident_bytes()
