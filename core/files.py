"""Writing so that a reader sees the old content or the new, never a half, whenever the process dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import StoreError

_HIDDEN = ".edgewright-"
_STALE_SECONDS = 24 * 3600


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
    with _refused(path):
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


@contextmanager
def moved_in(folder: Path, set_aside: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a hidden folder inside `folder`; when the block ends well its files are moved into `folder`, else nothing changes.

    In that last step the files of `folder` named in `set_aside` become NAME.previous. A move that fails takes back those before
    it. Raises StoreError when the disk refuses.
    """
    with _refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder, _HIDDEN)
        hidden = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=folder))
    try:
        made, kept = hidden / "new", hidden / "old"
        with _refused(folder):
            made.mkdir()
            kept.mkdir()
        yield made
        aside = [(folder / name, folder / f"{name}.previous") for name in set_aside if (folder / name).exists()]
        with _refused(folder):
            _move_all([*aside, *((file, folder / file.name) for file in sorted(made.iterdir()))], kept)
            sync_folder(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _move_all(moves: Sequence[tuple[Path, Path]], kept: Path) -> None:
    """Rename each source to its target, or none: what a target held is in `kept` until all are done."""
    begun: list[tuple[Path, Path, Path]] = []
    try:
        for source, target in moves:
            old = kept / target.name
            if target.exists():
                _copy(target, old)
            begun.append((source, target, old))
            source.replace(target)
    except BaseException:
        for source, target, old in reversed(begun):
            if not source.exists():
                target.replace(source)
            if old.exists():
                old.replace(target)
        raise


def _copy(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system knows no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def remove_stale(folder: Path, prefix: str = "", older_seconds: float = _STALE_SECONDS) -> None:
    """Remove the folders inside `folder`, of names with `prefix`, that a process which was killed left so long ago."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and now - entry.stat().st_mtime > older_seconds:
                shutil.rmtree(entry.path, ignore_errors=True)


@contextmanager
def _refused(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {place}: {error.strerror or error}; free some space or choose a folder that is writable."
        ) from error


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
