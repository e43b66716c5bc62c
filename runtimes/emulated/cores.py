"""The arm64 CPUs that can be emulated, and which of them runs the kernels of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...device_profiles.detect import Cpu
from ...device_profiles.host import kernel_class
from ...device_profiles.profile import DeviceProfile

ARCH = "aarch64"
# Bits of AT_HWCAP and AT_HWCAP2 that kernels are chosen by: Linux, arch/arm64/include/uapi/asm/hwcap.h.
_HWCAP: Mapping[str, int] = {
    "fp": 0,
    "asimd": 1,
    "aes": 3,
    "crc32": 7,
    "atomics": 8,
    "fphp": 9,
    "asimdhp": 10,
    "asimdrdm": 12,
    "asimddp": 20,
    "sve": 22,
}
_HWCAP2: Mapping[str, int] = {"sve2": 1, "i8mm": 13, "bf16": 14, "sme": 23}


@dataclass(frozen=True)
class Core:
    """A CPU by qemu's `name` for it, Linux' `model`, and its "CPU part" and least instruction sets as /proc/cpuinfo has them.

    Arm's technical reference manuals of the core: Main ID Register, and ID registers of instruction sets.
    """

    name: str
    model: str
    part: str
    isa: frozenset[str]

    def cpuinfo(self, processors: int) -> str:
        """The text of /proc/cpuinfo, from which runtimes take the model of the core."""
        features = " ".join(sorted(self.isa))
        one = f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: {self.part}\n"
        return "\n".join(f"processor\t: {number}\n{one}" for number in range(processors))


CORES = (
    Core("cortex-a72", "Cortex-A72", "0xd08", frozenset({"fp", "asimd", "crc32"})),
    Core(
        "cortex-a76",
        "Cortex-A76",
        "0xd0b",
        frozenset({"fp", "asimd", "crc32", "atomics", "fphp", "asimdhp", "asimdrdm", "asimddp"}),
    ),
)


def core_for(profile: DeviceProfile) -> Core | None:
    """The core that runs the kernels of `profile`: its own where it names one, else one of the same kernel class; or None."""
    if profile.arch != ARCH:
        return None
    wanted = kernel_class(ARCH, profile.isa)
    fitting = [core for core in CORES if kernel_class(ARCH, core.isa) == wanted and profile.isa <= core.isa]
    same = [core for core in fitting if profile.cpu_model and profile.cpu_model.lower() in core.model.lower()]
    return next(iter(same or fitting), None)


def flags_of(hwcap: int, hwcap2: int) -> frozenset[str]:
    """Linux' names of the instruction sets in the auxiliary vector of an arm64 process."""
    known = ((hwcap, _HWCAP), (hwcap2, _HWCAP2))
    return frozenset(name for value, bits in known for name, bit in bits.items() if value >> bit & 1)


def cpu_of(core: Core, flags: frozenset[str]) -> Cpu:
    """The emulated CPU with the instruction sets that a program on it was told of."""
    return Cpu(ARCH, core.model, flags)
