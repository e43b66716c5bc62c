"""What refers to itself alone goes, and its memory with it."""

from __future__ import annotations

import gc

import numpy as np
from edgewright.core.freeing import give_back
from edgewright.runtimes.bench.resident import resident_bytes

PIECES, PIECE_FLOATS = 400, 20_000


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
