"""What a latency that a device measured counts for, decided here from what the device told of its CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ....core.manifest import MeasuredOn
from ....device_profiles import loader
from ....device_profiles.host import measured_on
from ....device_profiles.profile import DeviceProfile
from ...protocol.bench_job import Outcome
from ...protocol.offer import Offer

_load = lru_cache(loader.load)


@dataclass(frozen=True)
class Worth:
    """`measured_on` is "target" or None: a latency is the target's or nothing; `why` says in a clause why it is nothing."""

    measured_on: MeasuredOn | None
    why: str = ""


def worth(offer: Offer, outcome: Outcome) -> Worth:
    """Whether the device that told `outcome` runs the profile's kernels on the profile's CPU."""
    if outcome.is_emulated:
        return Worth(None, "the device is an emulation, whose times are its own")
    profile = profile_of(offer)
    if profile is None:
        return Worth(None, f"the server knows no profile {offer.profile!r} of that CPU")
    found = measured_on(profile, offer.runtime, "latency", host=outcome.cpu)
    if found is None:
        return Worth(None, f"the device's CPU, {outcome.cpu.model}, does not run as {profile.name} does")
    return Worth(found)


def profile_of(offer: Offer) -> DeviceProfile | None:
    """The profile that an artifact was compiled for, where one of that name and CPU comes with this package."""
    if offer.profile not in loader.known():
        return None
    found = _load(offer.profile)
    return found if (found.arch, found.isa) == (offer.arch, frozenset(offer.isa)) else None
