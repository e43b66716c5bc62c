"""Where the files of a signed repository come from: a web server, or a folder such as a mounted stick.

Nothing here is trusted: who uses an origin bounds and verifies what it gives. Files lie in `metadata/` and `targets/`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from ...core.errors import NetworkError
from ..http import Flow, Http

METADATA = "metadata"
TARGETS = "targets"
_PIECE_BYTES = 64 << 10


class Origin(Protocol):
    """The files of a repository; every method raises NetworkError when the origin cannot be read or says something else."""

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        """A metadata file of at most `max_bytes`, or None when it is not there."""
        ...

    def flow(self, name: str, start: int, length: int) -> AbstractContextManager[Flow]:
        """A target file of `length` bytes from `start`, piece by piece, never more than that."""
        ...


class HttpOrigin:
    """A repository behind a web server, which need not be more than a file server."""

    def __init__(self, http: Http, url: str) -> None:
        """`url`: the folder with `metadata/` and `targets/`."""
        self._http = http
        self._url = url.rstrip("/")

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        """A metadata file; 403 and 404 both say that it is not there, as some stores answer either."""
        answer = self._http.get(f"{self._url}/{METADATA}/{name}", max_bytes=max_bytes)
        if answer.status in (403, 404):
            return None
        if answer.status != 200:
            raise NetworkError(
                f"{self._url}/{METADATA}/{name} answers with {answer.status}; look whether the address is right."
            )
        return answer.body

    def flow(self, name: str, start: int, length: int) -> AbstractContextManager[Flow]:
        """A target file from `start`."""
        return self._http.flow(f"{self._url}/{TARGETS}/{name}", start=start, length=length)


class FolderOrigin:
    """A repository in a folder; links in it are not followed at the end of a path, and only regular files are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        """A metadata file."""
        if not self._folder.is_dir():
            raise NetworkError(f"there is no folder {self._folder}; plug in the medium or give the folder of the repository.")
        try:
            handle = self._open(METADATA, name)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file:
            return read_bounded(file.fileno(), 0, os.fstat(handle).st_size, max_bytes, str(self._folder / METADATA / name))

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        """A target file from `start`."""
        where = self._folder / TARGETS / name
        try:
            handle = self._open(TARGETS, name)
        except FileNotFoundError:
            raise NetworkError(f"{where} is not there; copy the whole repository to the folder.") from None
        with os.fdopen(handle, "rb") as file:
            yield flow_of(file.fileno(), 0, os.fstat(handle).st_size, start, length, str(where))

    def _open(self, kind: str, name: str) -> int:
        """Descriptor of a regular file; raises FileNotFoundError or NetworkError."""
        parts = PurePosixPath(name)
        where = self._folder / kind / parts
        if parts.is_absolute() or ".." in parts.parts or "\0" in name:
            raise NetworkError(f"{name!r} leads out of the folder {self._folder}; this repository is not to be trusted.")
        try:
            handle = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise NetworkError(f"cannot read {where}: {error.strerror}; copy the repository as plain files.") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise NetworkError(f"{where} is no plain file; copy the repository as plain files.")
        return handle


def read_bounded(handle: int, offset: int, size: int, max_bytes: int, where: str) -> bytes:
    """`size` bytes of a file from `offset`; raises NetworkError when these are more than `max_bytes`."""
    if size > max_bytes:
        raise NetworkError(f"{where} has {size} bytes, more than the {max_bytes} that are allowed; take another copy.")
    return b"".join(_pieces(handle, offset, size, where))


def flow_of(handle: int, offset: int, size: int, start: int, length: int, where: str) -> Flow:
    """What lies at `offset` of a file with `size` bytes, from its byte `start` up to at most its byte `length`."""
    if start > size:
        raise NetworkError(f"{where} is shorter there than it was signed to be; copy the repository again.")
    return Flow(206, start, size, _pieces(handle, offset + start, min(size, length) - start, where))


def _pieces(handle: int, offset: int, size: int, where: str) -> Iterator[bytes]:
    end = offset + size
    while offset < end:
        try:
            piece = os.pread(handle, min(_PIECE_BYTES, end - offset), offset)
        except OSError as error:
            raise NetworkError(f"cannot read {where}: {error.strerror}; look whether the medium was removed.") from error
        if not piece:
            return
        offset += len(piece)
        yield piece
