"""The profile of the machine that this runs on, from /proc/cpuinfo and /proc/meminfo."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ProfileError
from . import facts
from .profile import DeviceProfile

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
# "CPU part" of implementer 0x41, from the Main ID Register (MIDR_EL1) in Arm's technical reference manuals.
_ARM_PARTS: Mapping[str, str] = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2",
}


@dataclass(frozen=True)
class Cpu:
    """A CPU: architecture as `uname -m` says it, model name, and all its flags in Linux' names."""

    arch: str
    model: str
    flags: frozenset[str]


def parse_cpuinfo(text: str, arch: str) -> Cpu:
    """`Cpu` of the text of /proc/cpuinfo: flags that every core has, model of the first core."""
    flags: frozenset[str] | None = None
    model = implementer = part = ""
    for line in text.splitlines():
        key, _, value = (piece.strip() for piece in line.partition(":"))
        if key in ("flags", "Features"):
            found = frozenset(value.split())
            flags = found if flags is None else flags & found
        elif key == "model name" and not model:
            model = value
        elif key == "CPU implementer" and not implementer:
            implementer = value
        elif key == "CPU part" and not part:
            part = value
    if not model and implementer:
        model = _ARM_PARTS.get(part, "") if implementer == "0x41" else ""
        model = model or f"implementer {implementer} part {part}"
    return Cpu(arch, model or "unknown", flags or frozenset())


def host_cpu() -> Cpu:
    """The CPU that this process runs on; without /proc it has no flags."""
    try:
        return parse_cpuinfo(_CPUINFO.read_text("utf-8", "replace"), platform.machine())
    except OSError:
        return Cpu(platform.machine(), "unknown", frozenset())


def host_name() -> str:
    """This machine's host name as a profile's name: without the domain, other letters as '-'."""
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", platform.node().partition(".")[0]).strip("-_")
    return host[:64] or "this-machine"


def detect(name: str | None = None) -> DeviceProfile:
    """Profile of this machine, called `name`, else after its host; raises ProfileError on an architecture without a runtime."""
    called = facts.name(host_name() if name is None else name, "the detected profile")
    cpu = host_cpu()
    if cpu.arch not in facts.ARCHITECTURES:
        raise ProfileError(f"this machine is {cpu.arch!r}; profiles exist for {' and '.join(facts.ARCHITECTURES)} only.")
    isa = cpu.flags & facts.ISA[cpu.arch]
    if not isa:
        raise ProfileError(f"cannot read this CPU's instruction sets from {_CPUINFO}; write the profile by hand.")
    cores = min(os.cpu_count() or 1, 1024)
    flags = "flags" if cpu.arch == "x86_64" else "Features"
    wheels = facts.RUNTIMES if cpu.arch == "x86_64" else ("onnxruntime", "litert")
    return DeviceProfile(
        name=called,
        title=f"This machine: {cpu.model}",
        kind="cpu",
        arch=cpu.arch,
        isa=isa,
        cores=cores,
        threads=cores,
        ram_bytes=_memory_bytes(),
        runtimes=wheels,
        channel_align=16 if isa & {"avx512_vnni", "avx_vnni", "asimddp"} else 8,
        sources={
            "kind": "it runs Linux and Python",
            "arch": "uname -m",
            "cpu_model": "/proc/cpuinfo, model name or CPU part",
            "isa": f"/proc/cpuinfo, {flags}",
            "cores": "number of CPUs that Linux reports",
            "threads": "as many as cores",
            "ram_bytes": "/proc/meminfo, MemTotal",
            "runtimes": f"the runtimes that profiles for {cpu.arch} name",
            "channel_align": "16 with 8-bit dot products, else 8",
        },
        cpu_model=cpu.model,
    )


def _memory_bytes() -> int:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    raise ProfileError(f"cannot read the size of the memory from {_MEMINFO}; write the profile by hand.")
