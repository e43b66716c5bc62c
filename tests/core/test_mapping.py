"""Arrays in a file without a name: what they were, nothing on the disk that somebody finds, and no memory while unread."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from edgewright.core.errors import StoreError
from edgewright.core.freeing import give_back
from edgewright.core.mapping import is_mapped, mapped
from edgewright.core.resident import resident_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

MEGA = 1 << 20


@given(
    st.lists(
        st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.float16]).flatmap(
            lambda kind: arrays(kind, array_shapes(min_dims=0, min_side=0, max_side=5))
        ),
        max_size=4,
    )
)
def test_every_array_is_what_it_was(given_arrays: list[np.ndarray]) -> None:
    found = mapped(given_arrays)
    assert len(found) == len(given_arrays)
    for before, after in zip(given_arrays, found, strict=True):
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert after.tobytes() == before.tobytes()
        assert is_mapped(after)
        assert not after.flags.writeable


def test_what_lies_in_memory_is_not_mapped() -> None:
    assert not is_mapped(np.ones(3)[1:])
    assert not is_mapped(np.frombuffer(b"abcd", np.uint8))


def test_the_file_has_no_name_and_its_pages_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (array,) = mapped([np.arange(16 * MEGA, dtype=np.float32)])
    assert list(tmp_path.iterdir()) == []
    before = resident_bytes()
    total = array.sum(dtype=np.float64)
    read = resident_bytes()
    give_back()
    assert read - before > 48 * MEGA
    assert resident_bytes() - before < 16 * MEGA
    assert array.sum(dtype=np.float64) == total  # and is read again


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match=r"temporary file in .*missing.*point TMPDIR"):
        mapped([np.ones(4)])
