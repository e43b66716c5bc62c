"""Downloads over faults, restarts and power loss: few bytes twice, always an end, never a wrong file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import pytest
from edgewright.core.clock import SystemClock
from edgewright.core.errors import NetworkError, StoreError, VerificationError
from edgewright.fleet.http import Flow, Http, Limits, TransientError
from edgewright.fleet.trust.download import Downloads
from edgewright.fleet.trust.origin import HttpOrigin
from edgewright.fleet.trust.part import ChunkList, Wanted
from faulty_server import Fault, FaultyServer
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import SimulatedClock, SimulatedDisk, power_cuts

CHUNK = 4096
DATA = Random(1).randbytes(100_000)
WANTED = Wanted("m/p/file", len(DATA), {"sha256": hashlib.sha256(DATA).hexdigest()})
LIMITS = Limits(attempts=3, first_wait_s=0.01)


def chunks_of(data: bytes, size: int = CHUNK) -> ChunkList:
    return ChunkList(b"".join(hashlib.sha256(data[at : at + size]).digest() for at in range(0, len(data), size)), size)


CHUNKS = chunks_of(DATA)


class Line:
    """An origin of one file over a line that is cut after the next of `cuts` bytes; counts what it sent."""

    def __init__(self, cuts: Iterator[int], data: bytes = DATA, ignores_range: bool = False, piece: int = 1000) -> None:
        self.cuts, self.data, self.ignores_range, self.piece = cuts, data, ignores_range, piece
        self.sent = 0

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        return None

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        start = 0 if self.ignores_range else start
        yield Flow(200 if start == 0 else 206, start, len(self.data), self._pieces(start, length))

    def _pieces(self, start: int, length: int) -> Iterator[bytes]:
        cut = next(self.cuts, None)
        end = min(length, len(self.data)) if cut is None else min(start + cut, length, len(self.data))
        for at in range(start, end, self.piece):
            piece = self.data[at : min(at + self.piece, end)]
            self.sent += len(piece)
            yield piece
        if cut is not None and end < length:
            raise TransientError("the line was cut.")


def downloads(disk: SimulatedDisk, origin: object, limits: Limits = LIMITS) -> Downloads:
    return Downloads(disk, origin, SimulatedClock(), limits, Random(1))  # type: ignore[arg-type]


@given(cuts=st.lists(st.integers(0, 30_000), max_size=12), ignores_range=st.booleans(), with_chunks=st.booleans())
@settings(max_examples=25, deadline=None)
def test_cuts_at_any_byte(cuts: list[int], ignores_range: bool, with_chunks: bool) -> None:
    """Each call ends; what came is kept for the next; without cuts in it, a server with ranges sends no byte twice."""
    disk, line = SimulatedDisk(), Line(iter(cuts), ignores_range=ignores_range)
    for _ in range(len(cuts) + 1):
        before = line.sent
        try:
            path = downloads(disk, line).fetch(WANTED, "f", CHUNKS if with_chunks else None)
        except NetworkError:
            assert line.sent - before <= 2 * len(DATA) + 2**20 + 1000
        else:
            break
    assert disk.read(path) == DATA
    assert disk.names("downloads") == ["f"]
    if not ignores_range:
        assert line.sent == len(DATA)


@given(moments=st.lists(st.integers(1, 400), min_size=1, max_size=6), piece=st.integers(200, 9000))
@settings(max_examples=15, deadline=None)
def test_a_process_that_dies_loses_no_byte_that_it_had(moments: list[int], piece: int) -> None:
    """Killed at any change of the disk: at most the piece in hand is sent again."""
    disk, line = SimulatedDisk(), Line(iter(()), piece=piece)
    for moment in moments:
        left = [moment]

        def refuse(kind: str, path: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        disk.refuse = refuse
        with suppress(KeyboardInterrupt):
            downloads(disk, line).fetch(WANTED, "f", CHUNKS)
        disk.refuse = lambda kind, path: None
    assert disk.read(downloads(disk, line).fetch(WANTED, "f", CHUNKS)) == DATA
    assert line.sent <= len(DATA) + len(moments) * piece


def test_power_lost_at_any_moment() -> None:
    """The file is whole or not there, and completing it sends at most a hundredth and a chunk again, of what was synced."""
    disk = SimulatedDisk()
    downloads(disk, Line(iter(()), piece=3000)).fetch(WANTED, "f", CHUNKS)
    seen = 0
    for moment in range(0, len(disk.log) + 1, 5):
        for state in power_cuts(disk.log[:moment], Random(moment), limit=3):
            if state.size("downloads/f") is not None:
                assert state.read("downloads/f") == DATA
            line = Line(iter(()))
            assert state.read(downloads(state, line).fetch(WANTED, "f", CHUNKS)) == DATA
            seen += 1
    assert seen > 30


def test_what_was_marked_is_not_read_again() -> None:
    """Resuming needs no hash over the whole of what is there."""
    disk = SimulatedDisk()
    with pytest.raises(NetworkError):
        downloads(disk, Line(iter([70_000, 0, 0, 0, 0]))).fetch(WANTED, "f", CHUNKS)
    read = []
    plain = disk.read_range
    disk.read_range = lambda path, offset, length: read.append((offset, length)) or plain(path, offset, length)  # type: ignore
    with pytest.raises(NetworkError):
        downloads(disk, Line(iter([0] * 9))).fetch(WANTED, "f", CHUNKS)
    assert sum(length for _, length in read) <= CHUNK


@pytest.mark.parametrize("at", [0, 1, CHUNK - 1, CHUNK, 50_000, len(DATA) - 1])
def test_a_wrong_chunk_is_cut_off_and_asked_for_again(at: int) -> None:
    bad = bytearray(DATA)
    bad[at] ^= 1
    disk = SimulatedDisk()
    with pytest.raises(VerificationError, match="wrong from byte"):
        downloads(disk, line := Line(iter(()), bytes(bad))).fetch(WANTED, "f", CHUNKS)
    assert line.sent <= 2 * len(DATA) + 2**20
    assert disk.size("downloads/f.part") == at // CHUNK * CHUNK
    assert disk.read(downloads(disk, line := Line(iter(()))).fetch(WANTED, "f", CHUNKS)) == DATA
    assert line.sent == len(DATA) - at // CHUNK * CHUNK


def test_a_wrong_file_without_chunks_is_thrown_away() -> None:
    disk = SimulatedDisk()
    with pytest.raises(VerificationError, match="is not the file that was signed"):
        downloads(disk, Line(iter(()), bytes(len(DATA)))).fetch(WANTED, "f")
    assert disk.names("downloads") == []


@pytest.mark.parametrize("length", [0, 1, CHUNK, CHUNK + 1])
def test_small_files(length: int) -> None:
    data = DATA[:length]
    wanted = Wanted("x", length, {"sha256": hashlib.sha256(data).hexdigest()})
    for chunks in (None, chunks_of(data)):
        disk = SimulatedDisk()
        assert disk.read(downloads(disk, Line(iter(()), data)).fetch(wanted, "f", chunks)) == data


def test_digests() -> None:
    """Any strong one will do, all known ones must fit, and none known is a refusal before a byte is fetched."""
    sha512 = hashlib.sha512(DATA).hexdigest()
    for hashes in ({"sha512": sha512}, {"sha512": sha512, **WANTED.hashes}, {"odd": "1", **WANTED.hashes}):
        downloads(SimulatedDisk(), Line(iter(()))).fetch(Wanted("x", len(DATA), hashes), "f")
    with pytest.raises(VerificationError):
        downloads(SimulatedDisk(), Line(iter(()))).fetch(Wanted("x", len(DATA), {"sha512": "0", **WANTED.hashes}), "f")
    with pytest.raises(VerificationError, match="none of sha256"):
        downloads(SimulatedDisk(), Line(iter(()))).fetch(Wanted("x", len(DATA), {"md5": "0"}), "f")


def test_a_file_here_is_not_fetched_again_unless_it_went_bad() -> None:
    disk = SimulatedDisk()
    path = downloads(disk, Line(iter(()))).fetch(WANTED, "f", CHUNKS)
    downloads(disk, line := Line(iter(()))).fetch(WANTED, "f", CHUNKS)
    assert line.sent == 0
    disk.write_range(path, 500, b"\0\0\0\0")
    assert disk.read(downloads(disk, line).fetch(WANTED, "f", CHUNKS)) == DATA


def test_a_full_disk_is_told_and_resumed_from() -> None:
    disk = SimulatedDisk(capacity=40_000)
    with pytest.raises(StoreError):
        downloads(disk, Line(iter(()))).fetch(WANTED, "f", CHUNKS)
    disk.capacity = None
    line = Line(iter(()))
    assert disk.read(downloads(disk, line).fetch(WANTED, "f", CHUNKS)) == DATA
    assert line.sent <= len(DATA) - 30_000


def test_a_chunk_list_of_another_file() -> None:
    with pytest.raises(VerificationError, match="does not fit the size"):
        downloads(SimulatedDisk(), Line(iter(()))).fetch(WANTED, "f", ChunkList(b"\0" * 32, CHUNK))


def test_a_file_larger_than_any_may_be() -> None:
    with pytest.raises(VerificationError, match="more than the"):
        downloads(SimulatedDisk(), Line(iter(()))).fetch(Wanted("x", 2**40, {"sha256": "0" * 64}), "f")


def test_forgetting() -> None:
    disk = SimulatedDisk()
    with pytest.raises(NetworkError):
        downloads(disk, Line(iter([50_000, 0, 0, 0, 0]))).fetch(WANTED, "f" * 64, CHUNKS)
    assert len(disk.names("downloads")) == 2
    downloads(disk, Line(iter(()))).forget("f" * 64)
    assert disk.names("downloads") == []


# Over real connections

FAULTS = {
    "cut": Fault(cut=33_333),
    "cut at once": Fault(cut=0),
    "reset": Fault(cut=33_333, is_reset=True),
    "404": Fault(status=404),
    "503": Fault(status=503),
    "200 for 206": Fault(ignores_range=True, cut=50_000),
    "wrong etag": Fault(etag='"2"', cut=33_333),
    "endless": Fault(is_endless=True),
    "wrong start": Fault(start=5),
    "longer": Fault(total=10**9),
    "shorter": Fault(total=500),
    "drip": Fault(drip_s=0.05),
    "silence": Fault(drip_s=60.0),
    "head drip": Fault(head_drip_s=0.05),
    "tampered": Fault(tampered=60_000),
    "416": Fault(status=416),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_and_the_next_call_completes_the_file(name: str) -> None:
    """Every answer is faulty; then the network is well again."""
    disk = SimulatedDisk()
    with FaultyServer({"/targets/m/p/file": DATA}, lambda path, number: FAULTS[name]) as server:
        hurried = Limits(head_s=0.5, window_s=0.5, total_s=1.0, least_rate=50_000, attempts=2, first_wait_s=0.001)
        with suppress(NetworkError, VerificationError):
            origin = HttpOrigin(Http(SystemClock(), limits=hurried), server.url)
            downloads(disk, origin, hurried).fetch(WANTED, "f", CHUNKS)
        assert server.sent <= 20 * len(DATA) or name == "endless"
        server.faults = lambda path, number: None
        assert disk.read(downloads(disk, HttpOrigin(Http(SimulatedClock()), server.url)).fetch(WANTED, "f", CHUNKS)) == DATA


def test_faults_between_good_answers_cost_little() -> None:
    """The others come in turn, and the file is there in the end, in one call."""
    disk, faults = SimulatedDisk(), [FAULTS[name] for name in ("cut", "503", "wrong start", "reset", "tampered", "wrong etag")]
    with FaultyServer({"/targets/m/p/file": DATA}, lambda path, number: faults[number] if number < 6 else None) as server:
        patient = Limits(attempts=8, first_wait_s=0.001)
        origin = HttpOrigin(Http(SimulatedClock(), limits=patient), server.url)
        assert disk.read(downloads(disk, origin, patient).fetch(WANTED, "f", CHUNKS)) == DATA
        assert len(server.requests) >= 4
