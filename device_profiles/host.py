"""What a figure taken on this CPU is worth for a profile: docs/adr/0002-measured-on.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .detect import Cpu, host_cpu
from .profile import DeviceProfile

MeasuredOn = Literal["target", "emulated", "reference"]
Quantity = Literal["accuracy", "latency"]
Precision = Literal["float32", "float16", "int8"]

# Runtimes whose x86 kernels add pairs of u8 x s8 products in 16 bits where there is no VNNI. LiteRT's widen first.
_SATURATING_RUNTIMES = frozenset({"onnxruntime", "openvino"})
_OPENVINO_LIMITS: Mapping[str, str] = {"avx2": "AVX2", "avx_vnni": "AVX2_VNNI", "avx512": "AVX512_CORE"}
# Best first: the first whose instruction sets are all there names the kernels that the runtimes take.
_CLASSES: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = {
    "x86_64": (
        ("amx", frozenset({"amx_int8", "avx512_vnni"})),
        ("avx512_vnni", frozenset({"avx512_vnni", "avx512bw", "avx512vl"})),
        ("avx512", frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})),
        ("avx_vnni_int8", frozenset({"avx_vnni_int8", "avx2"})),
        ("avx_vnni", frozenset({"avx_vnni", "avx2"})),
        ("avx2", frozenset({"avx2", "fma"})),
        ("sse", frozenset()),
    ),
    "aarch64": (
        ("sme", frozenset({"sme"})),
        ("i8mm", frozenset({"i8mm", "asimddp"})),
        ("asimddp", frozenset({"asimddp"})),
        ("asimd", frozenset()),
    ),
}
_SATURATING_CLASSES = frozenset({"avx512", "avx2", "sse"})


def kernel_class(arch: str, isa: frozenset[str]) -> str:
    """Name of the kernels that runtimes dispatch to on such a CPU, the architecture itself where it is unknown."""
    for name, needed in _CLASSES.get(arch, ()):
        if needed <= isa:
            return name
    return arch


def limits(profile: DeviceProfile, runtime: str, host: Cpu | None = None) -> dict[str, str]:
    """Environment of a child process in which `runtime` takes the profile's integer kernels on this CPU, or nothing.

    Only OpenVINO has such a switch (oneDNN's ONEDNN_MAX_CPU_ISA, read once when the library is first used).
    """
    cpu = host or host_cpu()
    wanted, here = kernel_class(profile.arch, profile.isa), kernel_class(cpu.arch, cpu.flags)
    if runtime != "openvino" or cpu.arch != profile.arch or wanted == here:
        return {}
    if wanted not in _OPENVINO_LIMITS or not _needs(profile.arch, wanted) <= cpu.flags:
        return {}
    return {"ONEDNN_MAX_CPU_ISA": _OPENVINO_LIMITS[wanted]}


def measured_on(
    profile: DeviceProfile,
    runtime: str,
    quantity: Quantity,
    precision: Precision = "int8",
    environment: Mapping[str, str] | None = None,
    host: Cpu | None = None,
) -> MeasuredOn | None:
    """What a figure of `quantity` that `runtime` gives on this CPU may claim for `profile`; None: nothing.

    `environment` is that of the process that ran the model: with everything from `limits` in it, OpenVINO's accuracy is
    `emulated`. "target" needs the profile's kernels and, where the profile stands for one CPU, a latency needs that CPU.
    "reference" is for accuracy alone: IEEE float32, or integers that are summed exactly here and there. On a CPU whose
    products saturate they are exact there only in a model that the quantizer held back (`Scheme.saturating_pairs`).
    """
    cpu = host or host_cpu()
    same_arch = cpu.arch == profile.arch
    wanted, here = kernel_class(profile.arch, profile.isa), kernel_class(cpu.arch, cpu.flags)
    runs_kernels = same_arch and wanted == here and profile.isa <= cpu.flags
    forced = limits(profile, runtime, cpu)
    is_limited = environment is not None and bool(forced) and forced.items() <= environment.items()
    if quantity == "latency":
        is_cpu = not profile.cpu_model or profile.cpu_model.lower() in cpu.model.lower()
        return "target" if runs_kernels and is_cpu and not _is_capped(environment) else None
    if is_limited:
        return "emulated"
    if _is_capped(environment):
        return None
    if runs_kernels:
        return "target"
    if precision != "int8":
        return "reference"
    is_exact_here = not (runtime in _SATURATING_RUNTIMES and cpu.arch == "x86_64" and here in _SATURATING_CLASSES)
    return "reference" if is_exact_here else None


def measured_on_emulated(profile: DeviceProfile, cpu: Cpu) -> MeasuredOn | None:
    """What the accuracy of a model that ran on an emulated `cpu` may claim for `profile`: `emulated`, or None for nothing.

    It is `emulated` where that CPU has every instruction set of the profile and runtimes take the same kernels on it. Of a
    latency an emulation says nothing.
    """
    same_kernels = kernel_class(profile.arch, profile.isa) == kernel_class(cpu.arch, cpu.flags)
    return "emulated" if cpu.arch == profile.arch and same_kernels and profile.isa <= cpu.flags else None


def _needs(arch: str, name: str) -> frozenset[str]:
    return dict(_CLASSES[arch])[name]


def _is_capped(environment: Mapping[str, str] | None) -> bool:
    return environment is not None and ("ONEDNN_MAX_CPU_ISA" in environment or "DNNL_MAX_CPU_ISA" in environment)
