"""What waits in a file comes back, in any order; nothing is left on the disk, and a disk that refuses is one sentence."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from edgewright.core.errors import StoreError
from edgewright.core.spool import Spool
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=8))
def test_all_that_was_added_is_read_again_whenever_it_is_asked_for(pieces: list[tuple[bytes, bool]]) -> None:
    spool, added = Spool(), []
    for data, is_read in pieces:
        added.append((spool.add(data), data))
        for place, known in added if is_read else ():
            target = bytearray(len(known))
            spool.read_into(place, memoryview(target))
            assert target == known
    assert [place for place, _ in added] == [sum(len(data) for data, _ in pieces[:at]) for at in range(len(pieces))]


def test_however_much_waits_takes_one_handle_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool()
    assert len(os.listdir("/proc/self/fd")) == before
    for number in range(200):
        spool.add(bytes([number]) * 1000)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert list(tmp_path.iterdir()) == []
    del spool
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match=r"temporary file in .*missing.*point TMPDIR"):
        Spool().add(b"data")


def test_what_was_never_added_is_not_read() -> None:
    spool = Spool()
    spool.read_into(0, memoryview(bytearray()))
    spool.add(b"data")
    for place, size in ((0, 5), (3, 2), (9, 1)):
        with pytest.raises(ValueError, match="never added"):
            spool.read_into(place, memoryview(bytearray(size)))


def test_a_disk_that_no_longer_reads_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, make = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: opened.append(make(**options)) or opened[0])
    spool = Spool()
    spool.add(b"data")
    with open(os.devnull, "wb") as refusing:
        os.dup2(refusing.fileno(), opened[0].fileno())
    with pytest.raises(StoreError, match=r"temporary file .*Bad file descriptor"):
        spool.read_into(0, memoryview(bytearray(4)))
