"""The bytes of a patch: a header that names both files, then sections whose streams are packed each in its own way.

    patch    = header section*                        (codec zstd: see zstd_blocks.py for what follows the header)
    header   = "EWDELTA" version codec old_size new_size old_sha256 new_sha256        (89 bytes, integers little-endian)
    section  = u16 length of its head, head, then the packed streams in the order in which the head tells of them
    head     = varint bytes that it produces, packed control, packed insert, varint lanes, lane*
    lane     = u8 kind (0: nibbles, 1, 2, 4, 8: bytes of an item), u8 plane (left out where all zero, but for plane 0),
               varint stages, stage*
    stage    = u8 bits (1, 2, 4 or 8), alphabet of 2**bits - 1 bytes (none for 8), packed
    packed   = u8 coder (0 stored, 1 raw deflate, 2 raw LZMA followed by its u8 property lc + 9 * (lp + 5 * pb)), varint bytes

A section's control stream is a list of operations, each `varint length << 3 | kind` and, but for INSERT, the zigzag varint
difference between its place in the old file and the end of the operation before. Everything here is bounded and raises
VerificationError for what is not of this form.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ...core.artifact_zip import MAX_ARTIFACT_BYTES
from ...core.errors import VerificationError
from ..disk import Disk

Codec = Literal["tensor", "bsdiff", "zstd"]
CODECS: Final[tuple[Codec, ...]] = ("tensor", "bsdiff", "zstd")

MAGIC: Final = b"EWDELTA\x01"
MAX_HEAD_BYTES: Final = 4096
MAX_STREAMS: Final = 32
MAX_STAGES: Final = 5
MAX_OPERATIONS: Final = 1 << 18
LANE_DICTIONARY_BYTES: Final = 1 << 16
WIDE_DICTIONARY_BYTES: Final = 1 << 20

STORED, DEFLATE, LZMA = range(3)
INSERT, COPY, NIBBLES, ADD_1, ADD_2, ADD_4, ADD_8 = range(7)
LANE_KINDS: Final = {NIBBLES: 0, ADD_1: 1, ADD_2: 2, ADD_4: 4, ADD_8: 8}

_HEADER = struct.Struct("<8sBQQ32s32s")
HEADER_BYTES: Final = _HEADER.size


class Source(Protocol):
    """A file that is read piece by piece."""

    @property
    def size(self) -> int:
        """Bytes that it has."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """A file that lies in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file of the data folder."""

    disk: Disk
    path: str

    @property
    def size(self) -> int:
        """Bytes that it has; 0 when it is missing."""
        return self.disk.size(self.path) or 0

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; raises StoreError."""
        return self.disk.read_range(self.path, offset, length)


@dataclass(frozen=True, slots=True)
class Header:
    """From which file to which: sizes in bytes, digests SHA-256 in hex."""

    codec: Codec
    old_size: int
    new_size: int
    old_sha256: str
    new_sha256: str

    def to_bytes(self) -> bytes:
        """The header's bytes."""
        digests = bytes.fromhex(self.old_sha256), bytes.fromhex(self.new_sha256)
        return _HEADER.pack(MAGIC, CODECS.index(self.codec), self.old_size, self.new_size, *digests)


@dataclass(frozen=True, slots=True)
class Packed:
    """One packed stream: how, and where it lies in the patch; `property` is LZMA's lc + 9 * (lp + 5 * pb)."""

    coder: int
    property: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Symbols of `bits` bits, most significant first: code c means alphabet[c], the last code means `see the next stage`."""

    bits: int
    alphabet: bytes
    packed: Packed


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of the new file: how many bytes it produces, from which streams; `end` is where the next one starts."""

    produces: int
    control: Packed
    insert: Packed
    lanes: dict[tuple[int, int], tuple[Stage, ...]]
    end: int


