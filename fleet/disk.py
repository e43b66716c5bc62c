"""The disk as a seam: all durable state on a device goes through `Disk`, so that a test can lose power at every moment of it.

A path is relative to the data folder, in POSIX form, without `..`; `.` is the data folder itself. What POSIX leaves open holds
here: a write is durable only after `sync` of the file, a name (new, renamed, removed) only after `sync` of its folder.
`write_durable`, `replace_link` and `ensure_folder` put these steps into the order that leaves the old content or the new.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..core.errors import StoreError


class Disk(Protocol):
    """A folder tree with explicit durability; every method raises StoreError when the disk refuses."""

    def read(self, path: str) -> bytes:
        """Whole content of a file."""
        ...

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None when no file is there."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none when there is no such folder."""
        ...

    def write(self, path: str, data: bytes, *, private: bool = False) -> None:
        """Create or replace the content of a file, not durably; `private` makes it readable by its owner only."""
        ...

    def write_range(self, path: str, offset: int, data: bytes) -> None:
        """Write `data` at `offset`, not durably; the file is made when it is missing."""
        ...

    def truncate(self, path: str, size: int) -> None:
        """Cut a file, or lengthen it with zeros, not durably."""
        ...

    def sync(self, path: str) -> None:
        """Make a file's content, or a folder's names, durable."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file or link another name, in place of what has that name; atomic, not durable."""
        ...

    def link(self, target: str, path: str) -> None:
        """Make a symbolic link at `path`, where nothing may be, to `target`, which is relative to the link's folder."""
        ...

    def read_link(self, path: str) -> str | None:
        """Target of a symbolic link, or None when no link is there."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, link or empty folder, not durably; a missing one is fine."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents, not durably; one that exists is fine."""
        ...

    def full_path(self, path: str) -> Path:
        """Absolute path, for processes that open the file themselves."""
        ...


class RealDisk:
    """The folder tree under `root`, which must exist."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def read(self, path: str) -> bytes:
        """Whole content of a file."""
        with self._refused("read", path) as full:
            return full.read_bytes()

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with self._refused("read", path) as full, full.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None when no file is there."""
        with self._refused("read", path) as full:
            return full.stat().st_size if full.is_file() else None

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted."""
        with self._refused("read", folder) as full:
            return sorted(os.listdir(full)) if full.is_dir() else []

    def write(self, path: str, data: bytes, *, private: bool = False) -> None:
        """Create or replace the content of a file."""
        mode = 0o600 if private else 0o644
        with self._refused("write", path) as full:
            handle = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                if private:
                    os.fchmod(file.fileno(), mode)
                file.write(data)

    def write_range(self, path: str, offset: int, data: bytes) -> None:
        """Write `data` at `offset`."""
        with self._refused("write", path) as full:
            handle = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.seek(offset)
                file.write(data)

    def truncate(self, path: str, size: int) -> None:
        """Cut or lengthen a file."""
        with self._refused("write", path) as full:
            os.truncate(full, size)

    def sync(self, path: str) -> None:
        """Make a file's content, or a folder's names, durable."""
        with self._refused("write", path) as full:
            handle = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Give a file or link another name."""
        with self._refused("write", new) as full:
            self.full_path(old).replace(full)

    def link(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        with self._refused("write", path) as full:
            full.symlink_to(target)

    def read_link(self, path: str) -> str | None:
        """Target of a symbolic link, or None."""
        with self._refused("read", path) as full:
            return str(full.readlink()) if full.is_symlink() else None

    def remove(self, path: str) -> None:
        """Remove a file, link or empty folder."""
        with self._refused("write", path) as full, contextlib.suppress(FileNotFoundError):
            if full.is_dir() and not full.is_symlink():
                full.rmdir()
            else:
                full.unlink()

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents."""
        with self._refused("write", path) as full:
            full.mkdir(parents=True, exist_ok=True)

    def full_path(self, path: str) -> Path:
        """Absolute path; raises StoreError for one that leads out of the data folder."""
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise StoreError(f"{path!r} does not lie in the data folder {self._root}.")
        return self._root / parts

    @contextmanager
    def _refused(self, doing: str, path: str) -> Iterator[Path]:
        full = self.full_path(path)
        try:
            yield full
        except OSError as error:
            raise StoreError(f"cannot {doing} {full}: {error.strerror or error}; {_advice(error.errno)}.") from error


def _advice(code: int | None) -> str:
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "free some space"
    if code == errno.EROFS:
        return "mount the file system writable"
    if code in (errno.EACCES, errno.EPERM):
        return "give the agent's user the data folder"
    if code == errno.EIO:
        return "the disk is failing, replace it"
    return "look whether something else changes the data folder"


def folder_of(path: str) -> str:
    """The folder that a path lies in; `.` for the data folder."""
    return str(PurePosixPath(path).parent)


def ensure_folder(disk: Disk, path: str) -> None:
    """Make a folder and its parents, durably, also where a process that died had made them and not synced."""
    disk.make_folder(path)
    for parent in PurePosixPath(path).parents:
        disk.sync(str(parent))


def write_durable(disk: Disk, path: str, data: bytes, *, private: bool = False) -> None:
    """Put `data` at `path`: after a power cut at any moment the old content is there or the new; its folder must exist."""
    temporary = _temporary(path)
    try:
        disk.write(temporary, data, private=private)
        disk.sync(temporary)
        disk.rename(temporary, path)
    except StoreError:
        with contextlib.suppress(StoreError):
            disk.remove(temporary)
        raise
    disk.sync(folder_of(path))


def replace_link(disk: Disk, target: str, path: str) -> None:
    """Point the link at `path` to `target`: after a power cut at any moment it points to the old or to the new."""
    temporary = _temporary(path)
    disk.remove(temporary)
    disk.link(target, temporary)
    disk.rename(temporary, path)
    disk.sync(folder_of(path))


def _temporary(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_name(f".{pure.name}.new"))
