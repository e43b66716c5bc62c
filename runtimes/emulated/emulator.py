"""A prepared root, opened: which emulated CPU runs a profile's kernels, and children on it as a `Location`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import RuntimeFailure, UsageError
from ...device_profiles.detect import Cpu
from ...device_profiles.profile import DeviceProfile
from .cores import ARCH, Core, core_for, cpu_of, flags_of
from .needs import QEMU, why_not
from .prepare import wanted_wheels
from .root import Root

_PACKAGE_OF = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}
_PROBE_SECONDS = 300.0


@dataclass(frozen=True)
class EmulatedCpu:
    """A location: an emulated core, as a program on it was told of it. `emulator` is qemu's version."""

    root: Root
    core: Core
    cpu: Cpu
    emulator: str
    python: str

    def __str__(self) -> str:
        """ "Cortex-A72, emulated by qemu 7.2.22"."""
        return f"{self.core.model}, emulated by qemu {self.emulator}"

    def environment(self) -> dict[str, str]:
        """The whole environment of a child on it."""
        return self.root.environment()

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that calls `main(arguments)` of `module` on it."""
        return self.root.command(self.core.name, module, *arguments)

    def key(self) -> dict[str, Any]:
        """The core, its instruction sets, and the versions of qemu and Python."""
        cpu = [self.cpu.arch, sorted(self.cpu.flags)]
        return {"environment": {}, "cpu": cpu, "emulated": [self.core.name, self.emulator, self.python]}


@dataclass
class Emulator:
    """A root whose wheels have the versions of this machine's runtimes; cores are tried when they are first asked for."""

    root: Root
    _cpus: dict[str, EmulatedCpu] = field(default_factory=dict)

    @staticmethod
    def open(folder: Path) -> Emulator:
        """The emulator of a prepared folder.

        Raises UsageError when this machine lacks something, the folder is no such root, or its versions are not this machine's.
        """
        root, wheels = Root(folder.resolve()), wanted_wheels()
        if refusal := why_not():
            raise UsageError(refusal)
        found = root.wheels() if root.is_begun else {}
        if not found:
            raise UsageError(f"{folder} is no prepared arm64 root; run `edgewright emulation prepare {folder}`.")
        for name, version in wheels.items():
            if found.get(name) != version:
                has = f"{name} {found[name]}" if name in found else f"no {name}"
                raise UsageError(
                    f"{folder} has {has}, this machine {version}; run `edgewright emulation prepare {folder}` again."
                )
        return Emulator(root)

    def location(self, profile: DeviceProfile, runtime: str) -> EmulatedCpu | None:
        """The emulated CPU that runs `runtime`'s kernels of `profile`, or None where there is none; raises RuntimeFailure."""
        core = core_for(profile)
        if core is None or _PACKAGE_OF.get(runtime) not in self.root.wheels():
            return None
        return self.on(core)

    def on(self, core: Core) -> EmulatedCpu:
        """That core, tried once; raises RuntimeFailure when a program on it fails."""
        if core.name not in self._cpus:
            self._cpus[core.name] = self._tried(core)
        return self._cpus[core.name]

    def _tried(self, core: Core) -> EmulatedCpu:
        wheels = self.root.wheels()
        command = self.root.command(core.name, f"{__package__}.probe", *wheels)
        try:
            done = subprocess.run(
                command,
                env=self.root.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PROBE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(core, f"gave no answer within {_PROBE_SECONDS:.0f} s") from error
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
            # mount says what is wrong first; Python, last.
            said_first = lines[0].startswith("mount:")
            raise _failed(core, f"failed: {lines[0 if said_first else -1].rstrip('.')}")
        said: Mapping[str, Any] = json.loads(done.stdout)
        cpu = cpu_of(core, flags_of(said["hwcap"], said["hwcap2"]))
        if said["machine"] != ARCH or not core.isa <= cpu.flags:
            raise _failed(core, f"is a {said['machine']} with {' '.join(sorted(cpu.flags))}")
        if said["versions"] != wheels:
            raise _failed(core, f"has other wheels than were brought ({said['versions']})")
        return EmulatedCpu(self.root, core, cpu, _qemu_version(), said["python"])


def _failed(core: Core, what: str) -> RuntimeFailure:
    return RuntimeFailure(f"the emulated {core.model} {what}; run `edgewright emulation prepare` on its folder again.")


def _qemu_version() -> str:
    """As `qemu-aarch64-static --version` says it, "7.2.22"."""
    said = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("version ", 1)[1].split()[0].rstrip(",")
