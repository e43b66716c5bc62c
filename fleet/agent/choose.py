"""Which artifact a device shall run: pure, from what is assigned, what is offered, what the device is, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..protocol.assignment import Wanted
from ..protocol.offer import Offer
from ..protocol.offered import Offered
from .journal import Failure, Record, SlotRecord

MAX_TIMES = 3  # that an artifact is tried one after another where its failure was not its own
_MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Device:
    """What the device is: architecture as `uname -m`, CPU flags as in /proc/cpuinfo, versions of runtimes by name, RAM in
    bytes.

    `profiles` are the only device profiles whose artifacts are taken; empty takes any that fits.
    """

    arch: str
    isa: frozenset[str]
    runtimes: Mapping[str, str]
    ram_bytes: int | None = None
    profiles: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Choice:
    """The artifact to go for, or none; `why` in one clause; `refused` is one that is assigned and cannot run here."""

    offered: Offered | None = None
    why: str = ""
    refused: Offered | None = None


def misfit(offer: Offer, device: Device) -> str | None:
    """Why a device cannot run an artifact, in one clause, or None when it can."""
    if device.profiles and offer.profile not in device.profiles:
        return f"it is for {offer.profile}, and this device takes {', '.join(sorted(device.profiles))}"
    if offer.arch != device.arch:
        return f"it is for {offer.arch}, and this device is {device.arch}"
    missing = sorted(set(offer.isa) - device.isa)
    if missing:
        return f"it needs the CPU flags {', '.join(missing)}, which this device has not"
    if offer.runtime not in device.runtimes:
        return f"it needs {offer.runtime}, which is not installed"
    if device.ram_bytes is not None and offer.ram_bytes is not None and offer.ram_bytes > device.ram_bytes:
        return f"it needs {offer.ram_bytes >> 20} MiB of RAM, and this device has {device.ram_bytes >> 20}"
    return None


def choose(
    wanted: Wanted, offers: Iterable[Offered], device: Device, record: Record, runs: SlotRecord | None, waited: int = 0
) -> Choice:
    """What to go for; `runs` is what the current slot holds, `waited` counts the polls since the last update of the model.

    A `wanted` without digest follows the newest version that fits and is newer than what runs, of those the one that uses most
    of the CPU; failed ones are passed over. One with a digest gets that artifact, older or newer.
    """
    of_model = [item for item in offers if item.offer.model == wanted.model]
    if wanted.sha256 is None:
        return _newest(of_model, device, record, runs, wanted.attempt, waited)
    if runs is not None and runs.sha256 == wanted.sha256:
        return Choice(why="the assigned artifact runs")
    named = [item for item in of_model if item.sha256 == wanted.sha256 and wanted.name in (None, item.name)]
    if not named:
        return Choice(why=f"the assigned artifact {wanted.sha256[:12]} is not among those that are signed")
    blocked = _blocked(record.failure(wanted.sha256), wanted.attempt, waited)
    if blocked:
        return Choice(why=blocked)
    why_not = misfit(named[0].offer, device)
    return Choice(why=why_not, refused=named[0]) if why_not else Choice(named[0])


def _newest(
    offers: list[Offered], device: Device, record: Record, runs: SlotRecord | None, attempt: int, waited: int
) -> Choice:
    newer = [item for item in offers if runs is None or item.offer.version > runs.version]
    fitting = [item for item in newer if misfit(item.offer, device) is None]
    open_ones = [item for item in fitting if not _blocked(record.failure(item.sha256), attempt, waited)]
    if open_ones:
        return Choice(max(open_ones, key=lambda item: (item.offer.version, len(item.offer.isa), item.name)))
    if fitting:
        newest = max(fitting, key=lambda item: item.offer.version)
        return Choice(why=_blocked(record.failure(newest.sha256), attempt, waited))
    if newer:
        return Choice(why=f"no newer version fits: {misfit(newer[-1].offer, device)}")
    return Choice(why="the newest version that is signed runs" if runs is not None else "nothing is signed for this model")


def _blocked(failure: Failure | None, attempt: int, waited: int) -> str:
    """Why an artifact is not tried again, or nothing; what failed by circumstances is, after twice as many polls each time."""
    if failure is None or failure.attempt < attempt:
        return ""
    if failure.is_final:
        return f"{failure.sha256[:12]} failed before and is not tried again under attempt {attempt}: {failure.why}"
    polls = 2 ** min(failure.times, _MOST_DOUBLINGS)
    if failure.times < MAX_TIMES or waited >= polls:
        return ""
    return f"{failure.sha256[:12]} failed {failure.times} times and is tried again after {polls} polls: {failure.why}"
