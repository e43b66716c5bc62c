"""Where a child process that runs model files lives: on this machine, or on an emulated CPU (`emulated/emulator.py`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.child import child_command
from ..device_profiles.detect import Cpu, host_cpu


class Location(Protocol):
    """One place to run model files in. It says how a module of this package is started there."""

    @property
    def cpu(self) -> Cpu:
        """The CPU that programs see there."""

    def environment(self) -> dict[str, str]:
        """The whole environment of a child there."""

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that calls `main(arguments)` of `module` there; handles that it inherits stay open."""

    def key(self) -> dict[str, Any]:
        """All of the place that answers of a model depend on, as JSON."""


@dataclass(frozen=True)
class Here:
    """This machine; `switches` are added to a child's environment, for what a library reads once (an instruction-set limit)."""

    switches: Mapping[str, str] = field(default_factory=dict)

    @property
    def cpu(self) -> Cpu:
        """The CPU of this machine."""
        return host_cpu()

    def environment(self) -> dict[str, str]:
        """This process's, with the switches."""
        return {**os.environ, **self.switches}

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that calls `main(arguments)` of `module` in this Python."""
        return child_command(module, *arguments)

    def key(self) -> dict[str, Any]:
        """The CPU and the switches."""
        cpu = host_cpu()
        return {"environment": dict(self.switches), "cpu": [cpu.arch, sorted(cpu.flags)]}
