"""Attacks on patches: flipped bits, cut files, hostile numbers and streams. Never a wrong file, never more bytes than told."""

from __future__ import annotations

import hashlib
import random
import struct
import tracemalloc
import zlib

import pytest
import zstandard
from edgewright.core.errors import VerificationError
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import DEFLATE, LZMA, MAX_OPERATIONS, STORED, Header, Memory, read_header, write_number
from edgewright.fleet.delta.make import make_delta
from hypothesis import given, settings
from hypothesis import strategies as st

OLD = random.Random(0).randbytes(3000) + bytes(1000)
NEW = OLD[:1200] + b"something new" * 9 + bytes(value + 1 & 255 for value in OLD[1200:3500]) + OLD[3600:]
MAX_MEMORY_BYTES = 8 << 20


def apply(old: bytes, patch: bytes) -> bytes:
    pieces: list[bytes] = []
    apply_delta(Memory(old), Memory(patch), pieces.append)
    return b"".join(pieces)


def header(old: bytes = OLD, size: int = 100_000, codec: int = 0) -> bytes:
    """A header that a device takes for `old`; the new file's digest is unknown."""
    told = Header("bsdiff", len(old), size, hashlib.sha256(old).hexdigest(), "00" * 32).to_bytes()
    return told[:8] + bytes((codec,)) + told[9:]


def section(produces: int, control: bytes, insert: bytes = b"", lanes: bytes = b"\x00", streams: bytes = b"") -> bytes:
    """A section with stored control and insert streams; `lanes` is the rest of its head, `streams` lie behind."""
    head = write_number(produces)
    for stream in (control, insert):
        head += bytes((STORED,)) + write_number(len(stream))
    head += lanes
    return len(head).to_bytes(2, "little") + head + control + insert + streams


def operation(kind: int, length: int, step: int | None = None) -> bytes:
    told = write_number(length << 3 | kind)
    return told if step is None else told + write_number(step << 1 if step >= 0 else (-step << 1) - 1)


def lane(coder: bytes, data: bytes, kind: int = 1, plane: int = 0) -> bytes:
    """The head's part for one lane of one stage."""
    return bytes((1, kind, plane, 1, 8)) + coder + write_number(len(data))


def refused(patch: bytes, words: str, old: bytes = OLD) -> int:
    """The patch is refused with these words; gives how many bytes were written until then."""
    written = 0

    def write(piece: bytes) -> None:
        nonlocal written
        written += len(piece)

    tracemalloc.start()
    try:
        with pytest.raises(VerificationError, match=words) as caught:
            apply_delta(Memory(old), Memory(patch), write)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).count("\n") == 0
    assert peak < MAX_MEMORY_BYTES
    return written


@pytest.mark.parametrize("codec", ["bsdiff", "zstd"])
def test_every_byte_changed_and_every_length(codec: str) -> None:
    patch = next(one.data for one in make_delta(OLD, NEW, with_zstd=True) if one.codec == codec)
    assert apply(OLD, patch) == NEW
    flips = random.Random(1)
    for index in range(len(patch)):
        changed = bytearray(patch)
        changed[index] ^= flips.randrange(1, 256)
        try:
            result = apply(OLD, bytes(changed))
        except VerificationError:
            continue
        assert result == NEW
    for length in range(len(patch)):
        with pytest.raises(VerificationError):
            apply(OLD, patch[:length])
    with pytest.raises(VerificationError, match="something follows"):
        apply(OLD, patch + b"!")


@settings(max_examples=300)
@given(st.integers(0, 2), st.binary(max_size=400))
def test_any_body(codec: int, body: bytes) -> None:
    """Whatever follows a header that fits ends in a refusal; at most the told size is written."""
    pieces: list[bytes] = []
    with pytest.raises(VerificationError):
        apply_delta(Memory(OLD), Memory(header(size=5000, codec=codec) + body), pieces.append)
    assert sum(map(len, pieces)) <= 5000


