"""The table of docs/adr/0002-measured-on.md."""

from __future__ import annotations

import pytest
from edgewright.device_profiles import host
from edgewright.device_profiles.detect import Cpu
from edgewright.device_profiles.loader import known, load

AVX2 = frozenset({"sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
HASWELL = Cpu("x86_64", "Intel Core i7-4770", AVX2)
SKYLAKE_X = Cpu("x86_64", "Intel Xeon Gold 6148", AVX512)
ZEN_5 = Cpu("x86_64", "AMD EPYC", AVX512 | {"avx512_vnni", "avx_vnni", "avx512_bf16"})
SAPPHIRE = Cpu("x86_64", "Intel Xeon Gold 6430", AVX512 | {"avx512_vnni", "amx_int8", "amx_tile"})
N100 = Cpu("x86_64", "Intel(R) N100", AVX2 | {"avx_vnni", "gfni"})
OTHER_VNNI = Cpu("x86_64", "Intel(R) Core(TM) i5-1335U", AVX2 | {"avx_vnni", "gfni"})
PI_4 = Cpu("aarch64", "Cortex-A72", frozenset({"fp", "asimd"}))
PI_5 = Cpu("aarch64", "Cortex-A76", frozenset({"fp", "asimd", "asimdrdm", "fphp", "asimdhp", "asimddp"}))
ALL = (HASWELL, SKYLAKE_X, ZEN_5, SAPPHIRE, N100, OTHER_VNNI, PI_4, PI_5)


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [
        (HASWELL, "avx2"),
        (SKYLAKE_X, "avx512"),
        (ZEN_5, "avx512_vnni"),
        (SAPPHIRE, "amx"),
        (N100, "avx_vnni"),
        (PI_4, "asimd"),
        (PI_5, "asimddp"),
        (Cpu("riscv64", "x", frozenset()), "riscv64"),
    ],
)
def test_the_best_kernels_whose_instructions_are_all_there(cpu, wanted):
    assert host.kernel_class(cpu.arch, cpu.flags) == wanted


TARGETS = {
    ("x86-64-avx2", HASWELL),
    ("x86-64-vnni", ZEN_5),
    ("intel-n100", N100),
    ("intel-n100", OTHER_VNNI),
    ("raspberry-pi-4b", PI_4),
    ("raspberry-pi-5", PI_5),
    ("arm64-linux", PI_4),
}


@pytest.mark.parametrize("name", known())
@pytest.mark.parametrize("cpu", ALL, ids=lambda cpu: cpu.model)
def test_target_is_the_same_kernels_and_a_latency_the_same_cpu(name, cpu):
    profile = load(name)
    accuracy = host.measured_on(profile, "onnxruntime", "accuracy", host=cpu)
    latency = host.measured_on(profile, "onnxruntime", "latency", host=cpu)
    assert (accuracy == "target") == ((name, cpu) in TARGETS)
    assert latency == ("target" if (name, cpu) in TARGETS - {("intel-n100", OTHER_VNNI)} else None)


def test_a_cpu_that_saturates_says_nothing_of_one_that_does_not():
    for cpu in (HASWELL, SKYLAKE_X):
        for runtime in ("onnxruntime", "openvino"):
            assert host.measured_on(load("x86-64-vnni"), runtime, "accuracy", host=cpu) is None
        assert host.measured_on(load("raspberry-pi-4b"), "litert", "accuracy", host=cpu) == "reference"
        assert host.measured_on(load("raspberry-pi-4b"), "onnxruntime", "accuracy", host=cpu) is None


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_float_accuracy_of_another_cpu_is_a_reference(precision):
    assert host.measured_on(load("raspberry-pi-4b"), "onnxruntime", "accuracy", precision, host=HASWELL) == "reference"


def test_openvino_can_be_limited_to_avx2_and_only_its_accuracy_counts_then():
    profile = load("x86-64-avx2")
    forced = host.limits(profile, "openvino", ZEN_5)
    assert forced == {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert host.measured_on(profile, "openvino", "accuracy", environment=forced, host=ZEN_5) == "emulated"
    assert host.measured_on(profile, "openvino", "latency", environment=forced, host=ZEN_5) is None
    assert host.measured_on(profile, "openvino", "accuracy", environment={}, host=ZEN_5) == "reference"


def test_a_limit_that_is_not_the_profiles_spoils_everything():
    wrong = {"ONEDNN_MAX_CPU_ISA": "SSE41"}
    assert host.measured_on(load("x86-64-vnni"), "openvino", "accuracy", environment=wrong, host=ZEN_5) is None
    assert host.measured_on(load("x86-64-vnni"), "openvino", "latency", environment=wrong, host=ZEN_5) is None


@pytest.mark.parametrize(
    ("name", "runtime", "cpu"),
    [
        ("x86-64-avx2", "onnxruntime", ZEN_5),
        ("x86-64-avx2", "litert", ZEN_5),
        ("x86-64-avx2", "openvino", HASWELL),
        ("x86-64-avx2", "openvino", PI_5),
        ("x86-64-vnni", "openvino", HASWELL),
        ("intel-n100", "openvino", SKYLAKE_X),
    ],
)
def test_nothing_is_limited_where_it_cannot_or_need_not_be(name, runtime, cpu):
    assert host.limits(load(name), runtime, cpu) == {}
