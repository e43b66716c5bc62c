"""Where a candidate is judged, and what its accuracy there may claim for the profile: docs/adr/0002-measured-on.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..device_profiles.host import limits, measured_on, measured_on_emulated
from ..device_profiles.profile import DeviceProfile
from ..runtimes.contract import Precision
from ..runtimes.emulated.emulator import Emulator
from ..runtimes.location import Here, Location
from .gates.verdict import MeasuredOn

# oneDNN reads these once; a user's shell may have them set.
_SWITCHES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


@dataclass(frozen=True)
class Judging:
    """`location` runs the file, and its answers there count as `worth` for the profile; None: they do not count.

    `is_timed`: a latency that is taken there is the target's, which of an emulated CPU it never is.
    """

    location: Location
    worth: MeasuredOn | None
    is_timed: bool


def judging(profile: DeviceProfile, runtime: str, precision: Precision, emulator: Emulator | None = None) -> Judging:
    """On the emulated CPU with the profile's kernels where there is one, else here; raises RuntimeFailure.

    An emulator that has no such CPU changes nothing.
    """
    emulated = None if emulator is None else emulator.location(profile, runtime)
    if emulated is not None:
        return Judging(emulated, measured_on_emulated(profile, emulated.cpu), is_timed=False)
    switches = limits(profile, runtime) if precision == "int8" else {}
    if runtime == "openvino":
        switches = {name: os.environ[name] for name in _SWITCHES if name in os.environ} | switches
    timed = measured_on(profile, runtime, "latency", precision, switches if runtime == "openvino" else None)
    worth = measured_on(profile, runtime, "accuracy", precision, switches)
    return Judging(Here(switches), worth, is_timed=timed == "target")


def open_emulator(folder: Path | None, profiles: Sequence[DeviceProfile], runtimes: Sequence[str]) -> Emulator | None:
    """The emulator of `folder`, tried for each profile; None without a folder.

    Raises UsageError where it serves none of the profiles, or is no prepared root, RuntimeFailure when a program on it fails.
    """
    if folder is None:
        return None
    emulator = Emulator.open(folder)
    served = [
        emulator.location(profile, runtime) for profile in profiles for runtime in profile.runtimes if runtime in runtimes
    ]
    if not any(served):
        names = ", ".join(profile.name for profile in profiles)
        raise UsageError(f"no CPU that {folder} emulates has the kernels of {names}; leave --emulate out.")
    return emulator


def emulation_notes(emulator: Emulator | None, profiles: Sequence[DeviceProfile], runtimes: Sequence[str]) -> list[str]:
    """One line a profile that is judged on an emulated CPU."""
    notes = []
    for profile in profiles:
        found = [emulator.location(profile, name) for name in profile.runtimes if emulator is not None and name in runtimes]
        cpus = dict.fromkeys(str(item) for item in found if item is not None)
        notes += [f"{profile.name} is judged on a {cpu}; no latency is taken there" for cpu in cpus]
    return notes
