"""Downloads over lines that take longer than one call may: each call ends in time, and together they bring the file once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import pytest
from edgewright.core.errors import NetworkError, UnfinishedError
from edgewright.fleet.delta.make import make_delta
from edgewright.fleet.http import Flow, Limits, TransientError
from edgewright.fleet.trust.download import SLICE_S, Downloads
from edgewright.fleet.trust.part import Wanted
from edgewright.fleet.trust.source import RepositorySource
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import Device, SimulatedRepository

DATA = Random(1).randbytes(200_000)
OTHER = Random(2).randbytes(200_000)
WANTED = Wanted("m/p/file", len(DATA), {"sha256": hashlib.sha256(DATA).hexdigest()})
PIECE, PIECE_S = 1000, 1.0


class SlowLine:
    """An origin over which each piece takes a second; cut after `cut` bytes where that is given."""

    def __init__(self, clock: SimulatedClock, origin: SimulatedRepository | None = None, has_ranges: bool = True) -> None:
        self.clock, self.origin, self.has_ranges = clock, origin, has_ranges
        self.cut: int | None = None
        self.opened = self.open = self.sent = 0

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        assert self.origin is not None
        return self.origin.metadata(name, max_bytes)

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        data = DATA if self.origin is None else self.origin.files[name]
        start = start if self.has_ranges else 0
        self.opened += 1
        self.open += 1
        try:
            yield Flow(206 if start else 200, start, len(data), self._pieces(data, start))
        finally:
            self.open -= 1

    def _pieces(self, data: bytes, start: int) -> Iterator[bytes]:
        for at in range(start, len(data), PIECE):
            if self.cut is not None and at - start >= self.cut:
                raise TransientError("the line was cut.")
            self.clock.advance(PIECE_S)
            piece = data[at : at + PIECE]
            self.sent += len(piece)
            yield piece


def downloads(clock: SimulatedClock, disk: SimulatedDisk, line: SlowLine, attempts: int = 4) -> Downloads:
    return Downloads(disk, line, clock, Limits(attempts=attempts), Random(1))


def until_whole(source: RepositorySource, clock: SimulatedClock, version: int) -> tuple[str, int]:
    """Path of the artifact of that version, and the calls that it took, each within its time."""
    offered = next(one for one in source.offers() if one.offer.version == version)
    for calls in range(1, 100):
        began = clock.monotonic()
        try:
            return source.fetch(offered, {}), calls
        except UnfinishedError:
            assert clock.monotonic() - began <= SLICE_S + PIECE_S
    raise AssertionError("it never ends")


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_slow_line_brings_each_byte_once(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock, has_ranges: bool
) -> None:
    """Over one connection, so that a server without ranges gets there too."""
    disk, line = SimulatedDisk(), SlowLine(clock, repository, has_ranges)
    one = device(disk, line)
    one.refresh()
    path, calls = until_whole(one, clock, 1)
    assert disk.read(path) == DATA
    assert calls >= 200_000 / PIECE * PIECE_S / SLICE_S
    assert line.sent <= len(DATA) + 1000
    assert (line.opened, line.open) == (2, 0)  # the chunk list and the artifact


def test_a_process_that_ends_between_two_calls_loses_no_byte() -> None:
    clock, disk = SimulatedClock(), SimulatedDisk()
    line = SlowLine(clock)
    for _ in range(3):
        with pytest.raises(UnfinishedError):
            downloads(clock, disk, line).fetch(WANTED, "f")
    assert disk.size("downloads/f.part") == line.sent > 0
    begun, path = downloads(clock, disk, line), ""
    while not path:
        with suppress(UnfinishedError):
            path = begun.fetch(WANTED, "f")
    assert disk.read(path) == DATA
    assert line.sent == len(DATA)


def test_tries_are_counted_over_calls() -> None:
    """A line that brings nothing fails, though each call would have had time for more tries."""
    clock, disk = SimulatedClock(), SimulatedDisk()
    line = SlowLine(clock)
    line.cut = 0
    begun, ended = downloads(clock, disk, line, attempts=30), 0
    with pytest.raises(NetworkError):
        while ended < 99:
            began = clock.monotonic()
            try:
                begun.fetch(WANTED, "f")
            except UnfinishedError:
                assert clock.monotonic() - began <= SLICE_S + Limits().longest_wait_s
                ended += 1
    assert 1 <= ended < 99
    assert line.opened == 31


def test_what_is_forgotten_ends_at_once() -> None:
    clock, disk = SimulatedClock(), SimulatedDisk()
    line = SlowLine(clock)
    begun = downloads(clock, disk, line)
    with pytest.raises(UnfinishedError):
        begun.fetch(WANTED, "f")
    assert line.open == 1
    begun.forget("f")
    assert line.open == 0
    assert disk.names("downloads") == []
    with pytest.raises(UnfinishedError):
        begun.fetch(WANTED, "f")
    assert disk.size("downloads/f.part") == SLICE_S / PIECE_S * PIECE


def test_a_patch_of_no_use_is_fetched_once(repository: SimulatedRepository, device: Device, clock: SimulatedClock) -> None:
    """Not again at every call while the whole artifact comes."""
    patch = Random(3).randbytes(1000)
    repository.offer(OTHER, 2, patches=((DATA, "tensor", patch),))
    repository.publish()
    disk, line = SimulatedDisk(), SlowLine(clock, repository)
    disk.write("old", DATA)
    one = device(disk, line)
    one.refresh()
    offered = one.offers()[1]
    path = ""
    while not path:
        with suppress(UnfinishedError):
            path = one.fetch(offered, {hashlib.sha256(DATA).hexdigest(): "old"})
    assert disk.read(path) == OTHER
    assert line.opened == 3  # patch, chunk list, artifact


@pytest.mark.parametrize("is_here", [True, False])
def test_a_patch_starts_from_what_is_here_or_the_whole_file_comes(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock, is_here: bool
) -> None:
    new = DATA[:100_000] + b"new" + DATA[100_000:]
    made = make_delta(DATA, new, with_zstd=False)[0]
    repository.offer(new, 2, patches=((DATA, made.codec, made.data),))
    repository.publish()
    disk, line = SimulatedDisk(), SlowLine(clock, repository)
    if is_here:
        disk.write("old", DATA)
    one = device(disk, line)
    one.refresh()
    path = ""
    while not path:
        with suppress(UnfinishedError):
            path = one.fetch(one.offers()[1], {hashlib.sha256(DATA).hexdigest(): "old"})
    assert disk.read(path) == new
    assert (line.sent == len(made.data)) == is_here
    assert disk.names("downloads") == [hashlib.sha256(new).hexdigest()]


# What stays in the folder


def test_downloads_hold_one_artifact_a_model(repository: SimulatedRepository, device: Device, clock: SimulatedClock) -> None:
    """What was begun or left whole goes when its model wants something else, not when another model does."""
    repository.offer(OTHER, 2)
    repository.offer(OTHER[:50_000], 1, model="words")
    repository.publish()
    disk = SimulatedDisk()
    one = device(disk)
    one.refresh()
    digits = {offered.offer.version: offered for offered in one.offers() if offered.offer.model == "digits"}
    words = next(offered for offered in one.offers() if offered.offer.model == "words")
    one.fetch(digits[1], {})
    disk.write(f"downloads/{'0' * 64}", b"of nobody")
    disk.write(f"downloads/{digits[2].sha256}.part", OTHER[:1000])
    one.fetch(words, {})
    assert disk.names("downloads") == sorted([digits[1].sha256, f"{digits[2].sha256}.part", words.sha256])
    one.fetch(digits[2], {})
    assert disk.names("downloads") == sorted([digits[2].sha256, words.sha256])


def test_a_chunk_list_of_another_length_is_not_fetched(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    target = repository.targets["targets"].targets["digits/pi/1.chunks"]
    target.length = 1 << 30
    repository.publish()
    one = device(disk := SimulatedDisk())
    one.refresh()
    repository.asked.clear()
    assert disk.read(one.fetch(one.offers()[0], {})) == DATA
    assert not [name for name in repository.asked if name.endswith(".chunks")]


@pytest.mark.parametrize("sha256", ["../../" + "0" * 58, "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_an_artifact_whose_digest_is_none_is_not_offered(repository: SimulatedRepository, device: Device, sha256: str) -> None:
    repository.targets["targets"].targets["digits/pi/1.ewa"].hashes["sha256"] = sha256
    repository.publish()
    one = device()
    one.refresh()
    assert one.offers() == []
