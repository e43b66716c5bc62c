"""Programs on an emulated arm64 device that start further ones, as the agent does: an emulated device for benchmarks.

The device is a folder of `edgewright emulation prepare`; binfmt_misc lets its programs start others. Instructions are those of
a Cortex-A72, as in a Raspberry Pi 4 (QEMU_CPU), and /proc/cpuinfo says so; kernel, network and clock are this machine's. What
it shows of speed says nothing about a device.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from edgewright.core.progress import Silent
from edgewright.runtimes.emulated import needs
from edgewright.runtimes.emulated.prepare import prepare
from edgewright.runtimes.emulated.root import CORES

PACKAGES = "usr/local/lib/python3.11/dist-packages"  # where Debian's Python 3.11 looks
_CORE = "cortex-a72"
_REGISTERED = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")
_MOUNTS = f"""
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount --bind "$0/{CORES}/{_CORE}" "$0/proc/cpuinfo"
exec chroot "$0" "$@"
"""


def why_not() -> str | None:
    """One sentence about why this machine cannot run it, or None."""
    if refusal := needs.why_not(to_make=True):
        return refusal
    if shutil.which("update-binfmts") is None:
        return "an emulated device whose programs start others needs Debian's binfmt-support; apt-get install binfmt-support."
    return None


def make_root(folder: Path) -> None:
    """A file system with Debian bookworm's Python 3.11, unpacked and not configured; one that is whole is used again."""
    prepare(folder, Silent())


def register() -> None:
    """Let the kernel run arm64 programs by qemu."""
    if not _REGISTERED.parent.joinpath("register").exists():
        _do("mount", "-t", "binfmt_misc", "binfmt_misc", str(_REGISTERED.parent))
    if not _REGISTERED.exists():
        _do("update-binfmts", "--enable", "qemu-aarch64")


def install(folder: Path, *requirements: str) -> None:
    """Wheels for aarch64 into the root's Python, in the place of those that were there; nothing is built."""
    place = folder / PACKAGES
    shutil.rmtree(place, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), "--only-binary=:all:"]
    for name in _PLATFORMS:
        command += ["--platform", name]
    command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    subprocess.run([*command, *requirements], check=True, stderr=subprocess.DEVNULL)


def start(folder: Path, *command: str, log: int | None = None) -> subprocess.Popen[str]:
    """A program of the root, on the emulated device; `log` takes its errors. Its mounts end with it."""
    inside = ["env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", f"QEMU_CPU={_CORE}", "ORT_DISABLE_TELEMETRY=1", *command]
    outside = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _MOUNTS, str(folder), *inside]
    return subprocess.Popen(outside, stdout=subprocess.PIPE, stderr=log, text=True)


def run(folder: Path, *command: str) -> str:
    """What a program of the root prints; raises ChildProcessError when it fails."""
    with start(folder, *command) as process:
        said = process.communicate()[0]
    if process.returncode:
        raise ChildProcessError(f"{' '.join(command)} ended with {process.returncode} on the emulated device")
    return said


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
