"""What is built is the same however much room was foreseen, and what is equal is stored once."""

from __future__ import annotations

import mmap

import flatbuffers
import numpy as np
import pytest
from edgewright.runtimes.litert.sharing import SharingBuilder


def _built(builder: flatbuffers.Builder, texts: list[bytes]) -> None:
    places = [builder.CreateString(text) for text in texts]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    builder.Finish(builder.EndVector(), b"TEST")


@pytest.mark.parametrize("room", [1 << 9, 1 << 16, 9 << 20])
def test_the_bytes_are_those_of_a_builder_without_foresight(room: int) -> None:
    random = np.random.default_rng(0)
    texts = [random.integers(1, 256, size, np.uint8).tobytes() for size in (10, 3000, 5 << 20 if room > 1 << 20 else 7)]
    plain, sharing = flatbuffers.Builder(0), SharingBuilder(room)
    _built(plain, texts)
    _built(sharing, texts)
    is_grown = not isinstance(sharing.Bytes, mmap.mmap)
    assert is_grown == (room < 3000)
    assert sharing.taken() == bytes(plain.Output())
    assert len(sharing.Bytes) == 0


def test_equal_strings_and_vectors_are_written_once() -> None:
    builder = SharingBuilder(1 << 12)
    assert builder.CreateString("same") == builder.CreateString("same") != builder.CreateString("other")
    assert builder.CreateNumpyVector(np.arange(5, dtype=np.int32)) == builder.CreateNumpyVector(np.arange(5, dtype=np.int32))
