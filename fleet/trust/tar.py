"""A signed repository in one tar file, read where it lies: nothing is unpacked.

The tar may be hostile. The rules, in order:
1. It is a regular file, not compressed, with at most `MAX_MEMBERS` members.
2. No header of it takes more than `MAX_HEADER_BYTES` of memory.
3. A member is a folder or a plain file; no link, device or sparse file, no absolute path, no `..`, no name twice, none of more
   than `MAX_NAME` characters.
4. `metadata/` and `targets/` lie at its top or in one folder at its top, as `tar -cf repo.tar repo` gives it.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from ...core.errors import NetworkError
from ..http import Flow
from .origin import METADATA, TARGETS, flow_of, read_bounded

SUFFIX = ".tar"
MAX_MEMBERS = 20_000
MAX_HEADER_BYTES = 64 << 10
MAX_NAME = 500  # names are kept while the tar is in use


class _Member(NamedTuple):
    offset: int
    size: int


class TarOrigin:
    """A repository in a tar file; read again when the file is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, _Member] = {}
        self._seen: tuple[int, int, int, int] | None = None

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        """A metadata file."""
        with self._open() as file:
            member = self._members.get(f"{METADATA}/{name}")
            if member is None:
                return None
            return read_bounded(file.fileno(), member.offset, member.size, max_bytes, f"{name} in {self._path}")

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        """A target file from `start`."""
        with self._open() as file:
            member = self._members.get(f"{TARGETS}/{name}")
            if member is None:
                raise NetworkError(f"{name} is not in {self._path}; pack the whole repository.")
            yield flow_of(file.fileno(), member.offset, member.size, start, length, f"{name} in {self._path}")

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NetworkError(
                f"cannot read {self._path}: {error.strerror}; plug in the medium or give the tar file."
            ) from error
        with os.fdopen(handle, "rb", buffering=0) as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise NetworkError(f"{self._path} is no plain file; give the tar file of a repository.")
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._seen:
                self._members = _members(file, self._path)
                self._seen = seen
            yield file


def _members(file: IO[bytes], path: Path) -> dict[str, _Member]:
    """Place of each plain file by its path below the repository's folder."""
    found: dict[str, _Member] = {}
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _Headers(file)), mode="r:") as tar:
            count = 0
            while (member := tar.next()) is not None:
                count += 1
                if count > MAX_MEMBERS:
                    raise _refused(path, f"it has more than {MAX_MEMBERS} members")
                # `tarfile` keeps all that it has read, for look-ups that are not made here.
                vars(tar)["members"] = []
                _check(member, path, found)
                if member.isreg():
                    found[str(PurePosixPath(member.name))] = _Member(member.offset_data, member.size)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise _refused(path, f"it is not a tar file that can be read ({error})") from error
    prefix = _prefix(found)
    return {name.removeprefix(prefix): member for name, member in found.items() if name.startswith(prefix)}


def _check(member: tarfile.TarInfo, path: Path, found: dict[str, _Member]) -> None:
    if len(member.name) > MAX_NAME:
        raise _refused(path, f"its member {member.name[:200]!r} has a name of more than {MAX_NAME} characters")
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise _refused(path, f"its member {member.name[:200]!r} leads out of it")
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise _refused(path, f"its member {member.name[:200]!r} is neither a file nor a folder")
    if str(name) in found:
        raise _refused(path, f"its member {member.name[:200]!r} is there twice")


def _prefix(found: dict[str, _Member]) -> str:
    """What stands before `metadata/` in the names: nothing, or one folder."""
    places = {name.partition(f"{METADATA}/")[0] for name in found if f"/{METADATA}/" in f"/{name}"}
    return min((place for place in places if place.count("/") <= 1), default="", key=len)


def _refused(path: Path, why: str) -> NetworkError:
    return NetworkError(f"{path} cannot be used: {why}; pack the repository with `tar -cf`.")


class _Headers:
    """The file as `tarfile` may see it: it reads headers only, so a large read is a header that lies about its size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header of more than {MAX_HEADER_BYTES} bytes")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """The file is closed by who opened it."""
