"""What this device is, for choosing artifacts: its CPU from /proc/cpuinfo, its RAM, and the runtimes that are installed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import metadata

from ...device_profiles.detect import host_cpu
from .choose import Device

_DISTRIBUTIONS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}


def this_device(profiles: Iterable[str] = ()) -> Device:
    """The device that this process runs on; it takes artifacts of `profiles` only, or without them any that fits."""
    cpu = host_cpu()
    ram_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Device(cpu.arch, cpu.flags, installed_runtimes(), ram_bytes, frozenset(profiles))


def installed_runtimes() -> dict[str, str]:
    """Versions of the runtimes by name, without importing them."""
    found = {}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
