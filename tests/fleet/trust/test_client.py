"""The client's state on the disk: what it keeps when something fails, when power is lost, and when its clock is wrong."""

from __future__ import annotations

import json
from random import Random

import pytest
from edgewright.core.errors import NetworkError, StoreError, VerificationError
from edgewright.fleet.trust.client import Bounds, TrustClient
from securesystemslib.signer import CryptoSigner
from simulated import SimulatedClock, SimulatedDisk, power_cuts
from simulated_repository import CANARY, Device, SimulatedRepository, versions

NEW = Random(2).randbytes(1000)
DAY = 86400.0
ROLES = ("root", "timestamp", "snapshot", "roles/targets")


def kept(disk: SimulatedDisk) -> dict[str, int]:
    """Versions of the roles on the disk."""
    return {role: json.loads(disk.read(f"trust/{role}.json"))["signed"]["version"] for role in ROLES}


def client(repository: SimulatedRepository, clock: SimulatedClock, disk: SimulatedDisk, **more: object) -> TrustClient:
    return TrustClient(disk, repository, clock, repository.first_root(), **more)  # type: ignore[arg-type]


def test_each_root_stays_though_a_later_one_is_wrong(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    disk = SimulatedDisk()
    for _ in range(3):
        repository.rotate("root")
    repository.metadata_files["4.root.json"] = repository.metadata_files["3.root.json"]
    with pytest.raises(VerificationError):
        device(disk).refresh()
    assert json.loads(disk.read("trust/root.json"))["signed"]["version"] == 3
    del repository.metadata_files["4.root.json"]
    device(disk).refresh()


def test_roots_are_followed_over_many_rotations_and_within_bounds(
    repository: SimulatedRepository, clock: SimulatedClock
) -> None:
    for _ in range(6):
        repository.rotate("root")
    disk = SimulatedDisk()
    client(repository, clock, disk, bounds=Bounds(root_rotations=4)).refresh()
    assert kept(disk)["root"] == 5
    client(repository, clock, disk).refresh()
    assert kept(disk)["root"] == 7


def test_a_damaged_disk_starts_again_from_the_root_that_came_with_the_device(
    repository: SimulatedRepository, device: Device
) -> None:
    disk = SimulatedDisk()
    repository.rotate("root", "timestamp")
    repository.publish("timestamp")
    device(disk).refresh()
    for role in ROLES:
        disk.write(f"trust/{role}.json", b"\0" * 100)
    disk.write("trust/time.json", b"{")
    one = device(disk)
    one.refresh()
    assert versions(one) == [1]


def test_a_newer_root_given_to_the_device_counts(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    disk = SimulatedDisk()
    client(repository, clock, disk).refresh()
    repository.rotate("root")
    repository.rotate("root")
    del repository.metadata_files["2.root.json"]
    TrustClient(disk, repository, clock, repository.metadata_files["3.root.json"]).refresh()
    assert kept(disk)["root"] == 3
    TrustClient(disk, repository, clock, None).refresh()


def test_without_any_root_nothing_is_trusted(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    for root in (None, b"", repository.metadata_files["timestamp.json"]):
        with pytest.raises(VerificationError, match="give it the repository's first root"):
            TrustClient(SimulatedDisk(), repository, clock, root)


def test_what_is_new_waits_for_a_whole_state(repository: SimulatedRepository, device: Device) -> None:
    """A mirror that was copied half: what was trusted stays, and the next refresh makes up for it."""
    disk = SimulatedDisk()
    one = device(disk)
    one.refresh()
    repository.offer(NEW, 2)
    repository.publish()
    for name in (f"{repository.snapshot.version}.snapshot.json", f"{repository.targets['targets'].version}.targets.json"):
        repository.hidden = {name}
        with pytest.raises(NetworkError):
            one.refresh()
        assert versions(one) == [1]
    repository.hidden = set()
    one.refresh()
    assert versions(one) == [1, 2]


def test_nothing_is_asked_for_twice(repository: SimulatedRepository, device: Device) -> None:
    one = device(disk := SimulatedDisk())
    one.refresh()
    repository.asked.clear()
    device(disk).refresh()
    assert repository.asked == ["2.root.json", "timestamp.json"]


def test_a_full_disk_leaves_what_was_trusted(repository: SimulatedRepository, device: Device) -> None:
    disk = SimulatedDisk()
    device(disk).refresh()
    before = kept(disk)
    repository.offer(NEW, 2)
    repository.publish()
    disk.capacity = sum(disk.size(f"trust/{role}.json") or 0 for role in ROLES)
    with pytest.raises(StoreError):
        device(disk).refresh()
    assert kept(disk) == before
    disk.capacity = None
    one = device(disk)
    one.refresh()
    assert versions(one) == [1, 2]


def test_power_lost_at_any_moment_of_a_refresh(repository: SimulatedRepository, device: Device) -> None:
    """After it a refresh succeeds, and no version is older than before."""
    disk = SimulatedDisk()
    device(disk).refresh()
    before, begun = kept(disk), len(disk.log)
    repository.rotate("root", "targets")
    repository.offer(NEW, 2)
    repository.publish()
    device(disk).refresh()
    seen = 0
    for moment in range(begun, len(disk.log) + 1, 2):
        for state in power_cuts(disk.log[:moment], Random(moment), limit=3):
            after = kept(state)
            assert all(after[role] >= before[role] for role in ROLES)
            one = device(state)
            one.refresh()
            assert versions(one) == [1, 2]
            seen += 1
    assert seen > 20


# Time


def test_a_clock_of_1970_is_no_way_to_freeze_a_device_that_knew_better(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    disk = SimulatedDisk()
    device(disk).refresh()
    clock.set_wall(100.0)
    one = device(disk)
    one.refresh()
    clock.advance(8 * DAY)
    with pytest.raises(VerificationError, match="expired"):
        one.refresh()


def test_a_device_that_never_had_a_clock_learns_from_what_is_signed(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    """The publisher tells for how many days it signs, so the signing was that much before the expiry."""
    repository.timestamp.unrecognized_fields["x-edgewright-expiry-days"] = 7
    repository.publish("timestamp")
    signed_at, disk = clock.now(), SimulatedDisk()
    clock.set_wall(0.0)
    device(disk).refresh()
    assert json.loads(disk.read("trust/time.json"))["seconds"] == pytest.approx(signed_at, abs=1)
    clock.set_wall(0.0)
    one = device(disk)
    clock.advance(6 * DAY)
    one.refresh()
    clock.advance(2 * DAY)
    with pytest.raises(VerificationError, match="expired"):
        one.refresh()


def test_without_a_clock_and_a_period_everything_is_followed(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    clock.set_wall(0.0)
    one = device()
    one.refresh()
    assert versions(one) == [1]


def test_a_clock_that_runs_ahead_does_no_lasting_harm(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    disk, now = SimulatedDisk(), clock.now()
    device(disk).refresh()
    clock.set_wall(now + 3650 * DAY)
    with pytest.raises(VerificationError, match="expired"):
        device(disk).refresh()
    clock.set_wall(now)
    device(disk).refresh()


@pytest.mark.parametrize("days", [1, 10**6, 10**400, -1, 0, True, "7", None])
def test_a_thief_of_the_timestamp_key_cannot_lift_the_floor_beyond_what_others_signed(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock, days: object
) -> None:
    disk, now = SimulatedDisk(), clock.now()
    repository.timestamp.unrecognized_fields["x-edgewright-expiry-days"] = days
    repository.sign("timestamp", repository.timestamp.version + 1, days=3000)
    device(disk).refresh()
    assert json.loads(disk.read("trust/time.json"))["seconds"] <= now + 31 * DAY


def test_new_online_keys_let_go_of_a_lifted_floor(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    """A thief of both online keys, with a clock that he sets too, makes a device believe in next year."""
    disk, now = SimulatedDisk(), clock.now()
    for role in ("snapshot", "timestamp"):
        repository.sign(role, repository.signed(role).version + 1, days=3000)
    clock.set_wall(now + 300 * DAY)
    device(disk).refresh()
    clock.set_wall(now)
    repository.publish("snapshot", "timestamp")
    with pytest.raises(VerificationError, match="expired"):
        device(disk).refresh()
    repository.rotate("timestamp", "snapshot")
    repository.publish("snapshot", "timestamp")
    device(disk).refresh()


# Delegations


def test_a_role_speaks_only_for_its_paths(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    signer = CryptoSigner.generate_ed25519()
    repository.role("team", "targets", ["team/*"], signer)
    repository.add("team/a", b"a", "team")
    repository.add("elsewhere", b"b", "team")
    repository.publish("team", "targets", "snapshot", "timestamp")
    one = client(repository, clock, SimulatedDisk())
    one.refresh()
    assert one.find("team/a") is not None
    assert one.find("elsewhere") is None


def test_a_role_is_verified_for_each_role_that_delegates_to_it(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    """Two parents with different keys for one child, which only the first one's key signed."""
    parents, keys = ("a", "b"), [CryptoSigner.generate_ed25519() for _ in range(3)]
    for parent, key in zip(parents, keys[:2], strict=True):
        repository.role(parent, "targets", [f"{parent}/*"], key)
    repository.role("child", "a", ["a/*"], keys[2])
    repository.role("child", "b", ["b/*"], CryptoSigner.generate_ed25519())
    repository.signers["child"] = [keys[2]]
    repository.add("a/x", b"x", "child")
    repository.add("b/x", b"x", "child")
    repository.publish("child", "a", "b", "targets", "snapshot", "timestamp")
    one = client(repository, clock, SimulatedDisk())
    one.refresh()
    assert one.find("a/x") is not None
    with pytest.raises(VerificationError):
        one.find("b/x")


def test_a_search_visits_a_bounded_number_of_roles(repository: SimulatedRepository, clock: SimulatedClock) -> None:
    signer = CryptoSigner.generate_ed25519()
    names = [f"r{index}" for index in range(12)]
    for parent, name in zip(("targets", *names), names, strict=False):
        repository.role(name, parent, ["deep/*"], signer)
    repository.publish(*names, "targets", "snapshot", "timestamp")
    one = client(repository, clock, SimulatedDisk(), bounds=Bounds(delegations=5))
    one.refresh()
    repository.asked.clear()
    assert one.find("deep/x") is None
    assert len(repository.asked) == 5


def test_a_canary_role_in_ruins_holds_nothing_back(
    repository: SimulatedRepository, device: Device, clock: SimulatedClock
) -> None:
    repository.offer(NEW, 3, role=CANARY)
    repository.publish(CANARY, "snapshot", "timestamp")
    one = device(is_canary=True)
    one.refresh()
    assert versions(one) == [1, 3]
    repository.sign(CANARY, repository.signed(CANARY).version + 1, days=-1)
    repository.publish("snapshot", "timestamp")
    one.refresh()
    assert versions(one) == [1]


# Offers


def test_an_offer_speaks_for_its_own_target_only(repository: SimulatedRepository, device: Device) -> None:
    good = repository.targets["targets"].targets["digits/pi/1.ewa"].unrecognized_fields["custom"]
    repository.add("digits/pi/2.ewa", NEW, custom=good)  # says that it is version 1
    repository.add("digits/pi/3.ewa", NEW, custom={**good, "version": 3})  # says that it has other bytes
    repository.add("digits/pi/4.ewa", NEW, custom={**good, "version": 4, "size_bytes": 1000, "more": 1})
    repository.add("digits/pi/5.ewa", NEW)
    repository.add("digits/pi/6.ewa", NEW, custom={**good, "version": 6, "size_bytes": 1000})
    repository.publish()
    one = device()
    one.refresh()
    assert versions(one) == [1, 6]
