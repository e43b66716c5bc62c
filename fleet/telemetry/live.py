"""The counts of a window while it is open: a file that two processes share, so that no kill of either loses a count.

Who counts makes the file, locks it, and only then gives it the name of an open one; it maps it into memory, and renames it when
the window is over. Who collects takes files that were closed, and open ones whose lock is free, since their owner died. The
pages belong to the kernel: what was counted before a kill -9 is there after it; after a power cut only what was closed is.

    live/<model>-<start in ms>-<pid>-<number>.new | .open | .closed:  8 bytes magic | u32 bytes of JSON | JSON (model, sha256,
    bins of each tensor) | padding to 8 bytes | int64 little endian: start, end, requests, samples, unseen, errors, latency,
    tensors
"""

from __future__ import annotations

import array
import fcntl
import json
import mmap
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...core.artifact_json import Fields
from ...core.canonical import dumps
from ...core.errors import ArtifactError, ProtocolError, StoreError
from ..protocol.offer import check_model
from ..protocol.window import ERROR_KINDS, LATENCY_BINS, MAX_BINS, MAX_TENSORS, Window

FOLDER = "telemetry/live"
WINDOW_S = 600.0  # that a window takes, where nobody asks for another length
NEW, OPEN, CLOSED = ".new", ".open", ".closed"
START, END, REQUESTS, SAMPLES, UNSEEN, ERRORS = range(6)
LATENCY = ERRORS + len(ERROR_KINDS)
TENSORS = LATENCY + LATENCY_BINS

_MAGIC = b"EWLIVE1\n"
_MAX_HEAD = 64 << 10
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}-\d{1,16}-\d{1,10}-\d{1,10}\.(new|open|closed)")


@dataclass(frozen=True)
class Head:
    """Whose counts a file holds; `bins` are the numbers of counts of each tensor."""

    model: str
    sha256: str
    bins: tuple[int, ...]

    @property
    def counts(self) -> int:
        """Number of int64 in the file."""
        return TENSORS + sum(self.bins)

    def encode(self) -> bytes:
        """The bytes before the counts."""
        head = dumps({"bins": list(self.bins), "model": self.model, "sha256": self.sha256})
        head += b" " * (-(len(_MAGIC) + 4 + len(head)) % 8)
        return _MAGIC + len(head).to_bytes(4, "little") + head


@dataclass(frozen=True)
class Opened:
    """A file that this process has locked and mapped."""

    handle: int
    path: Path
    pages: mmap.mmap


def create(folder: Path, head: Head, start_ms: int, number: int) -> Opened:
    """A new open file of zeros behind its head; raises OSError when the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{head.model}-{start_ms}-{os.getpid()}-{number}{NEW}"
    handle = _locked(path)
    try:
        data = head.encode() + bytes(8 * head.counts)
        # Blocks that are really there: a mapped page that the disk has no room for would end the process.
        os.posix_fallocate(handle, 0, len(data))
        os.pwrite(handle, data, 0)
        pages = mmap.mmap(handle, len(data))
        # Not before it is locked: who collects would take it for that of a dead process.
        return Opened(handle, path.rename(path.with_suffix(OPEN)), pages)
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise


def close(opened: Opened) -> None:
    """The window is over, and durable: from now on it may be collected. Raises OSError; then it is left as it is."""
    try:
        opened.pages.flush()
        os.fsync(opened.handle)
        opened.path.rename(opened.path.with_suffix(CLOSED))
        folder = os.open(opened.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.close(opened.handle)


def discard(opened: Opened) -> None:
    """Nothing was counted: the file goes. Raises OSError."""
    try:
        opened.path.unlink(missing_ok=True)
    finally:
        os.close(opened.handle)


def finished(folder: Path) -> Iterator[Path]:
    """Files whose owners have closed them or died, oldest name first; other files are left alone."""
    for path in _files(folder):
        if path.suffix == CLOSED or (path.suffix == OPEN and _is_orphan(path)):
            yield path


def sweep(folder: Path) -> None:
    """Remove files that were begun by processes that died at it; one that is about to lock its file makes another."""
    for path in _files(folder):
        if path.suffix == NEW:
            _is_orphan(path, then=path.unlink)


def read(path: Path) -> Window:
    """The counts of a file; raises ProtocolError for one that is damaged, StoreError when the disk refuses."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; look at the disk.") from error
    head, place = _head(data)
    counts = array.array("q")
    if len(data) != place + 8 * head.counts:
        raise ProtocolError(f"{path.name} is not whole.")
    counts.frombytes(data[place:])
    if sys.byteorder == "big":
        counts.byteswap()
    if min(counts) < 0:
        raise ProtocolError(f"{path.name} has counts below zero.")
    tensors, at = [], TENSORS
    for size in head.bins:
        tensors.append(tuple(counts[at : at + size]))
        at += size
    return Window(
        head.model,
        head.sha256,
        counts[START],
        max(counts[START], counts[END]),
        1,
        counts[REQUESTS],
        counts[SAMPLES],
        counts[UNSEEN],
        tuple(counts[ERRORS:LATENCY]),
        tuple(counts[LATENCY:TENSORS]),
        tuple(tensors),
    )


def _files(folder: Path) -> list[Path]:
    """Files of this module by name; none of a folder that cannot be listed."""
    return [path for path in sorted(folder.glob("*")) if _NAME.fullmatch(path.name) and not path.is_symlink()]


def _head(data: bytes) -> tuple[Head, int]:
    """The head, and the offset of the counts."""
    size = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 4], "little")
    if not data.startswith(_MAGIC) or size > _MAX_HEAD:
        raise ProtocolError("this is no file of counts.")
    start = len(_MAGIC) + 4
    try:
        fields = Fields(json.loads(data[start : start + size]), "the head of the counts")
        head = Head(fields.text("model"), fields.sha256("sha256"), fields.counts("bins"))
    except (ArtifactError, ValueError, RecursionError) as error:
        raise ProtocolError("the head of the counts is damaged.") from error
    check_model(head.model)
    if len(head.bins) > MAX_TENSORS or max(head.bins, default=0) > MAX_BINS:
        raise ProtocolError("the counts have more bins than an artifact has.")
    return head, start + size


def _locked(path: Path) -> int:
    """Handle of a new file that this process has locked, and that `sweep` had not removed by then."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            is_there = os.fstat(handle).st_nlink > 0
        except BaseException:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        if is_there:
            return handle
        os.close(handle)


def _is_orphan(path: Path, then: Callable[[], None] = lambda: None) -> bool:
    """Whether nobody holds the lock of an open file; `then` is done while this process holds it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = path.exists()  # its owner may have closed it meanwhile, under another name
        then()
    except OSError:
        return False
    finally:
        os.close(handle)
    return is_there
