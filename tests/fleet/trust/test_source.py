"""What the agent gets from a source: whole files by the shortest way that holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.core.clock import SystemClock
from edgewright.core.errors import NetworkError, StoreError, VerificationError
from edgewright.fleet.delta.make import make_delta
from edgewright.fleet.protocol.bins import decode_bins
from edgewright.fleet.trust.origin import FolderOrigin
from edgewright.fleet.trust.source import RepositorySource
from simulated import SimulatedDisk
from simulated_repository import Device, SimulatedRepository
from trust.publisher import Publisher

OLD = Random(1).randbytes(200_000)
NEW = OLD[:90_000] + b"some other bytes" * 50 + OLD[91_000:]
OLD_SHA, NEW_SHA = (hashlib.sha256(data).hexdigest() for data in (OLD, NEW))


@pytest.fixture
def patched(repository: SimulatedRepository) -> SimulatedRepository:
    """Version 2 with a patch from version 1."""
    made = make_delta(OLD, NEW, with_zstd=False)[0]
    assert len(made.data) < 10_000
    repository.offer(NEW, 2, patches=((OLD, made.codec, made.data),))
    repository.publish()
    return repository


def get(device: Device, disk: SimulatedDisk, *, has_old: bool = True) -> bytes:
    """Version 2 on a device that has version 1 or nothing."""
    one = device(disk)
    one.refresh()
    if has_old:
        disk.make_folder("old")
        disk.write("old/artifact.ewa", OLD)
    path = one.fetch(one.offers()[1], {OLD_SHA: "old/artifact.ewa"} if has_old else {})
    assert path == f"downloads/{NEW_SHA}"
    assert disk.names("downloads") == [NEW_SHA]
    return disk.read(path)


def asked_for_artifact(repository: SimulatedRepository) -> bool:
    return any(name.endswith(".ewa") for name in repository.asked)


def test_a_patch_saves_the_file(patched: SimulatedRepository, device: Device) -> None:
    assert get(device, SimulatedDisk()) == NEW
    assert not asked_for_artifact(patched)


def test_without_the_old_file_the_whole_one_comes(patched: SimulatedRepository, device: Device) -> None:
    assert get(device, SimulatedDisk(), has_old=False) == NEW
    assert asked_for_artifact(patched)


@pytest.mark.parametrize("harm", ["patch gone", "patch of another file", "old file changed", "old file gone", "nonsense"])
def test_whatever_is_wrong_with_a_patch_the_file_comes(
    harm: str, patched: SimulatedRepository, device: Device, repository: SimulatedRepository
) -> None:
    disk = SimulatedDisk()
    if harm == "patch gone":
        patched.hidden = {name for name in patched.files if "from-" in name}
    elif harm in ("patch of another file", "nonsense"):
        other = make_delta(OLD, OLD[::-1][:5000] + OLD, with_zstd=False)[0].data if harm != "nonsense" else b"x" * 500
        repository.offer(NEW, 2, patches=((OLD, "tensor", other),))
        repository.publish()
    one = device(disk)
    one.refresh()
    disk.make_folder("old")
    if harm != "old file gone":
        disk.write("old/artifact.ewa", OLD if harm != "old file changed" else OLD[:-1] + b"!")
    path = one.fetch(one.offers()[1], {OLD_SHA: "old/artifact.ewa"})
    assert disk.read(path) == NEW
    assert disk.names("downloads") == [NEW_SHA]


def test_a_chunk_list_that_is_not_there_costs_only_comfort(patched: SimulatedRepository, device: Device) -> None:
    patched.hidden = {name for name in patched.files if name.endswith(".chunks")}
    assert get(device, SimulatedDisk(), has_old=False) == NEW


def test_what_no_other_model_needs_is_cleared_away(patched: SimulatedRepository, device: Device) -> None:
    """Of a model that is fetched only the file that is wanted now stays, of other models what is on the way to offers."""
    other = OLD[::-1]
    other_sha = hashlib.sha256(other).hexdigest()
    patched.offer(other, model="other")
    patched.publish()
    disk = SimulatedDisk()
    one = device(disk)
    one.refresh()
    disk.make_folder("downloads")
    for name in (f"{'a' * 64}.part", f".{'a' * 64}.json.new", f"{OLD_SHA}.part", f"{other_sha}.part"):
        disk.write(f"downloads/{name}", b"")
    offered = {(each.offer.model, each.offer.version): each for each in one.offers()}
    one.fetch(offered["digits", 2], {})
    assert disk.names("downloads") == sorted([f"{other_sha}.part", NEW_SHA])
    one.forget(NEW_SHA)
    one.forget(other_sha)
    assert disk.names("downloads") == []


def test_an_offer_that_was_withdrawn_is_not_fetched(patched: SimulatedRepository, device: Device) -> None:
    one = device()
    one.refresh()
    offered = one.offers()[1]
    del patched.targets["targets"].targets[offered.name]
    patched.publish()
    one.refresh()
    with pytest.raises(VerificationError, match="not signed any more"):
        one.fetch(offered, {})
    patched.offer(OLD[::-1], 2)
    patched.publish()
    one.refresh()
    with pytest.raises(VerificationError, match="signed anew"):
        one.fetch(offered, {})


def test_a_full_disk_is_not_answered_with_a_larger_download(patched: SimulatedRepository, device: Device) -> None:
    disk = SimulatedDisk()
    one = device(disk)
    one.refresh()
    disk.make_folder("old")
    disk.write("old/artifact.ewa", OLD)
    disk.capacity = 300_000
    with pytest.raises(StoreError):
        one.fetch(one.offers()[1], {OLD_SHA: "old/artifact.ewa"})
    assert not asked_for_artifact(patched)


def test_an_origin_that_is_down(patched: SimulatedRepository, device: Device) -> None:
    one = device()
    one.refresh()
    patched.hidden = set(patched.files)
    with pytest.raises(NetworkError):
        one.fetch(one.offers()[0], {})


def test_bins_come_verified_and_leave_nothing(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    publisher.publish(1.0)
    disk = SimulatedDisk()
    root = (tmp_path / "repo" / "metadata" / "1.root.json").read_bytes()
    device = RepositorySource(disk, FolderOrigin(tmp_path / "repo"), SystemClock(), root)
    device.refresh()
    (offered,) = device.offers()
    data = device.bins(offered)
    assert data is not None
    assert decode_bins(data) == open_artifact(publisher.artifact(1.0)).manifest.histograms
    assert disk.names("downloads") == []
    changed = tmp_path / "repo" / "targets"
    (path,) = changed.rglob("*.bins.json")
    path.write_bytes(data.replace(b"0.4", b"0.5"))
    with pytest.raises(VerificationError):
        device.bins(offered)


def test_an_offer_from_before_there_were_bins_has_none(repository: SimulatedRepository, device: Device) -> None:
    found = device()
    found.refresh()
    (offered,) = found.offers()
    assert found.bins(offered) is None
