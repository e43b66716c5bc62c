"""Whether a device may begin to measure, and whether what it measured is to be believed: pure, readings in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.health import MAX_READINGS, Reading

HOT_C = 80.0  # from here on a Raspberry Pi lowers its frequency; others do so at 80 to 100 degrees
FREE_BYTES = 64 << 20  # that a process needs beside the model: interpreter, numpy and a runtime
OTHERS = 0.10  # of the whole CPU, on the average
SLOWER = 0.90  # of the frequency that the device began with


def refusal(now: Reading, needed_bytes: int) -> str:
    """Why the device cannot measure now, in one clause, or nothing; `needed_bytes` is what the model takes."""
    if now.celsius is not None and now.celsius >= HOT_C:
        return f"the device has {now.celsius:.0f} degrees, and is throttled from {HOT_C:.0f} on; let it cool"
    if now.is_throttled:
        return "the device is throttled, or has too little voltage, before it began; look at its cooling and its supply"
    if now.free_bytes is not None and now.free_bytes < needed_bytes + FREE_BYTES:
        return f"{now.free_bytes >> 20} MiB of memory are free, and {(needed_bytes + FREE_BYTES) >> 20} are needed"
    return ""


def disturbances(before: Reading, during: Sequence[Reading], after: Reading) -> tuple[str, ...]:
    """What makes the figures doubtful, one clause each."""
    found = []
    every = (*during, after)
    hottest = max((item.celsius for item in every if item.celsius is not None), default=0.0)
    if hottest >= HOT_C:
        found.append(f"it became {hottest:.0f} degrees hot")
    if before.throttled is not None and after.throttled is not None and after.throttled > before.throttled:
        found.append(f"it was throttled {after.throttled - before.throttled} times")
    if any(item.is_throttled for item in every):
        found.append("it was throttled, or had too little voltage")
    frequencies = [item.mhz for item in during if item.mhz is not None]
    if frequencies and min(frequencies) < SLOWER * max(frequencies):
        found.append(f"its frequency fell from {max(frequencies):.0f} to {min(frequencies):.0f} MHz")
    # The first reading tells of the time before the measuring began.
    shares = [item.others for item in during[1:] if item.others is not None]
    if shares and sum(shares) / len(shares) > OTHERS:
        found.append(f"other processes took {sum(shares) / len(shares):.0%} of the CPU")
    return tuple(found)


def thinned(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """At most as many as a message has, evenly chosen."""
    step = -(-len(readings) // MAX_READINGS) or 1
    return tuple(readings[::step])
