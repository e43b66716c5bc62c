"""Resident memory of a process, from Linux' /proc."""

from __future__ import annotations

import contextlib
from pathlib import Path


def reset_peak() -> int:
    """Make the peak of resident memory start from now; its size in bytes (0 without /proc)."""
    with contextlib.suppress(OSError):
        # "5" resets VmHWM: Linux, Documentation/filesystems/proc.rst.
        Path("/proc/self/clear_refs").write_text("5")
    return resident_bytes()


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process, in bytes (0 without /proc, or when it is gone)."""
    return _status_bytes("VmRSS", pid)


def peak_bytes() -> int:
    """The peak of resident memory since `reset_peak`, in bytes (0 without /proc)."""
    return _status_bytes("VmHWM")


def _status_bytes(field: str, pid: int | str = "self") -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return 0
