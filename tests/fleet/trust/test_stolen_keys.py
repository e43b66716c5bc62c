"""For each set of keys that a thief may have: what he can do to a device, and what he cannot.

The thief owns the network too: he serves what he likes. What he has no key for he signs with one of his own. The repository's
root needs two keys.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from edgewright.core.errors import NetworkError, VerificationError
from edgewright.fleet.trust.source import RepositorySource
from securesystemslib.signer import CryptoSigner
from simulated import SimulatedClock
from simulated_repository import CANARY, Device, SimulatedRepository, versions
from tuf.api.metadata import MetaFile

EVIL = Random(666).randbytes(1000)
NEW = Random(2).randbytes(1000)
DAY = 86400.0
ALL = ("targets", CANARY, "snapshot", "timestamp")

# What a thief tries: (repository with his keys in place of those he lacks, clock) -> None, and how it shows that it worked.
Attack = Callable[[SimulatedRepository, SimulatedClock], None]


def invent(repository: SimulatedRepository, _: SimulatedClock) -> None:
    """A model of his own, version 9."""
    repository.offer(EVIL, 9)
    repository.publish("targets", "snapshot", "timestamp")


def invent_canary(repository: SimulatedRepository, _: SimulatedClock) -> None:
    repository.offer(EVIL, 9, role=CANARY)
    repository.publish(CANARY, "snapshot", "timestamp")


def invent_by_canary(repository: SimulatedRepository, _: SimulatedClock) -> None:
    """The canary role signs for a name that is not its own."""
    name = repository.offer(EVIL, 9)
    targets = repository.targets["targets"].targets
    repository.targets[CANARY].targets[name] = targets.pop(name)
    repository.publish(CANARY, "snapshot", "timestamp")


def roll_back(repository: SimulatedRepository, _: SimulatedClock) -> None:
    """Version 2 is out; the targets of before come back, which he need not sign."""
    repository.snapshot.meta["targets.json"] = MetaFile(2)
    repository.publish("snapshot", "timestamp")


def freeze_10_days(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    """The timestamp of 7 days is signed again and again, nothing else."""
    clock.advance(10 * DAY)
    repository.publish("timestamp")


def freeze_60_days(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    clock.advance(60 * DAY)
    repository.publish("snapshot", "timestamp")


def freeze_2_years(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    clock.advance(730 * DAY)
    repository.publish(*ALL)


def take_over(repository: SimulatedRepository, _: SimulatedClock) -> None:
    """A root of his own, and all that follows from it."""
    for role in ("targets", "snapshot", "timestamp"):
        signer = CryptoSigner.generate_ed25519()
        for keyid in list(repository.root.roles[role].keyids):
            repository.root.revoke_key(keyid, role)
        repository.root.add_key(signer.public_key, role)
        repository.signers[role] = [signer]
    repository.publish("root")
    repository.offer(EVIL, 9)
    repository.publish("targets", "snapshot", "timestamp")


def _follows(device: RepositorySource) -> bool:
    try:
        device.refresh()
    except (NetworkError, VerificationError):
        return False
    return True


def _runs_evil(device: RepositorySource) -> bool:
    _follows(device)
    return any(offered.length == len(EVIL) and offered.offer.version == 9 for offered in device.offers())


SHOWS: dict[Attack, Callable[[RepositorySource], bool]] = {
    invent: _runs_evil,
    invent_canary: _runs_evil,
    invent_by_canary: _runs_evil,
    roll_back: lambda device: _follows(device) and 2 not in versions(device),
    freeze_10_days: _follows,
    freeze_60_days: _follows,
    freeze_2_years: _follows,
    take_over: _runs_evil,
}
ONLINE = ("timestamp", "snapshot", CANARY)
CAN: dict[tuple[str, ...], set[Attack]] = {
    (): set(),
    ("timestamp",): {freeze_10_days},
    ("snapshot",): set(),
    ("targets",): set(),
    (CANARY,): set(),
    ("root one of two",): set(),
    ("snapshot", "timestamp"): {freeze_10_days, freeze_60_days},
    ONLINE: {freeze_10_days, freeze_60_days, invent_canary},
    ("targets", "snapshot"): set(),
    ("targets", "timestamp"): {freeze_10_days},
    ("targets", "snapshot", "timestamp"): {freeze_10_days, freeze_60_days, invent},
    ("targets", *ONLINE): {freeze_10_days, freeze_60_days, invent, invent_canary},
    ("root",): {take_over},
}
CASES = [
    pytest.param(stolen, attack, attack in can, id=f"{'+'.join(stolen) or 'nothing'}-{attack.__name__}")
    for stolen, can in CAN.items()
    for attack in SHOWS
]


@pytest.mark.parametrize(("stolen", "attack", "succeeds"), CASES)
def test_what_a_thief_can_do_to_a_canary(
    stolen: tuple[str, ...],
    attack: Attack,
    succeeds: bool,
    repository: SimulatedRepository,
    device: Device,
    clock: SimulatedClock,
) -> None:
    """On a device that opted in to the canary role, which is the easier prey."""
    one = device(is_canary=True)
    repository.offer(NEW, 2)
    repository.publish()
    one.refresh()
    repository.signers = _keys_of_thief(repository, stolen)
    attack(repository, clock)
    assert SHOWS[attack](one) is succeeds


def _keys_of_thief(repository: SimulatedRepository, stolen: tuple[str, ...]) -> dict[str, list[CryptoSigner]]:
    mine = {role: [CryptoSigner.generate_ed25519() for _ in signers] for role, signers in repository.signers.items()}
    if "root one of two" in stolen:
        mine["root"][0] = repository.signers["root"][0]
    return {role: repository.signers[role] if role in stolen else mine[role] for role in mine}


@pytest.mark.parametrize("stolen", [ONLINE, (CANARY, "targets")])
def test_a_device_that_did_not_opt_in_takes_nothing_of_the_canary_role(
    stolen: tuple[str, ...], repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    one = device()
    one.refresh()
    repository.signers = _keys_of_thief(repository, stolen)
    invent_canary(repository, clock)
    assert not _runs_evil(one)
    assert not any(CANARY in name for name in repository.asked)


def test_the_thief_of_the_online_keys_is_shut_out_by_a_rotation(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    one = device(is_canary=True)
    one.refresh()
    invent_canary(repository, clock)
    assert _runs_evil(one)
    stolen = {role: list(repository.signers[role]) for role in ONLINE}
    repository.rotate("timestamp", "snapshot")
    # The canary role's key is in the targets, which are signed offline.
    fresh = CryptoSigner.generate_ed25519()
    delegations = repository.targets["targets"]
    delegations.revoke_key(stolen[CANARY][0].public_key.keyid, CANARY)
    delegations.add_key(fresh.public_key, CANARY)
    repository.signers[CANARY] = [fresh]
    del repository.targets[CANARY].targets[f"{CANARY}/digits/pi/9.ewa"]
    repository.publish("targets", CANARY, "snapshot", "timestamp")
    assert not _runs_evil(one)
    repository.signers.update(stolen)
    repository.offer(EVIL, 9, role=CANARY)
    repository.publish(CANARY, "snapshot", "timestamp")
    assert not _runs_evil(one)


def test_the_thief_of_a_targets_key_is_shut_out_by_a_rotation(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    one = device()
    one.refresh()
    stolen = dict(repository.signers)
    repository.rotate("targets", "snapshot", "timestamp")
    repository.publish("targets", "snapshot", "timestamp")
    one.refresh()
    repository.signers.update({role: stolen[role] for role in ("targets", "snapshot", "timestamp")})
    invent(repository, clock)
    assert not _runs_evil(one)
    assert versions(one) == [1]
