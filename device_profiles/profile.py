"""`DeviceProfile`: what the compiler must know of a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["cpu", "microcontroller", "accelerator"]


@dataclass(frozen=True)
class DeviceProfile:
    """A device. `isa` holds instruction-set extensions in Linux' names (avx2, avx512_vnni, avx_vnni, asimddp, i8mm, ...).

    `threads` is what a runtime is given there. `cpu_model` names the one CPU that the profile stands for ("Cortex-A72"), or
    is empty when the profile stands for every CPU with that instruction set. `price_per_hour` is what an hour of the device
    costs without electricity, in the user's currency, `power_w` the watts that it draws while it works; None where nobody has
    said. `sources` has the source of each fact.
    """

    name: str
    title: str
    kind: Kind
    arch: str
    isa: frozenset[str]
    cores: int
    threads: int
    ram_bytes: int
    runtimes: tuple[str, ...]
    channel_align: int = 8
    sources: Mapping[str, str] = field(default_factory=dict)
    cpu_model: str = ""
    price_per_hour: float | None = None
    power_w: float | None = None

    @property
    def has_saturating_products(self) -> bool:
        """Whether pairs of 8-bit products saturate in 16 bits: x86 without VNNI (vpmaddubsw)."""
        return self.arch == "x86_64" and not self.isa & {"avx512_vnni", "avx_vnni"}
