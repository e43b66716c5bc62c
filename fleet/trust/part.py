"""A file that is coming: what of it is on the disk, how much of that is proved, and how it becomes whole.

Bytes are written as they come, so that a process that dies loses none that it had. Where the digests of the chunks are known, a
chunk is proved as soon as its last byte is there, and a wrong one is cut off again; every hundredth of the file what was proved
is synced and noted. After a power cut whatever lies behind the mark is proved anew, chunk by chunk, and cut off where it
is not right. Without chunk digests only the digest of the whole file decides, at its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.artifact_json import Fields, parse, write
from ...core.errors import ArtifactError, VerificationError
from ..disk import Disk, folder_of
from ..protocol.offer import DIGEST_BYTES

# Strong digests that every Python has; others that signers may list beside them are not looked at.
_ALGORITHMS = ("sha256", "sha512", "sha384")
_READ_BYTES = 1 << 20
_MARKS = 100


@dataclass(frozen=True)
class Wanted:
    """A file as its signers describe it: `source` at the origin, `length` in bytes, digests by algorithm in hexadecimal."""

    source: str
    length: int
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class ChunkList:
    """The raw SHA-256 of each `chunk_bytes` of a file, one behind the other; the last chunk may be shorter."""

    digests: bytes
    chunk_bytes: int

    def check(self, length: int) -> None:
        """Raise VerificationError when it is not the list of a file of that length."""
        check_chunk_list(len(self.digests), length, self.chunk_bytes)

    def digest(self, index: int) -> bytes:
        """The digest of a chunk."""
        return self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]


class Part:
    """The file at `path`.part and its mark at `path`.json, until `finish` makes them the file at `path`."""

    def __init__(self, disk: Disk, path: str, wanted: Wanted, chunks: ChunkList | None) -> None:
        """Take up what is there; raises StoreError, and VerificationError for a chunk list of another file."""
        self._disk = disk
        self._path = path
        self._wanted = wanted
        self._chunks = chunks
        self._chunk = hashlib.sha256()
        self._proved = self._marked = 0
        self._list = "" if chunks is None else hashlib.sha256(chunks.digests).hexdigest()
        if chunks is not None:
            chunks.check(wanted.length)
        if disk.size(self._part) is None:
            disk.write(self._part, b"")
        self.size = disk.size(self._part) or 0
        if self.size > wanted.length:
            self._cut(wanted.length)
        if chunks is not None:
            self._take_up(chunks)

    @property
    def _part(self) -> str:
        return f"{self._path}.part"

    @property
    def _mark(self) -> str:
        return f"{self._path}.json"

    def append(self, data: bytes) -> None:
        """Write what comes next, never past the file's length; raises VerificationError for a wrong chunk, which is cut off."""
        view = memoryview(data)[: self._wanted.length - self.size]
        while view:
            step = view[: self._to_chunk_end()]
            self._disk.write_range(self._part, self.size, bytes(step))
            self.size += len(step)
            view = view[len(step) :]
            if self._chunks is not None:
                self._prove(self._chunks, step)

    def mark(self) -> None:
        """Make durable what was proved, then note that it was.

        The note is not synced: one that is lost or torn says nothing, and then what is here is proved anew.
        """
        if self._proved > self._marked:
            self._disk.sync(self._part)
            note = write({"list": self._list, "proved": self._proved}, "the mark of a download")
            self._disk.write(f"{self._mark}.new", note)
            self._disk.rename(f"{self._mark}.new", self._mark)
            self._marked = self._proved

    def finish(self) -> str:
        """Path of the whole file, durable; raises VerificationError, and then nothing of it is left."""
        if not is_whole(self._disk, self._part, self._wanted):
            self.discard()
            raise VerificationError(f"{self._wanted.source} is not the file that was signed; it was thrown away.")
        self._disk.sync(self._part)
        self._disk.rename(self._part, self._path)
        self._disk.sync(folder_of(self._path))
        self._disk.remove(self._mark)
        self._disk.remove(f"{self._mark}.new")
        return self._path

    def discard(self) -> None:
        """Remove the part and its mark: the mark first, since it must never vouch for another part."""
        self._disk.remove(self._mark)
        self._disk.sync(folder_of(self._path))
        self._disk.remove(self._part)
        self.size = self._proved = self._marked = 0

    def _take_up(self, chunks: ChunkList) -> None:
        self._proved = self._marked = min(self._read_mark(), self.size // chunks.chunk_bytes * chunks.chunk_bytes)
        place, end = self._proved, self.size
        self.size = place
        while place < end:
            piece = self._disk.read_range(self._part, place, min(self._to_chunk_end(), end - place))
            if not piece:
                break
            place += len(piece)
            self.size = place
            try:
                self._prove(chunks, memoryview(piece))
            except VerificationError:
                return

    def _to_chunk_end(self) -> int:
        """Bytes to the end of the chunk, or of the file."""
        left = self._wanted.length - self.size
        return left if self._chunks is None else min(left, self._chunks.chunk_bytes - self.size % self._chunks.chunk_bytes)

    def _prove(self, chunks: ChunkList, step: memoryview) -> None:
        """Take in bytes that were written; at the end of a chunk compare."""
        self._chunk.update(step)
        if self.size % chunks.chunk_bytes and self.size != self._wanted.length:
            return
        found, self._chunk = self._chunk.digest(), hashlib.sha256()
        if found != chunks.digest(self._proved // chunks.chunk_bytes):
            where = self._proved
            self._cut(where)
            raise VerificationError(f"{self._wanted.source} is wrong from byte {where} on; try another mirror.")
        self._proved = self.size
        if self._proved - self._marked >= max(self._wanted.length // _MARKS, chunks.chunk_bytes):
            self.mark()

    def _cut(self, size: int) -> None:
        self._disk.truncate(self._part, size)
        self.size = size

    def _read_mark(self) -> int:
        """Bytes that the mark says were proved by this chunk list; a damaged mark says none."""
        if self._disk.size(self._mark) is None:
            return 0
        try:
            read = Fields(parse(self._disk.read(self._mark), "the mark of a download"), "the mark of a download")
            return read.count("proved") if read.sha256("list") == self._list else 0
        except ArtifactError:
            return 0


def check_chunk_list(size: int, length: int, chunk_bytes: int) -> None:
    """Raise VerificationError where a chunk list of `size` bytes is not that of a file of `length` bytes."""
    if size != -(-length // chunk_bytes) * DIGEST_BYTES:
        raise VerificationError("the chunk list does not fit the size of its artifact; publish the artifact again.")


def is_whole(disk: Disk, path: str, wanted: Wanted) -> bool:
    """Whether a file has the signed length and digests; raises VerificationError when no digest of a known kind was signed."""
    digests = {name: hashlib.new(name) for name in _ALGORITHMS if name in wanted.hashes}
    if not digests:
        raise VerificationError(f"{wanted.source} was signed with none of {', '.join(_ALGORITHMS)}; publish it again.")
    if disk.size(path) != wanted.length:
        return False
    for offset in range(0, wanted.length, _READ_BYTES):
        piece = disk.read_range(path, offset, _READ_BYTES)
        for digest in digests.values():
            digest.update(piece)
    return all(digest.hexdigest() == wanted.hashes[name] for name, digest in digests.items())
