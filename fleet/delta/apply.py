"""Applying a patch on the device: standard library only, a few MiB whatever the sizes, no byte good before the digest says so.

The rules, in order:
1. The header is one, its sizes are an artifact's, and the old file is the one that it names: size, then SHA-256.
2. Sections follow each other until the new file's size is reached, and the patch ends there. A section produces exactly
   what its head says; an operation produces at least one byte and never passes the section's end.
3. What is read of the old file lies inside it. What a stream unpacks to is read piece by piece, only as far as it is used.
4. The SHA-256 of all that was written is the one that the header names.
Whatever fails is a VerificationError, and what was written until then must be thrown away; the whole artifact is the way out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from ...core.errors import VerificationError
from .container import (
    ADD_1,
    COPY,
    HEADER_BYTES,
    INSERT,
    LANE_DICTIONARY_BYTES,
    LANE_KINDS,
    MAX_OPERATIONS,
    NIBBLES,
    WIDE_DICTIONARY_BYTES,
    Header,
    Section,
    Source,
    broken,
    read_header,
    read_number,
    read_section,
)
from .lanes import add, add_nibbles, join_nibbles, join_planes
from .streams import Lane, Stream

CHUNK_BYTES: Final = 1 << 14
_KINDS: Final = {INSERT, COPY, *LANE_KINDS}
_HASH_BYTES: Final = 1 << 16


def apply_delta(old: Source, patch: Source, write: Callable[[bytes], object]) -> Header:
    """Call `write` with the pieces of the new file in order; the header tells its SHA-256, which they turned out to have.

    Never more than the header's `new_size` bytes are written. Raises VerificationError when patch or old file are not what
    they have to be, StoreError from the disk. The caller compares `new_sha256` with the digest that its signers gave.
    """
    header = read_header(patch)
    _check_old(header, old)
    pieces = _zstd_pieces(old, patch, header) if header.codec == "zstd" else _section_pieces(old, patch, header)
    digest, written = hashlib.sha256(), 0
    for piece in pieces:
        written += len(piece)
        if written > header.new_size:
            raise broken("it produces more than it says")
        digest.update(piece)
        write(piece)
    if written != header.new_size or digest.hexdigest() != header.new_sha256:
        raise broken("what it produces is not the file that it names")
    return header


def _check_old(header: Header, old: Source) -> None:
    """The old file is the one that the patch starts from."""
    digest = hashlib.sha256()
    if old.size == header.old_size:
        for offset in range(0, header.old_size, _HASH_BYTES):
            digest.update(old.read(offset, min(_HASH_BYTES, header.old_size - offset)))
    if old.size != header.old_size or digest.hexdigest() != header.old_sha256:
        raise VerificationError("the patch does not start from the artifact that is here; fetch the whole artifact instead.")


def _zstd_pieces(old: Source, patch: Source, header: Header) -> Iterator[bytes]:
    from .zstd_blocks import pieces

    return pieces(old, patch, header)


def _section_pieces(old: Source, patch: Source, header: Header) -> Iterator[bytes]:
    place, left = HEADER_BYTES, header.new_size
    while left:
        section = read_section(patch, place)
        if section.produces > left:
            raise broken("a section produces more than is left of the file")
        yield from _Operations(old, patch, section)
        left -= section.produces
        place = section.end
    if place != patch.size:
        raise broken("something follows its last section")


class _Operations:
    """Carries out the operations of one section."""

    def __init__(self, old: Source, patch: Source, section: Section) -> None:
        self._old, self._left = old, section.produces
        self._control = Stream(patch, section.control, WIDE_DICTIONARY_BYTES)
        self._insert = Stream(patch, section.insert, WIDE_DICTIONARY_BYTES)
        self._lanes = {place: Lane(patch, stages, LANE_DICTIONARY_BYTES) for place, stages in section.lanes.items()}

    def __iter__(self) -> Iterator[bytes]:
        """The pieces that the section produces, each of at most `CHUNK_BYTES`."""
        place = 0
        for _ in range(MAX_OPERATIONS):
            if not self._left:
                return
            length, kind = divmod(read_number(self._control.byte), 8)
            if not 0 < length <= self._left or kind not in _KINDS:
                raise broken("an operation is unknown or of a length that it cannot have")
            if kind != INSERT:
                folded = read_number(self._control.byte)
                place += folded >> 1 ^ -(folded & 1)
                if place < 0 or place + length > self._old.size:
                    raise broken("an operation reads outside of the old file")
            for done in range(0, length, CHUNK_BYTES):
                yield self._piece(kind, place + done, min(CHUNK_BYTES, length - done))
            place += length if kind != INSERT else 0
            self._left -= length
        if self._left:
            raise broken("it has more operations than it may")

    def _piece(self, kind: int, place: int, length: int) -> bytes:
        if kind == INSERT:
            return self._insert.read(length)
        old = self._old.read(place, length)
        if len(old) != length:
            raise broken("the old file is shorter than it was")
        if kind == COPY:
            return old
        if kind == NIBBLES:
            return add_nibbles(old, join_nibbles(self._lane(0, 0).read(2 * length)))
        if kind == ADD_1:
            return add(old, self._lane(1, 0).read(length), 1)
        item = LANE_KINDS[kind]
        if length % item:
            raise broken("an operation on items has a length that is no multiple of theirs")
        return add(old, join_planes([self._plane(item, plane, length // item) for plane in range(item)]), item)

    def _plane(self, item: int, plane: int, count: int) -> bytes:
        """A byte of each of `count` items; a higher plane that the section leaves out is zero."""
        if plane and (item, plane) not in self._lanes:
            return bytes(count)
        return self._lane(item, plane).read(count)

    def _lane(self, kind: int, plane: int) -> Lane:
        lane = self._lanes.get((kind, plane))
        if lane is None:
            raise broken("an operation wants a lane that its section does not have")
        return lane
