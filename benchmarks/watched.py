"""Watching a process and its children from outside: processor seconds and memory over time, read from Linux' /proc."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY_SECONDS = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One look: the clock (time.monotonic), processor seconds so far, bytes that all hold together, and the process alone.

    Memory is the proportional share (PSS): a page that several processes map counts once in all.
    """

    at: float
    cpu_seconds: float
    all_bytes: int
    own_bytes: int


def watch(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[list[Sample], int]:
    """Run `command` to its end; the samples, and its exit code."""
    samples: list[Sample] = []
    with subprocess.Popen(command, env={**os.environ, **(environment or {})}) as process:
        while process.poll() is None:
            samples.append(_look(process.pid))
            time.sleep(_EVERY_SECONDS)
        return samples, process.returncode


def cpu_between(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Processor seconds that were spent from `begin` to `end`, between samples by the straight line."""
    return max(0.0, _cpu_at(samples, end) - _cpu_at(samples, begin))


def peak_between(samples: Sequence[Sample], begin: float, end: float) -> int:
    """The most bytes that all processes together held from `begin` to `end`."""
    return max((sample.all_bytes for sample in samples if begin <= sample.at <= end), default=0)


def _cpu_at(samples: Sequence[Sample], at: float) -> float:
    place = bisect_left([sample.at for sample in samples], at)
    if place in (0, len(samples)):
        return samples[min(place, len(samples) - 1)].cpu_seconds
    before, after = samples[place - 1], samples[place]
    share = (at - before.at) / (after.at - before.at)
    return before.cpu_seconds + share * (after.cpu_seconds - before.cpu_seconds)


def _look(pid: int) -> Sample:
    family = _family(pid)
    held = [_pss_bytes(item) for item in family]
    return Sample(time.monotonic(), sum(_cpu_seconds(item) for item in family), sum(held), held[0])


def _family(pid: int) -> list[int]:
    """The process, then all below it."""
    found = [pid]
    for item in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{item}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    """Of the process and of its children that have ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
