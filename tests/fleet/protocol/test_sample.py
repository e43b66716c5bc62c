"""What is known of a kept example is read out of its file without numpy, and from nothing that is not one."""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from edgewright.core.errors import ProtocolError
from edgewright.fleet.protocol.sample import MAX_SAMPLE_BYTES, About
from edgewright.fleet.telemetry import sample_file
from hypothesis import given
from hypothesis import strategies as st

ABOUT = {
    "artifact": "ab" * 32, "at": 5.5, "confidence": 0.25, "consent": "A. Person", "model": "digits", "predicted": 3,
    "reasons": ["random", "low confidence"], "upload": True,
}  # fmt: skip
READ = About("digits", "ab" * 32, 5.5, 0.25, 3, ("random", "low confidence"), "A. Person", True)


def packed(**changes: Any) -> bytes:
    about = {name: value for name, value in {**ABOUT, **changes}.items() if value is not ...}
    return sample_file.pack({"input.x": np.arange(8.0)}, about)


def archive(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members:
            opened.writestr(name, data)
    return made.getvalue()


def test_what_was_packed_is_read() -> None:
    assert About.read(packed()) == READ
    assert About.read(packed(predicted=..., upload=...)) == replace(READ, predicted=None, may_leave=False)
    assert sample_file.unpack(packed())[1] == ABOUT


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "../x"}, {"artifact": "ab"}, {"at": float("nan")}, {"at": -1.0}, {"at": 1e300}, {"at": 5},
        {"confidence": 1.5}, {"confidence": "much"}, {"predicted": -1}, {"predicted": 2**40}, {"predicted": True},
        {"reasons": "random"},
        {"reasons": ["a"] * 11}, {"reasons": ["a\nb"]}, {"consent": "x" * 300}, {"consent": ...}, {"upload": "yes"},
    ],
)  # fmt: skip
def test_what_no_device_tells_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        About.read(packed(**changes))


@given(st.integers(0, len(packed()) - 1), st.integers(1, 255), st.booleans())
def test_a_changed_byte_or_a_cut(at: int, change: int, is_cut: bool) -> None:
    whole = packed()
    data = whole[:at] if is_cut else whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]
    with contextlib.suppress(ProtocolError):
        assert About.read(data) == READ


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK\x05\x06" + bytes(18), bytes(MAX_SAMPLE_BYTES + 1), archive(("x.npy", b"")), archive(("__about__.npy", b"")),
        archive(("__about__.npy", b"\x93NUMPY\x01\x00\xff\xff{}")), archive(("__about__.npy", bytes(1 << 20))),
        archive(*((f"{at}.npy", b"") for at in range(1500)), ("__about__.npy", b"")),
    ],
)  # fmt: skip
def test_what_is_no_file_of_a_sample_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        About.read(data)


@given(st.binary(max_size=300))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        About.read(data)
