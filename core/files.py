"""Writing so that a reader sees the old content or the new, never a half, whenever the process dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StoreError


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_writing(folder: Path) -> None:
    """Make sure of `folder` and that files can be made in it, without leaving one; raises OSError when the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file beside it; raises StoreError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose a folder that is writable."
        ) from error


@contextmanager
def removed_if_refused(written: Iterable[Path]) -> Iterator[None]:
    """Remove what was `written` by the time that the disk refuses the rest: some of the files tell half of the story."""
    try:
        yield
    except StoreError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def folder_in_place(target: Path, scratch: Path) -> Iterator[Path]:
    """Yield a fresh folder under `scratch`; when the block ends well it is renamed to `target`, else it is removed.

    `scratch` must lie on the same file system. If `target` exists by then (another process was faster), that one stays.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=scratch))
    except OSError as error:
        raise StoreError(f"cannot write under {scratch}: {error.strerror or error}; choose a writable folder.") from error
    try:
        yield made
        for file in made.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        else:
            sync_folder(target.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose a folder that is writable."
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
