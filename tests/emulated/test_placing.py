"""Which emulated CPU runs a profile's kernels, and what accuracy there counts as."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgewright.core.errors import UsageError
from edgewright.device_profiles.detect import parse_cpuinfo
from edgewright.device_profiles.host import measured_on_emulated
from edgewright.device_profiles.loader import known, load
from edgewright.device_profiles.profile import DeviceProfile
from edgewright.optimizer.judging import emulation_notes, judging, open_emulator
from edgewright.runtimes.emulated.cores import CORES, core_for, cpu_of, flags_of
from edgewright.runtimes.emulated.emulator import EmulatedCpu, Emulator
from edgewright.runtimes.emulated.root import Root
from edgewright.runtimes.location import Here

PI_4, PI_5 = load("raspberry-pi-4b"), load("raspberry-pi-5")
A72, A76 = CORES


def emulating(root: Root) -> Emulator:
    """An emulator whose cores were tried already, and found to be what they are."""
    cpus = {core.name: EmulatedCpu(root, core, cpu_of(core, core.isa), "7.2", "3.11") for core in CORES}
    return Emulator(root, cpus)


@pytest.mark.parametrize(
    ("profile", "core"),
    [
        (PI_4, A72),
        (PI_5, A76),
        (load("arm64-linux"), A72),
        (replace(PI_5, cpu_model=""), A76),
        (replace(PI_5, isa=PI_5.isa | {"i8mm"}), None),
        (replace(PI_4, isa=PI_4.isa | {"fphp"}), None),
        *((load(name), None) for name in known() if load(name).arch == "x86_64"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_profile_gets_the_core_whose_kernels_it_runs_or_none(profile: DeviceProfile, core: object) -> None:
    assert core_for(profile) is core


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_what_an_emulated_device_reads_of_its_cpu_is_the_core(core) -> None:
    seen = parse_cpuinfo(core.cpuinfo(4), "aarch64")
    assert (seen.model, seen.flags) == (core.model, core.isa)


def test_instruction_sets_come_from_the_bits_that_the_kernel_tells() -> None:
    assert flags_of(0b11, 0) == {"fp", "asimd"}
    assert flags_of(1 << 20 | 0b11, 1 << 13) == {"fp", "asimd", "asimddp", "i8mm"}


def test_accuracy_is_emulated_on_the_profiles_kernels_and_nothing_elsewhere() -> None:
    a72, a76 = (cpu_of(core, core.isa) for core in CORES)
    assert measured_on_emulated(PI_4, a72) == "emulated"
    assert measured_on_emulated(PI_5, a76) == "emulated"
    assert measured_on_emulated(PI_4, a76) is None  # dot products: other kernels
    assert measured_on_emulated(PI_5, a72) is None
    assert measured_on_emulated(load("x86-64-avx2"), a72) is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_an_arm64_profile_is_judged_on_the_emulated_cpu_and_never_timed(looks_prepared: Root, runtime, precision) -> None:
    emulator = emulating(looks_prepared)
    here, there = (judging(PI_4, runtime, precision, place) for place in (None, emulator))
    assert isinstance(here.location, Here)
    assert there.location == emulator.on(A72)
    assert (there.worth, there.is_timed) == ("emulated", False)


def test_what_no_core_serves_is_judged_here_as_without_an_emulator(looks_prepared: Root) -> None:
    emulator = emulating(looks_prepared)
    vnni = load("x86-64-vnni")
    assert judging(vnni, "onnxruntime", "int8", emulator) == judging(vnni, "onnxruntime", "int8")
    assert judging(PI_4, "openvino", "int8", emulator) == judging(PI_4, "openvino", "int8")


def test_answers_of_different_places_are_kept_apart(looks_prepared: Root) -> None:
    emulator = emulating(looks_prepared)
    keys = [Here().key(), Here({"A": "1"}).key(), emulator.on(A72).key(), emulator.on(A76).key()]
    assert all(keys[i] != keys[j] for i in range(4) for j in range(i))


def test_the_report_says_who_judged(looks_prepared: Root) -> None:
    told = emulation_notes(emulating(looks_prepared), [PI_4, load("x86-64-vnni")], ["onnxruntime", "litert"])
    assert told == ["raspberry-pi-4b is judged on a Cortex-A72, emulated by qemu 7.2; no latency is taken there"]
    assert emulation_notes(None, [PI_4], ["onnxruntime"]) == []


def test_an_emulator_that_serves_no_profile_is_refused(able, looks_prepared: Root) -> None:
    able()
    with pytest.raises(UsageError, match=r"no CPU that .* emulates has the kernels of x86-64-vnni; leave --emulate out"):
        open_emulator(looks_prepared.folder, [load("x86-64-vnni")], ["onnxruntime"])
    assert open_emulator(None, [PI_4], ["onnxruntime"]) is None
