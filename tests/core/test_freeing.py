"""What refers to itself alone goes, and its memory with it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
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