def read_header(patch: Source) -> Header:
    """The header of a patch; raises VerificationError when it is none or of another version."""
    data = patch.read(0, HEADER_BYTES)
    if len(data) != HEADER_BYTES or not data.startswith(MAGIC[:7]):
        raise VerificationError("the file is no patch between artifacts; fetch the whole artifact instead.")
    magic, codec, old_size, new_size, old_digest, new_digest = _HEADER.unpack(data)
    if magic != MAGIC or codec >= len(CODECS):
        raise VerificationError("the patch is of a version or codec that is not known; fetch the whole artifact instead.")
    if max(old_size, new_size) > MAX_ARTIFACT_BYTES:
        raise broken("it tells of a file that is larger than an artifact may be")
    return Header(CODECS[codec], old_size, new_size, old_digest.hex(), new_digest.hex())


def read_section(patch: Source, offset: int) -> Section:
    """The section at `offset`; raises VerificationError."""
    length = int.from_bytes(patch.read(offset, 2), "little")
    if not 0 < length <= MAX_HEAD_BYTES:
        raise broken("the head of a section has no possible length")
    head = patch.read(offset + 2, length)
    if len(head) != length:
        raise broken("it ends too early")
    return _Head(head, offset + 2 + length, patch.size).section()


class _Head:
    """Reads one section's head; streams follow each other from `place`."""

    def __init__(self, head: bytes, place: int, limit: int) -> None:
        self._head, self._at = head, 0
        self._place, self._limit = place, limit
        self._streams = 0

    def section(self) -> Section:
        produces = self._number()
        control, insert = self._packed(), self._packed()
        lanes: dict[tuple[int, int], tuple[Stage, ...]] = {}
        for _ in range(self._number()):
            kind, plane = self._byte(), self._byte()
            if kind not in LANE_KINDS.values() or plane >= max(kind, 1) or (kind, plane) in lanes:
                raise broken("a section has a lane that cannot be")
            lanes[kind, plane] = self._stages()
        if self._at != len(self._head):
            raise broken("the head of a section is longer than what it tells")
        if not produces:
            raise broken("a section produces nothing")
        return Section(produces, control, insert, lanes, self._place)

    def _stages(self) -> tuple[Stage, ...]:
        count = self._number()
        if not 0 < count <= MAX_STAGES:
            raise broken("a lane has more or fewer stages than it may")
        stages = []
        for index in range(count):
            bits = self._byte()
            if bits not in (1, 2, 4, 8) or (bits == 8) != (index == count - 1):
                raise broken("a lane has a stage of a width that it may not have")
            stages.append(Stage(bits, b"" if bits == 8 else self._take((1 << bits) - 1), self._packed()))
        return tuple(stages)

    def _packed(self) -> Packed:
        self._streams += 1
        coder = self._byte()
        prop = self._byte() if coder == LZMA else 0
        size = self._number()
        if self._streams > MAX_STREAMS or coder > LZMA or size > self._limit - self._place:
            raise broken("a section has more or longer streams than it may, or one that is packed in an unknown way")
        packed = Packed(coder, prop, self._place, size)
        self._place += size
        return packed

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        data = self._head[self._at : self._at + count]
        if len(data) != count:
            raise broken("the head of a section ends too early")
        self._at += count
        return data

    def _number(self) -> int:
        return read_number(self._byte)


def read_number(byte: Callable[[], int]) -> int:
    """A number of up to 42 bits, seven bits a byte, lowest first; raises VerificationError when it is longer."""
    value = 0
    for shift in range(0, 42, 7):
        part = byte()
        value |= (part & 0x7F) << shift
        if part < 0x80:
            return value
    raise broken("a number has too many digits")


def write_number(value: int) -> bytes:
    """The bytes that `read_number` reads as `value` (0 to 2**42 - 1)."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def broken(what: str) -> VerificationError:
    """The error for a patch that is damaged or hostile."""
    return VerificationError(f"the patch cannot be trusted: {what}; fetch the whole artifact instead.")
