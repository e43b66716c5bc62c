"""What a device reads of itself in /sys and /proc, and what is made of it."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from edgewright.fleet.agent.bench.judge import HOT_C, disturbances, refusal, thinned
from edgewright.fleet.agent.bench.sensors import Sensors
from edgewright.fleet.protocol.health import MAX_READINGS, Reading
from simulated import SimulatedClock

COOL = Reading(0.0, 50.0, 1500.0, 3, False, 1 << 30)


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def raspberry(root: Path) -> None:
    for zone, celsius in enumerate((48, 51, -274, 9999)):
        write(root, f"sys/class/thermal/thermal_zone{zone}/temp", f"{celsius * 1000}\n")
    for core, mhz in enumerate((600, 1500)):
        write(root, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{mhz * 1000}\n")
        write(root, f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", f"{core + 1}\n")
    write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    write(root, "proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 3000 kB\n")
    write(root, "proc/stat", "cpu 100 0 100 800 0 0 0 0 0 0\n")
    write(root, "proc/7/stat", "7 (a ) name) S 1 7 7 0 0 0 0 0 0 0 10 5 1 1 0 0\n")
    write(root, "proc/sys/kernel/arch", platform.machine() + "\n")


def test_a_raspberry_tells_all(tmp_path: Path) -> None:
    raspberry(tmp_path)
    clock = SimulatedClock()
    sensors = Sensors(clock, tmp_path)
    first = sensors.read(7)
    assert first == Reading(0.0, 51.0, 1500.0, 3, False, 3000 << 10, None)
    clock.advance(2.0)
    # 100 ticks: 60 busy, of which 40 are the measuring's own, its ended children's and a living one's.
    write(tmp_path, "proc/stat", "cpu 140 0 120 840 0 0 0 0 9 9\n")
    write(tmp_path, "proc/7/stat", "7 (a ) name) S 1 7 7 0 0 0 0 0 0 0 25 10 6 6 0 0\n")
    write(tmp_path, "proc/9/stat", "9 (b) S 7 7 7 0 0 0 0 0 0 0 6 4 0 0 0 0\n")
    write(tmp_path, "proc/10/stat", "10 (c) S 1 1 1 0 0 0 0 0 0 0 20 0 0 0 0 0\n")
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    second = sensors.read(7)
    assert (second.at_s, second.is_throttled, second.others) == (2.0, True, 0.2)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert Sensors(SimulatedClock(), tmp_path).read(7) == Reading(0.0)
    assert refusal(Reading(0.0), 1 << 40) == ""
    assert disturbances(Reading(0.0), [Reading(1.0)], Reading(2.0)) == ()


def test_an_emulation_is_found_out(tmp_path: Path) -> None:
    sensors = Sensors(SimulatedClock(), tmp_path)
    write(tmp_path, "proc/sys/kernel/arch", platform.machine() + "\n")
    assert not sensors.is_emulated()
    write(tmp_path, "proc/sys/kernel/arch", "riscv64\n")
    assert sensors.is_emulated()
    (tmp_path / "proc/sys/kernel/arch").unlink()
    mine, other = ("flags", "Features") if platform.machine() == "x86_64" else ("Features", "flags")
    write(tmp_path, "proc/cpuinfo", f"{other}: a\n")
    assert sensors.is_emulated()
    write(tmp_path, "proc/cpuinfo", f"{mine}: a\n")
    assert not sensors.is_emulated()


def test_what_a_device_refuses() -> None:
    assert refusal(COOL, 1 << 20) == ""
    assert "degrees" in refusal(replace(COOL, celsius=HOT_C), 0)
    assert "throttled" in refusal(replace(COOL, is_throttled=True), 0)
    assert "1 MiB of memory are free, and 64 are needed" in refusal(replace(COOL, free_bytes=1 << 20), 0)


def test_what_makes_figures_doubtful() -> None:
    calm = [replace(COOL, at_s=float(second), others=0.05) for second in range(5)]
    assert disturbances(COOL, calm, COOL) == ()
    cases = {
        "degrees": ([replace(COOL, celsius=HOT_C + 1)], COOL),
        "throttled 2 times": (calm, replace(COOL, throttled=5)),
        "too little voltage": ([replace(COOL, is_throttled=True)], COOL),
        "fell from 1500 to 600 MHz": ([COOL, replace(COOL, mhz=600.0)], COOL),
        "took 30% of the CPU": ([COOL, *(replace(COOL, others=0.3) for _ in range(3))], COOL),
    }
    for said, (during, after) in cases.items():
        (only,) = disturbances(COOL, during, after)
        assert said in only


def test_no_more_readings_than_a_message_has() -> None:
    for count in (0, 1, MAX_READINGS, MAX_READINGS + 1, 10_000):
        kept = thinned([replace(COOL, at_s=float(second)) for second in range(count)])
        assert len(kept) <= MAX_READINGS
        assert [item.at_s for item in kept[:1]] == [0.0] * min(1, count)
        assert len(kept) >= min(count, MAX_READINGS // 2)
