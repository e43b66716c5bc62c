"""What the device tells of itself at a moment: temperature, frequency, throttling, free memory, who else works.

From /sys and /proc as Linux documents them (Documentation/ABI/testing/sysfs-class-thermal,
Documentation/admin-guide/pm/cpufreq, Documentation/filesystems/proc), and `get_throttled` of the Raspberry Pi's firmware, whose
low bits tell of now: 0 too little voltage, 1 frequency capped, 2 throttled, 3 temperature limit (vcgencmd's documentation).
"""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

from ....core.clock import Clock
from ...protocol.health import Reading

_ZONES = "sys/class/thermal/thermal_zone*/temp"
_FREQUENCIES = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_COUNTERS = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_NOW = 0xF  # bits of get_throttled that tell of now
_HOTTEST = 200.0  # degrees; what a sensor tells above it, or below nothing, is no temperature
_TICKS = 10  # columns of /proc/stat's first line
_IDLE = (3, 4)  # of them: idle and waiting for the disk
_GUEST = (8, 9)  # counted in user and nice already


class Sensors:
    """Readings one after another; `root` is where /sys and /proc lie."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock, self._root = clock, root
        self._began = clock.monotonic()
        self._before: tuple[int, int, int] | None = None  # ticks: all, busy, of the measuring

    def read(self, measuring: int | None = None) -> Reading:
        """The device now; `measuring` is the session whose processes are the measuring itself."""
        throttled = self._numbers(_COUNTERS)
        flags = self._flags()
        return Reading(
            at_s=self._clock.monotonic() - self._began,
            celsius=max((value / 1e3 for value in self._numbers(_ZONES) if 0 < value <= _HOTTEST * 1e3), default=None),
            mhz=max((value / 1e3 for value in self._numbers(_FREQUENCIES)), default=None),
            throttled=sum(throttled) if throttled else None,
            is_throttled=None if flags is None else bool(flags & _NOW),
            free_bytes=self._free_bytes(),
            others=self._others(measuring),
        )

    def is_emulated(self) -> bool:
        """Whether this is a program for another CPU than the machine's, as under qemu's user mode, which changes `uname`.

        Linux tells its own architecture since 6.1; on an older kernel an emulated CPU tells no instruction sets.
        """
        with contextlib.suppress(OSError):
            return self._text("proc/sys/kernel/arch").strip() != platform.machine()
        with contextlib.suppress(OSError):
            key = "flags" if platform.machine() == "x86_64" else "Features"
            return key not in self._text("proc/cpuinfo")
        return False

    def _others(self, measuring: int | None) -> float | None:
        ticks = self._ticks()
        if ticks is None:
            return None
        every, busy = ticks
        mine = 0 if measuring is None else self._used(measuring)
        before, self._before = self._before, (every, busy, mine)
        if before is None or every <= before[0]:
            return None
        share = (busy - before[1] - max(0, mine - before[2])) / (every - before[0])
        return min(1.0, max(0.0, share))

    def _ticks(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            first = self._text("proc/stat").splitlines()[0].split()
            told = [int(value) for value in first[1 : 1 + _TICKS]]
            every = sum(value for place, value in enumerate(told) if place not in _GUEST)
            return every, every - sum(told[place] for place in _IDLE)
        return None

    def _used(self, session: int) -> int:
        """Ticks that the processes of a session had so far; of one that ended, its parent tells."""
        used = 0
        for path in self._root.glob("proc/[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                behind = path.read_text("utf-8", "replace").rpartition(")")[2].split()
                if int(behind[3]) == session:
                    used += sum(int(value) for value in behind[11:15])
        return used

    def _free_bytes(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in self._text("proc/meminfo").splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
        return None

    def _flags(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int(self._text(_FIRMWARE), 16)
        return None

    def _numbers(self, pattern: str) -> list[int]:
        """What the files of a pattern tell; those that cannot be read tell nothing."""
        found = []
        for path in sorted(self._root.glob(pattern)):
            with contextlib.suppress(OSError, ValueError):
                found.append(int(path.read_text()))
        return found

    def _text(self, path: str) -> str:
        return (self._root / path).read_text("utf-8", "replace")
