"""What this machine lacks to emulate an arm64 CPU, in one sentence."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import util

from .cores import ARCH

QEMU = "qemu-aarch64-static"
# Program to Debian's package of it.
_TO_RUN = {QEMU: "qemu-user-static", "unshare": "util-linux", "mount": "mount", "chroot": "coreutils"}
_TO_MAKE = {"debootstrap": "debootstrap", "dpkg": "dpkg"}


def why_not(*, to_make: bool = False) -> str | None:
    """One sentence about why this machine cannot emulate, `to_make`: cannot make a root for it; or None where it can."""
    if platform.machine() == ARCH:
        return "this machine has an arm64 CPU of its own; leave --emulate out, and compile for a profile of this machine."
    if os.geteuid() != 0:
        return "an emulated device needs root, for mount and chroot in a mount namespace of its own; run it as root."
    tools = _TO_RUN | (_TO_MAKE if to_make else {})
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool) is None})
    if missing:
        return f"an emulated device needs Debian's {', '.join(missing)}; apt-get install {' '.join(missing)}."
    if to_make and util.find_spec("pip") is None:
        return "an emulated device's wheels are brought by pip, which this Python does not have; python -m ensurepip."
    return None
