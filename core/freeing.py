"""Giving memory back between the steps of long work.

A graph's nodes and values refer to each other, so that a model which nobody has any more stays until the next full collection,
and the allocator keeps what was freed in small pieces. Between two steps on a large model that is a model's worth or more. A
full collection walks through every object of the process, so it is done only where there is something to win.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from collections.abc import Iterator

from .mapping import forget_pages
from .resident import resident_bytes

_WORTH_BYTES = 64 << 20  # that the process must have grown by for a collection
# glibc, malloc.h and mallopt(3): from which size on an allocation is pages of its own, and how much free heap is kept.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_OWN_PAGES_BYTES = 128 << 10  # where glibc begins, before it learns from what is freed
_LEARNED_BYTES = 32 << 20  # the most that it learns


class _Since:
    """The least that the process has held since memory was last given back, in bytes."""

    least = 0


class _Blocks:
    """How many blocks of `freed_at_once` are open."""

    lock, count = threading.Lock(), 0


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


@contextlib.contextmanager
def freed_at_once() -> Iterator[None]:
    """Within the block what is larger than 128 KiB is the system's again as soon as it is freed.

    Otherwise glibc learns from large pieces that are freed to keep such pieces in its heap, where what lies above them holds
    them: reading or lowering a model then peaks at up to four times it. What fits a piece that is free in the heap already is
    taken from there all the same. It costs page faults, so work that makes and drops arrays over and over (training, running)
    stands outside. Elsewhere than on glibc nothing happens.
    """
    give_back()  # first, or what the block takes comes on top of what is free
    _set_threshold(1)
    try:
        yield
    finally:
        _set_threshold(-1)


def _set_threshold(change: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    with _Blocks.lock:
        _Blocks.count += change
        # Any setting ends the learning; what stands outside is given what it would have learned.
        mallopt(_MMAP_THRESHOLD, _OWN_PAGES_BYTES if _Blocks.count else _LEARNED_BYTES)
        mallopt(_TRIM_THRESHOLD, _OWN_PAGES_BYTES if _Blocks.count else 2 * _LEARNED_BYTES)
