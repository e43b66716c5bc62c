"""Attacks on the reader of kept examples: damaged and lying archives. Refused in a sentence, never more memory than told."""

from __future__ import annotations

import contextlib
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.telemetry import sample_file
from hypothesis import example, given
from hypothesis import strategies as st

WHOLE = sample_file.pack({"input.x": np.arange(12, dtype=np.float32)}, {"model": "digits"})
NPY_HEADER = b"\x93NUMPY\x01\x00v\x00"


def archive(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members:
            opened.writestr(name, data)
    return made.getvalue()


def npy(shape: str, data: bytes, descr: str = "|u1") -> bytes:
    told = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    return NPY_HEADER + told.ljust(117).encode() + b"\n" + data


def test_numpy_reads_the_same(tmp_path) -> None:
    (tmp_path / "one.npz").write_bytes(WHOLE)
    with np.load(tmp_path / "one.npz", allow_pickle=False) as loaded:
        assert np.array_equal(loaded["input.x"], np.arange(12, dtype=np.float32))
    assert sample_file.unpack(WHOLE)[1] == {"model": "digits"}


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.booleans())
@example(0, 1, False)
def test_a_changed_byte_or_a_cut(at: int, change: int, is_cut: bool) -> None:
    data = WHOLE[:at] if is_cut else WHOLE[:at] + bytes([WHOLE[at] ^ change]) + WHOLE[at + 1 :]
    with contextlib.suppress(ProtocolError):
        arrays, _ = sample_file.unpack(data)
        # The archive has fields that nothing depends on; what is read is what was written all the same.
        assert all(np.array_equal(array, np.arange(12, dtype=np.float32)) for array in arrays.values())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged"),
        (archive(), "damaged"),
        (archive(("__about__.npy", npy("(4,)", b"[" * 4))), "damaged"),
        (archive(("__about__.npy", npy("(20000,)", b"[" * 20000))), "damaged"),
        (archive(("__about__.npy", npy("(2,)", b"[]"))), "no object"),
        (archive(("x.npy", npy("(999999999999,)", b""))), "does not fit"),
        (archive(("x.npy", npy("(1,)", b"\0" * 8, "|O8"))), "not an array"),
        (archive(("x.npy", npy("(1,)", b"a")), ("x", npy("(1,)", b"b"))), "twice"),
        (archive(*((f"{at}.npy", npy("(0,)", b"")) for at in range(sample_file.MAX_ARRAYS + 1))), "1001 arrays"),
        (bytes(sample_file.MAX_SAMPLE_BYTES + 1), "more than"),
    ],
)
def test_what_is_no_sample(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        sample_file.unpack(data)


def test_a_bomb_takes_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_file, "MAX_PLAIN_BYTES", 1 << 20)
    bomb = archive(*((f"{at}.npy", npy("(900000000,)", bytes(900_000))) for at in range(1, 3)), ("z.npy", bytes(50 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match=r"more than it may|does not fit"):
            sample_file.unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
