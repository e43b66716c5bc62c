"""Giving memory back between the steps of long work.

A graph's nodes and values refer to each other, so that a model which nobody has any more stays until the next full collection,
and the allocator keeps what was freed in small pieces. Between two steps on a large model that is a model's worth or more.
"""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect what only refers to itself, and let the allocator return what is free (glibc; elsewhere nothing more)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
