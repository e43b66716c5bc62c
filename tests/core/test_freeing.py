"""What refers to itself alone goes, and its memory with it."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from edgewright.core.freeing import give_back
from edgewright.core.resident import resident_bytes


class Held:
    """What refers to itself through a list."""

    def __init__(self, ring: list[object]) -> None:
        self.ring = ring
        ring.append(self)


PIECES, PIECE_FLOATS = 1600, 20_000


def test_a_process_that_did_not_grow_collects_nothing() -> None:
    give_back()
    gc.disable()
    try:
        alive = weakref.ref(Held([]))
        give_back()
        assert alive() is not None
        gc.collect()
        assert alive() is None
    finally:
        gc.enable()


def test_memory_of_what_refers_to_itself_is_given_back() -> None:
    gc.disable()
    try:
        before = resident_bytes()
        ring: list[object] = [np.ones(PIECE_FLOATS, np.float32) for _ in range(PIECES)]
        ring.append(ring)
        held = resident_bytes() - before
        del ring
        give_back()
        kept = resident_bytes() - before
    finally:
        gc.enable()
    assert held > PIECES * PIECE_FLOATS * 4 * 0.8
    assert kept < held / 4


_LARGE_AND_SMALL = """
import numpy as np
from edgewright.core.freeing import freed_at_once
from edgewright.core.resident import resident_bytes

np.ones(5 << 20, np.float32)  # freed: from here on the allocator would keep pieces up to this size

def kept():
    before = resident_bytes()
    pieces = [np.ones(size, np.float32) for _ in range(300) for size in (50_000, 10)]
    held = resident_bytes() - before
    assert held > 300 * 200_000 * 0.9, held
    del pieces[::2]  # the small ones stay, each above a large one
    return (resident_bytes() - before) / held

with freed_at_once():
    with freed_at_once():
        pass
    within = kept()
print(within, kept())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this allocator keeps what it likes")
def test_large_pieces_are_freed_at_once_wherever_they_lie() -> None:
    """In a process of its own, whose heap has no holes yet."""
    done = subprocess.run([sys.executable, "-c", _LARGE_AND_SMALL], capture_output=True, text=True, check=True)
    within, outside = map(float, done.stdout.split())
    assert within < 0.1
    assert outside > 0.5  # as ever
