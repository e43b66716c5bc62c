"""A Debian for arm64 in a folder, and programs of it run here by qemu: an emulated device for benchmarks.

Instructions are those of a Cortex-A72, as in a Raspberry Pi 4 (QEMU_CPU), and /proc/cpuinfo says so; kernel, network and
clock are this machine's. What it shows of speed says nothing about a device.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = "usr/local/lib/python3.11/dist-packages"  # where Debian's Python 3.11 looks
_TOOLS = {
    "debootstrap": "debootstrap",
    "dpkg": "dpkg",
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
}
_REGISTERED = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
_CORE = "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd08\n"
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")
_MOUNTS = """
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount --bind "$0/cpuinfo" "$0/proc/cpuinfo"
exec chroot "$0" "$@"
"""


def why_not() -> str | None:
    """One sentence about why this machine cannot run it, or None."""
    if platform.machine() == "aarch64":
        return "this machine is an arm64 device itself; run the agent on it without emulation."
    if os.geteuid() != 0:
        return "an emulated device needs root, for chroot, mount and binfmt_misc; run it as root in a machine made for tests."
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        return f"an emulated device needs Debian's {', '.join(missing)}; apt-get install {' '.join(missing)}."
    return None


def make_root(folder: Path) -> None:
    """A file system with Debian bookworm's Python 3.11, unpacked and not configured; one that is whole is used again."""
    done = folder / "unpacked"
    if done.exists():
        return
    if not (folder / "debootstrap").exists():
        options = ("--arch=arm64", "--foreign", "--variant=minbase", "--include=python3")
        _do("debootstrap", *options, "bookworm", str(folder))
    for package in sorted((folder / "var/cache/apt/archives").glob("*.deb")):
        _do("dpkg", "-x", str(package), str(folder))
    (folder / "cpuinfo").write_text("\n".join(f"processor\t: {number}\n{_CORE}" for number in range(4)), "utf-8")
    done.touch()


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
    inside = ["env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "QEMU_CPU=cortex-a72", "ORT_DISABLE_TELEMETRY=1", *command]
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