@settings(max_examples=300)
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([b"\x00", b"\x01", b"\x02\x5d"]))
def test_any_streams(control: bytes, insert: bytes, data: bytes, coder: bytes) -> None:
    pieces: list[bytes] = []
    body = section(5000, control, insert, lane(coder, data), data)
    with pytest.raises(VerificationError):
        apply_delta(Memory(OLD), Memory(header(size=5000) + body), pieces.append)
    assert sum(map(len, pieces)) <= 5000


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (b"", "is no patch"),
        (b"BSDIFF40" + bytes(100), "is no patch"),
        (header()[:7] + b"\x02" + header()[8:], "version or codec that is not known"),
        (header(codec=3), "version or codec that is not known"),
        (header(size=1 << 40), "larger than an artifact may be"),
        (header() + bytes(2), "no possible length"),
        (header() + b"\xff\xff" + bytes(70_000), "no possible length"),
        (header() + b"\x40\x00abc", "ends too early"),
    ],
)
def test_no_patch(patch: bytes, words: str) -> None:
    assert refused(patch, words) == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (section(200_000, operation(0, 200_000)), "produces more than is left"),
        (section(0, b""), "produces nothing"),
        (section(100, operation(0, 101), bytes(200)), "of a length that it cannot have"),
        (section(100, operation(0, 0) * 50, bytes(200)), "of a length that it cannot have"),
        (section(100, operation(7, 100, 0)), "is unknown"),
        (section(100, operation(1, 100, -1)), "outside of the old file"),
        (section(100, operation(1, 100, len(OLD) - 99)), "outside of the old file"),
        (section(100, operation(1, 100, 1 << 40)), "outside of the old file"),
        (section(100, b"\xff" * 20), "too many digits"),
        (section(100, operation(0, 100), bytes(99)), "a stream ends too early"),
        (section(100, b""), "a stream ends too early"),
        (section(100, operation(3, 100, 0)), "a lane that its section does not have"),
        (section(99, operation(5, 99, 0)), "no multiple of theirs"),
        (section(100, operation(3, 100, 0), b"", lane(b"\x00", b"", kind=3)), "a lane that cannot be"),
        (section(100, operation(3, 100, 0), b"", lane(b"\x00", b"", plane=1)), "a lane that cannot be"),
        (section(100, operation(3, 100, 0), b"", lane(b"\x03", b"")), "packed in an unknown way"),
        (section(100, b"", b"", b"\x01\x01\x00\x00"), "more or fewer stages"),
        (section(100, b"", b"", b"\x01\x01\x00\x01\x04" + bytes(15) + b"\x00\x00"), "of a width"),
        (section(100, b"", b"", b"\x01\x01\x00\x02\x08\x00\x00\x08\x00\x00"), "of a width"),
        (section(100, b"", b"", b"\x00more"), "longer than what it tells"),
        (section(100, b"", b"", b"\x05"), "ends too early"),
        (section(100, b"", b"", lane(b"\x00", bytes(1 << 20))), "more or longer streams"),
        (section(100, operation(3, 100, 0), b"", lane(b"\x02\xe1", b"x"), b"x"), "property that LZMA does not have"),
        (section(100, operation(3, 100, 0), b"", lane(b"\x01", b"\xff" * 9), b"\xff" * 9), "cannot be unpacked"),
    ],
)
def test_hostile_sections(body: bytes, words: str) -> None:
    refused(header() + body, words)


def test_more_streams_than_a_section_may_have() -> None:
    stages = b"".join(bytes((bits,)) + bytes((1 << bits) - 1) + b"\0\0" for bits in (1, 2, 4)) + b"\x08\0\0"
    lanes = b"\x0a" + b"".join(bytes((8, plane, 4)) + stages for plane in range(8))
    refused(header() + section(100, b"", b"", lanes + bytes(80)), "more or longer streams")


def test_a_bomb_is_unpacked_only_as_far_as_it_is_used() -> None:
    """100 MiB of zeros in 100 KiB, claimed to be 100 bytes of inserted data."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    control = operation(3, 100, 0)
    body = section(100, control, b"", lane(bytes((DEFLATE,)), bomb), bomb)
    assert refused(header(size=100) + body, "not the file that it names") == 100


def test_a_file_of_2_gib_from_a_few_bytes_ends_in_bounded_memory() -> None:
    """What is told to be long is refused as soon as a stream has no more."""
    size = 2 << 30
    body = section(size, operation(0, size), b"abc")
    assert refused(header(size=size) + body, "a stream ends too early") == 0


def test_very_many_operations() -> None:
    control = operation(0, 1) * (MAX_OPERATIONS + 1)
    body = section(MAX_OPERATIONS + 1, control, bytes(MAX_OPERATIONS + 1))
    written = 0

    def write(piece: bytes) -> None:
        nonlocal written
        written += len(piece)

    with pytest.raises(VerificationError, match="more operations than it may"):
        apply_delta(Memory(OLD), Memory(header(size=1 << 21) + body), write)
    assert written == MAX_OPERATIONS


@pytest.mark.parametrize("coder", [bytes((DEFLATE,)), bytes((LZMA, 0))])
def test_a_stream_that_goes_on_after_its_end(coder: bytes) -> None:
    """Bytes behind a stream's end do not become symbols, and reading them ends."""
    import lzma

    from edgewright.fleet.delta.streams import lzma_filter

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = packer.compress(bytes(10)) + packer.flush()
    data = deflated if coder[0] == DEFLATE else lzma.compress(bytes(10), lzma.FORMAT_RAW, filters=[lzma_filter(0, 1 << 16)])
    data += b"\xaa" * 10_000
    refused(header() + section(100, operation(3, 100, 0), b"", lane(coder, data), data), "a stream")


def test_a_zstd_frame_that_tells_of_2_gib() -> None:
    """The size that a frame claims is compared before anything is reserved for it."""
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(1000))
    huge = frame[:4] + b"\xe0" + struct.pack("<Q", 2 << 30) + frame[6:]
    assert zstandard.frame_content_size(huge) == 2 << 30
    refused(header(size=1000, codec=2) + len(huge).to_bytes(4, "little") + huge, "not as long as it has to be")


def test_the_digest_that_a_caller_compares_is_the_headers() -> None:
    patch = make_delta(OLD, NEW, with_zstd=False)[0].data
    assert read_header(Memory(patch)).new_sha256 == hashlib.sha256(NEW).hexdigest()
