"""Making the folder of an emulated device: Debian for arm64, unpacked and never configured, and aarch64 wheels of runtimes.

A step that fails or is interrupted leaves nothing half-made: Debian is unpacked in a folder beside and renamed when it is
whole; wheels are installed beside the old ones. debootstrap runs in a mount namespace of its own, so that no mount outlives it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from ...core.errors import StoreError, UsageError
from ...core.progress import Progress
from .cores import CORES as KNOWN_CORES
from .needs import why_not
from .root import CODE, CORES, EMULATOR, PACKAGES, PYTHON, Root

_SUITE = "bookworm"
_PROCESSORS = 4
_RUNTIMES = ("onnxruntime", "ai-edge-litert")
# bookworm has glibc 2.36; pip takes a platform that is named to it literally, and not those below.
_PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)))
_ABIS = ("cp311", "abi3", "none")


def wanted_wheels() -> dict[str, str]:
    """Version by package that a root needs to answer as this machine's runtimes would: the same versions; raises UsageError."""
    found = {}
    for name in ("numpy", *_RUNTIMES):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if not any(name in found for name in _RUNTIMES):
        raise UsageError("no runtime that has aarch64 wheels is installed here; pip install 'edgewright[onnxruntime,litert]'.")
    return found


def prepare(folder: Path, progress: Progress) -> Root:
    """The root in `folder`, made or completed; what is there already stays as it is.

    Raises UsageError when this machine lacks something or `folder` holds other files, StoreError when a step fails.
    """
    root, wheels = Root(folder.resolve()), wanted_wheels()
    if refusal := why_not(to_make=not root.is_begun or root.wheels() != wheels):
        raise UsageError(refusal)
    if not root.is_begun:
        _check_free(root.folder)
        with progress.task(f"Debian {_SUITE} for arm64"):
            _unpack(root.folder)
    if root.wheels() != wheels:
        with progress.task("aarch64 wheels"):
            root.stamp(None)
            _install(root.folder, wheels)
            root.stamp(wheels)
    return root


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds other files; give an empty or new folder for the emulated device.")


def _unpack(folder: Path) -> None:
    """Debian's packages with Python, unpacked into `folder` by way of one beside it."""
    with _scratch(folder.with_name(f".{folder.name}.part")) as made:
        options = ("--arch=arm64", "--foreign", "--variant=minbase", "--include=python3")
        _do("unshare", "--mount", "--propagation", "private", "debootstrap", *options, _SUITE, str(made))
        for package in sorted((made / "var/cache/apt/archives").glob("*.deb")):
            _do("dpkg", "-x", str(package), str(made))
            package.unlink()
        if not (made / PYTHON).exists():
            raise StoreError(f"Debian {_SUITE} came without {PYTHON}; look at what debootstrap says of its mirror.")
        for name in (f"{CODE}/edgewright", CORES):
            (made / name).mkdir(parents=True)
        (made / EMULATOR).touch()
        for core in KNOWN_CORES:
            (made / CORES / core.name).write_text(core.cpuinfo(_PROCESSORS), "utf-8")
        made.rename(folder)


def _install(folder: Path, wheels: Mapping[str, str]) -> None:
    """Wheels for aarch64 into the root, in the place of those that were there; nothing is built."""
    with _scratch(folder / f"{PACKAGES}.part") as made:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--target", str(made), "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
        for platform in _PLATFORMS:
            command += ["--platform", platform]
        for abi in _ABIS:
            command += ["--abi", abi]
        _do(*command, *(f"{name}=={version}" for name, version in wheels.items()))
        shutil.rmtree(folder / PACKAGES, ignore_errors=True)
        made.rename(folder / PACKAGES)


@contextlib.contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """An empty folder that nobody else works in; gone after the block, unless it was renamed. Raises StoreError, UsageError."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"cannot make {place}: {error.strerror or error}; give a folder that is writable.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another process is at work in {place}; wait for it, or end it.") from error
        for left in place.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(handle)


def _do(*command: str) -> None:
    """Run to the end; its whole group of processes ends with this one's interest. Raises StoreError with what it said last."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if code:
            said.seek(0)
            raise StoreError(f"{_named(command)} failed: {_last_line(said.read())}; mend that and run it again.")


def _named(command: Sequence[str]) -> str:
    return next((name for name in ("debootstrap", "pip") if name in command), command[0])


def _last_line(said: bytes) -> str:
    """The last line that calls itself an error, else the last one."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "ERROR:", "error:"))]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
