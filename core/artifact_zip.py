"""The container of an artifact: one form of zip, in which every byte follows from the members' names and contents.

Rules, in the order in which `unpack` holds them:
1. The last 22 bytes are the end record: one disk, no comment, no zip64; the central directory ends where it starts.
2. The central directory holds at most `MAX_MEMBERS` entries with plain relative names, no two alike.
3. Walking the entries in order, each member starts where the one before it ended, behind exactly the local header that
   `pack` would have written, and its CRC-32 is right. So members cannot overlap and no byte lies between them.
4. The central directory and the end record are exactly those that `pack` would have written.

Nothing is compressed (a bomb has nothing to inflate), nothing is encrypted, times are 1980-01-01, permissions 0644. Contents
start at multiples of 64 bytes, so that a device can map a model into memory; the padding is the extra field 0xD935 that
Android's zipalign uses, in local headers only.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .errors import ArtifactError

MAX_ARTIFACT_BYTES = 2 << 30
MAX_MEMBERS = 1024
MAX_NAME_BYTES = 200
ALIGNMENT_BYTES = 64

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_PADDING = struct.Struct("<HHH")
_LOCAL_SIGNATURE, _CENTRAL_SIGNATURE, _END_SIGNATURE = 0x04034B50, 0x02014B50, 0x06054B50
SIGNATURE = _LOCAL_SIGNATURE.to_bytes(4, "little")
_VERSION, _MADE_BY_UNIX = 10, (3 << 8) | 20
_DATE_1980, _REGULAR_0644 = 0x21, 0o100644 << 16
_ALIGNMENT_FIELD = 0xD935
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the headers of one member are made from."""

    name: str
    crc: int
    size: int

    def local(self, offset: int) -> bytes:
        """The local header at `offset` with the padding that aligns what follows it."""
        name = self.name.encode("ascii")
        bare = offset + _LOCAL.size + len(name) + _PADDING.size
        zeros = -bare % ALIGNMENT_BYTES
        extra = _PADDING.pack(_ALIGNMENT_FIELD, 2 + zeros, ALIGNMENT_BYTES) + bytes(zeros)
        fixed = (_LOCAL_SIGNATURE, _VERSION, 0, 0, 0, _DATE_1980, self.crc, self.size, self.size, len(name), len(extra))
        return _LOCAL.pack(*fixed) + name + extra

    def central(self, offset: int) -> bytes:
        """The entry of the central directory for the local header at `offset`."""
        name = self.name.encode("ascii")
        sizes = (self.crc, self.size, self.size, len(name), 0, 0, 0, 0, _REGULAR_0644, offset)
        return _CENTRAL.pack(_CENTRAL_SIGNATURE, _MADE_BY_UNIX, _VERSION, 0, 0, 0, _DATE_1980, *sizes) + name


def pack(members: Mapping[str, bytes]) -> bytes:
    """The container of `members` in their order; raises ArtifactError when a name or a size is not allowed."""
    _check_names(members)
    pieces: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, content in members.items():
        entry = _Entry(name, zlib.crc32(content), len(content))
        header = entry.local(offset)
        if offset + len(header) + len(content) > MAX_ARTIFACT_BYTES:
            raise ArtifactError(f"the artifact would have more than {MAX_ARTIFACT_BYTES} bytes; give a smaller model.")
        pieces += [header, content]
        directory.append(entry.central(offset))
        offset += len(header) + len(content)
    return b"".join([*pieces, *_tail(directory, offset)])


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a container in their order; raises ArtifactError unless `pack` of them gives exactly `data`."""
    if len(data) > MAX_ARTIFACT_BYTES:
        raise ArtifactError(f"it has {len(data)} bytes, more than the {MAX_ARTIFACT_BYTES} that an artifact may have.")
    entries, start = _directory(data)
    _check_names(entry.name for entry in entries)
    members: dict[str, bytes] = {}
    directory: list[bytes] = []
    offset = 0
    for entry in entries:
        header = entry.local(offset)
        begin = offset + len(header)
        if begin + entry.size > start or data[offset:begin] != header:
            raise _broken(f"the header of member {entry.name!r}")
        content = data[begin : begin + entry.size]
        if zlib.crc32(content) != entry.crc:
            raise _broken(f"the content of member {entry.name!r}")
        members[entry.name] = content
        directory.append(entry.central(offset))
        offset = begin + entry.size
    if offset != start:
        raise _broken("the place of the directory")
    if data[start:] != b"".join(_tail(directory, offset)):
        raise _broken("the directory")
    return members


def _tail(directory: Sequence[bytes], offset: int) -> list[bytes]:
    """Central directory and end record behind members that end at `offset`."""
    size = sum(map(len, directory))
    return [*directory, _END.pack(_END_SIGNATURE, 0, 0, len(directory), len(directory), size, offset, 0)]


def _directory(data: bytes) -> tuple[list[_Entry], int]:
    """Entries of the central directory and its offset, bounded but not yet compared with what `pack` writes."""
    if len(data) < _END.size:
        raise _broken("the end record")
    signature, _, _, _, count, size, start, comment = _END.unpack_from(data, len(data) - _END.size)
    if signature != _END_SIGNATURE or comment != 0 or start + size + _END.size != len(data):
        raise _broken("the end record")
    if count > MAX_MEMBERS:
        raise ArtifactError(f"it has {count} members, more than the {MAX_MEMBERS} that an artifact may have.")
    entries: list[_Entry] = []
    offset, end = start, start + size
    for _ in range(count):
        if offset + _CENTRAL.size > end:
            raise _broken("the directory")
        fields = _CENTRAL.unpack_from(data, offset)
        crc, length, name_length = fields[7], fields[9], fields[10]
        offset += _CENTRAL.size
        name = data[offset : min(offset + name_length, end)]
        if len(name) != name_length or not name.isascii():
            raise _broken("a name in the directory")
        entries.append(_Entry(name.decode("ascii"), crc, length))
        offset += name_length
    if offset != end:
        raise _broken("the directory")
    return entries, start


def _check_names(names: Iterable[str]) -> None:
    """Plain relative names; no two alike but for case, none the folder of another."""
    seen: set[str] = set()
    folders: set[str] = set()
    for count, name in enumerate(names, 1):
        if count > MAX_MEMBERS:
            raise ArtifactError(f"it has more than the {MAX_MEMBERS} members that an artifact may have.")
        if len(name) > MAX_NAME_BYTES or not _NAME.fullmatch(name):
            raise ArtifactError(f"the member name {name[:80]!r} is not a plain relative path of letters, digits and '._-/'.")
        folded = name.lower()
        if folded in seen:
            raise ArtifactError(f"the member {name!r} is there twice.")
        seen.add(folded)
        parts = folded.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    for name in sorted(seen & folders):
        raise ArtifactError(f"the member {name!r} is a file and a folder.")


def _broken(what: str) -> ArtifactError:
    return ArtifactError(f"{what} is damaged or was not written by this format; fetch or compile the artifact again.")
