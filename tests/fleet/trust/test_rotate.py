"""Rotation and renewal: devices follow through every step, whichever role's keys change and wherever it is killed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.trust.create import Plan
from edgewright.fleet.trust.rotate import Rotated, refresh, rotate
from edgewright.fleet.trust.status import status
from simulated import SimulatedClock
from trust.publisher import KILLED, SURVIVED, Device, Publisher, dying
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

ROLES = ("root", "targets", "canary", "snapshot", "timestamp")
DAY = 86_400.0


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses nothing that it wrote, synced or not; without syncing these tests are not the disk's."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """Two of three keys sign the root, two of two the targets."""
    (tmp_path / "publisher").mkdir()
    made = Publisher(tmp_path / "publisher", Plan({"root": 3, "targets": 2}, {"root": 2, "targets": 2}))
    made.publish(1.0)
    return made


def turn(publisher: Publisher, role: str, *revoke: str, count: int | None = None, threshold: int | None = None) -> Rotated:
    return rotate(publisher.repository, publisher.ring(), role, revoke or None, count, threshold)


def lose(publisher: Publisher, *keyids: str) -> None:
    """Delete the files of these keys."""
    for keyid in keyids:
        (path,) = publisher.keys.rglob(f"*-{keyid[:16]}.pem")
        path.unlink()


@pytest.mark.parametrize("role", ROLES)
def test_devices_follow_and_old_keys_are_worth_nothing_afterwards(publisher: Publisher, tmp_path: Path, role: str) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    before = device.sees()
    done = turn(publisher, role)
    assert len(done.keys) == len(done.made) == len(done.revoked)
    assert not set(done.keys) & set(done.revoked)
    assert device.sees() == before
    lose(publisher, *done.revoked)
    publisher.publish(2.0)
    publisher.publish(3.0, is_canary=True)
    assert "canary/tiny/x86-64-avx2/3.ewa" in device.sees()
    assert Device(publisher.folder / "repo", tmp_path / "new").sees() == device.sees()


@pytest.mark.parametrize("role", ROLES)
def test_a_rotation_that_is_killed_anywhere_breaks_no_device_and_can_be_done_again(
    publisher: Publisher, tmp_path: Path, role: str
) -> None:
    first = Device(publisher.folder / "repo", tmp_path / "first")
    before = first.sees()
    moment, outcome = 0, KILLED
    while outcome != SURVIVED:
        moment += 1
        copy = tmp_path / f"copy-{moment}"
        shutil.copytree(publisher.folder, copy)
        hit = Publisher.__new__(Publisher)
        hit.folder, hit.clock, hit.keys = copy, None, copy / "keys"
        known = Device(copy / "repo", tmp_path / f"known-{moment}", like=first)
        outcome = dying(lambda hit=hit: turn(hit, role), copy / "repo", moment, ("os.rename",))
        assert outcome in (KILLED, SURVIVED)
        assert known.sees() == before
        assert Device(copy / "repo", tmp_path / f"new-{moment}").sees() == before
        turn(hit, role)
        assert known.sees() == before
    assert moment > 1


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_where_the_old_keys_are_lost_a_cut_between_root_and_timestamp_is_mended_by_a_refresh(
    publisher: Publisher, tmp_path: Path, role: str
) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    before = device.sees()
    (lost,) = (item for item in status(publisher.repository, publisher.ring()).roles if item.role == role)
    lose(publisher, *(key.keyid for key in lost.keys))
    cuts, moment, outcome = 0, 0, KILLED
    while outcome != SURVIVED:
        moment += 1
        copy = tmp_path / f"copy-{moment}"
        shutil.copytree(publisher.folder, copy)
        hit = Publisher.__new__(Publisher)
        hit.folder, hit.clock, hit.keys = copy, None, copy / "keys"
        outcome = dying(lambda hit=hit: turn(hit, role), copy / "repo", moment, ("os.rename",))
        known = Device(copy / "repo", tmp_path / f"known-{moment}", like=device)
        if status(hit.repository, hit.ring()).is_cut:
            cuts += 1
            with pytest.raises(RepositoryError):
                known.sees()
            refresh(hit.repository, hit.ring())
            assert not status(hit.repository, hit.ring()).is_cut
        assert known.sees() == before
    assert cuts == 1


def test_a_lost_canary_key_is_replaced_without_a_gap(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    publisher.publish(2.0, is_canary=True)
    before = device.sees()
    (canary,) = (role for role in status(publisher.repository, publisher.ring()).roles if role.role == "canary")
    lose(publisher, canary.keys[0].keyid)
    with pytest.raises(UsageError, match="canary-"):
        publisher.publish(3.0, is_canary=True)
    turn(publisher, "canary")
    assert device.sees() == before


def test_the_root_is_signed_by_thresholds_of_old_and_new_keys(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    old = Metadata.from_file(str(publisher.folder / "repo" / "metadata" / "1.root.json")).signed
    done = turn(publisher, "root", count=5, threshold=4)
    new = Metadata.from_file(str(publisher.folder / "repo" / "metadata" / "2.root.json"))
    assert len(set(new.signatures) & set(old.roles["root"].keyids)) >= 2
    assert len(set(new.signatures) & set(done.keys)) >= 4
    device.sees()
    before = publisher.files()
    lose(publisher, *done.keys[:2])
    with pytest.raises(UsageError, match="takes 4 of its keys and 3 are in"):
        turn(publisher, "root")
    assert publisher.files() == before
    assert len(list(publisher.keys.rglob("root-*.pem"))) == 6, "keys that were made in vain are gone"


def test_one_key_is_replaced_and_the_others_stay(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    (root,) = (role for role in status(publisher.repository, publisher.ring()).roles if role.role == "root")
    stolen, *kept = (key.keyid for key in root.keys)
    lose(publisher, stolen)
    done = turn(publisher, "root", stolen[:10])
    assert done.revoked == (stolen,)
    assert set(kept) < set(done.keys)
    assert len(done.keys) == 3
    device.sees()
    with pytest.raises(UsageError, match="0 keys of the role begin with 'zz'"):
        turn(publisher, "root", "zz")


def test_a_threshold_rises_without_new_keys(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    done = rotate(publisher.repository, publisher.ring(), "root", (), None, 3)
    assert (done.made, done.revoked, done.threshold) == ((), (), 3)
    device.sees()
    with pytest.raises(UsageError, match="would keep 3 keys and shall have 2"):
        rotate(publisher.repository, publisher.ring(), "root", (), 2, 1)
    with pytest.raises(UsageError, match="4 of 3 keys"):
        rotate(publisher.repository, publisher.ring(), "root", (), None, 4)
    with pytest.raises(UsageError, match="did you mean 'targets'"):
        turn(publisher, "target")


def test_a_refresh_takes_online_keys_only_and_signs_what_is_half_over(tmp_path: Path) -> None:
    clock = SimulatedClock()
    publisher = Publisher(tmp_path, clock=clock)
    shutil.rmtree(publisher.keys / "offline")
    assert refresh(publisher.repository, publisher.ring()).versions == {"timestamp": 2}
    clock.advance(16 * DAY)
    assert refresh(publisher.repository, publisher.ring()).versions == {"canary": 2, "snapshot": 2, "timestamp": 3}
    left = {role.role: role.days_left for role in status(publisher.repository, publisher.ring()).roles}
    assert left == {"root": 349.0, "targets": 349.0, "canary": 30.0, "snapshot": 30.0, "timestamp": 7.0}
    with pytest.raises(UsageError, match="targets-"):
        refresh(publisher.repository, publisher.ring(), ["targets"])


def test_periods_stay_with_their_roles(tmp_path: Path) -> None:
    clock = SimulatedClock()
    publisher = Publisher(tmp_path, Plan(days={"timestamp": 2, "targets": 100, "root": 500}), clock)
    clock.advance(DAY)
    publisher.publish(1.0)
    refresh(publisher.repository, publisher.ring(), ["root"])
    left = {role.role: role.days_left for role in status(publisher.repository, publisher.ring()).roles}
    assert (left["timestamp"], left["targets"], left["root"]) == (2.0, 100.0, 500.0)
