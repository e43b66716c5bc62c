"""Resident memory of this process, from Linux' /proc."""

from __future__ import annotations

import contextlib
from pathlib import Path


def reset_peak() -> int:
    """Make the peak of resident memory start from now; its size in bytes (0 without /proc)."""
    with contextlib.suppress(OSError):
        # "5" resets VmHWM: Linux, Documentation/filesystems/proc.rst.
        Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """The peak of resident memory since `reset_peak`, in bytes (0 without /proc)."""
    return _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return 0
