"""Publishing: what a device then sees, what is refused, and that nothing is ever half."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from edgewright.core.artifact_read import open_artifact
from edgewright.core.errors import ArtifactError, ProtocolError, StoreError, UsageError, VerificationError
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import Memory
from edgewright.fleet.protocol.bins import decode_bins
from edgewright.fleet.protocol.offer import CHUNK_BYTES, Offer
from edgewright.fleet.trust.create import Plan
from edgewright.fleet.trust.publish import Wish, publish, withdraw
from edgewright.fleet.trust.repository import listed
from edgewright.fleet.trust.rotate import refresh
from edgewright.fleet.trust.status import status
from simulated import SimulatedClock
from trust.publisher import KILLED, REFUSED, SURVIVED, Device, Publisher, both, dying, no_leftovers
from tuf.api.metadata import Metadata

LINE = "tiny/x86-64-avx2"
DAY = 86_400.0


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publisher's folder with versions 1 and 2 in the repository."""
    publisher = Publisher(tmp_path_factory.mktemp("publisher"))
    publisher.publish(1.0)
    publisher.publish(2.0)
    return publisher.folder


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses nothing that it wrote, synced or not; without syncing these tests are not the disk's."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def publisher(two_versions: Path, tmp_path: Path) -> Publisher:
    return again(two_versions, tmp_path / "publisher")


def again(old: Path, folder: Path) -> Publisher:
    """The publisher whose folder was `old`, in a copy."""
    shutil.copytree(old, folder)
    made = Publisher.__new__(Publisher)
    made.folder, made.clock, made.keys = folder, None, folder / "keys"
    return made


def offers(publisher: Publisher) -> dict[str, Offer]:
    return {item.name: item.offer for item in listed(publisher.repository.load())}


def test_a_device_sees_the_artifact_and_what_lies_beside_it(publisher: Publisher, tmp_path: Path) -> None:
    found = Device(publisher.folder / "repo", tmp_path / "device").sees()
    artifact = publisher.artifact(2.0)
    data = artifact.read_bytes()
    assert found[f"{LINE}/2.ewa"] == data
    offer = offers(publisher)[f"{LINE}/2.ewa"]
    opened = open_artifact(artifact)
    assert (offer.model, offer.version, offer.profile, offer.arch) == ("tiny", 2, "x86-64-avx2", "x86_64")
    assert (offer.size_bytes, offer.content_digest) == (len(data), opened.content_digest)
    assert offer.operators == {"ai.onnx": 17}
    for ref in (offer.bom, offer.provenance, offer.chunks, offer.bins):
        assert ref is not None
        assert hashlib.sha256(found[ref.path]).hexdigest() == ref.sha256
    assert decode_bins(found[f"{LINE}/2.bins.json"]) == opened.manifest.histograms
    pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    assert found[f"{LINE}/2.chunks"] == b"".join(hashlib.sha256(piece).digest() for piece in pieces)


def test_patches_make_the_new_file_out_of_the_old_one(publisher: Publisher, tmp_path: Path) -> None:
    found = Device(publisher.folder / "repo", tmp_path / "device").sees()
    old, new = found[f"{LINE}/1.ewa"], found[f"{LINE}/2.ewa"]
    deltas = offers(publisher)[f"{LINE}/2.ewa"].deltas
    assert deltas
    for delta in deltas:
        assert delta.from_sha256 == hashlib.sha256(old).hexdigest()
        assert delta.size_bytes == len(found[delta.path]) <= 0.9 * len(new)
        assert rebuilt(old, found[delta.path]) == new


def rebuilt(old: bytes, patch: bytes) -> bytes:
    """What a device makes of a patch."""
    pieces: list[bytes] = []
    apply_delta(Memory(old), Memory(patch), pieces.append)
    return b"".join(pieces)


def test_patches_come_from_the_newest_versions_only_and_none_when_none_are_wished(publisher: Publisher) -> None:
    (third,) = publisher.publish(3.0, deltas=1)
    assert {delta.from_sha256 for delta in third.deltas} == {hashlib.sha256(publisher.artifact(2.0).read_bytes()).hexdigest()}
    (fourth,) = publisher.publish(4.0, deltas=0)
    assert fourth.deltas == ()
    (fifth,) = publisher.publish(5.0, deltas=10)
    assert len({delta.from_sha256 for delta in fifth.deltas}) == 4


def test_a_patch_that_saves_little_is_not_published(publisher: Publisher) -> None:
    class Large:
        codec = "tensor"
        data = b"x" * int(0.95 * publisher.artifact(3.0).stat().st_size)

    (third,) = publish(publisher.repository, publisher.ring(), [publisher.artifact(3.0)], Wish(), lambda old, new: [Large()])
    assert third.deltas == ()


def test_publishing_the_same_artifact_again_changes_no_byte(publisher: Publisher) -> None:
    before = publisher.files()
    (found,) = publisher.publish(2.0)
    assert (found.is_new, found.version) == (False, 2)
    (older,) = publisher.publish(1.0)
    assert (older.is_new, older.version) == (False, 1)
    assert publisher.files() == before


def test_a_file_that_was_lost_or_damaged_is_put_back_by_publishing_again(publisher: Publisher) -> None:
    before = publisher.files()
    (file,) = (publisher.folder / "repo").rglob("*.2.ewa")
    for harm in (file.unlink, lambda: file.write_bytes(b"damaged")):
        harm()
        assert status(publisher.repository, publisher.ring()).damaged == (f"{LINE}/2.ewa",)
        publisher.publish(2.0)
        assert publisher.files() == before
    assert status(publisher.repository, publisher.ring()).damaged == ()


def test_an_old_artifact_can_be_the_newest_again(publisher: Publisher) -> None:
    (found,) = publisher.publish(1.0, version=3)
    assert (found.is_new, found.version) == (True, 3)


@pytest.mark.parametrize(
    ("offset", "version", "words"),
    [(3.0, 2, "published as another artifact"), (3.0, 1, "published as another artifact"), (2.0, 1, "another artifact")],
)
def test_a_version_that_exists_with_other_bytes_is_refused(
    publisher: Publisher, offset: float, version: int, words: str
) -> None:
    before = publisher.files()
    with pytest.raises(UsageError, match=words):
        publisher.publish(offset, version=version)
    assert publisher.files() == before


def test_versions_rise(publisher: Publisher) -> None:
    publisher.publish(5.0, version=7)
    with pytest.raises(UsageError, match="not above 7"):
        publisher.publish(6.0, version=4)
    (found,) = publisher.publish(6.0)
    assert found.version == 8


def test_all_of_several_artifacts_or_none(publisher: Publisher, tmp_path: Path) -> None:
    before = publisher.files()
    broken = tmp_path / "broken.ewa"
    broken.write_bytes(publisher.artifact(4.0).read_bytes()[:-1])
    with pytest.raises(ArtifactError):
        publish(publisher.repository, publisher.ring(), [publisher.artifact(3.0), broken], Wish(), both)
    assert publisher.files() == before
    assert [item.version for item in publisher.publish(3.0, 4.0, 3.0)] == [3, 4, 3]
    assert len(publisher.repository.versions("targets")) == 4  # one for both


def test_the_canary_is_signed_by_its_own_role_and_then_promoted_under_its_version(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    for key in (publisher.keys / "offline").iterdir():
        key.unlink()  # the canary takes online keys only
    (canary,) = publisher.publish(3.0, is_canary=True)
    assert (canary.name, canary.role, canary.version) == (f"canary/{LINE}/3.ewa", "canary", 3)
    assert device.sees()[canary.name] == publisher.artifact(3.0).read_bytes()
    with pytest.raises(UsageError, match="targets-"):
        publisher.publish(3.0)


def test_promotion_keeps_the_version_and_another_artifact_goes_past_it(publisher: Publisher) -> None:
    publisher.publish(3.0, is_canary=True)
    with pytest.raises(UsageError, match="another artifact"):
        publisher.publish(4.0, version=3)
    (other,) = publisher.publish(4.0)
    (later,) = publisher.publish(5.0, is_canary=True)
    (promoted,) = publisher.publish(5.0)
    assert (other.version, later.version, promoted.version, promoted.role) == (4, 5, 5, "targets")


def test_what_is_withdrawn_is_gone_for_devices_and_its_version_is_not_used_again(publisher: Publisher, tmp_path: Path) -> None:
    device = Device(publisher.folder / "repo", tmp_path / "device")
    assert f"{LINE}/2.ewa" in device.sees()
    withdraw(publisher.repository, publisher.ring(), [f"{LINE}/2.ewa"])
    assert not [name for name in device.sees() if name.startswith(f"{LINE}/2.")]
    (found,) = publisher.publish(3.0)
    assert found.version == 3
    with pytest.raises(UsageError, match=r"did you mean 'tiny/x86-64-avx2/3\.ewa'"):
        withdraw(publisher.repository, publisher.ring(), [f"{LINE}/2.ewa"])


def test_what_lies_in_the_folder_unsigned_decides_no_version(publisher: Publisher, tmp_path: Path) -> None:
    """Whoever may write there cannot use up the versions; withdrawn ones count by what is signed."""
    folder = publisher.folder / "repo" / "targets" / LINE
    for version in ("99999999", "9" * 150):
        (folder / f"{'0' * 64}.{version}.ewa").write_bytes(b"")
    withdraw(publisher.repository, publisher.ring(), [f"{LINE}/2.ewa"])
    publisher.publish(3.0, version=7)
    withdraw(publisher.repository, publisher.ring(), [f"{LINE}/7.ewa", f"{LINE}/1.ewa"])
    (found,) = publisher.publish(4.0)
    assert found.version == 8
    assert f"{LINE}/8.ewa" in Device(publisher.folder / "repo", tmp_path / "device").sees()


def test_a_model_whose_name_cannot_stand_in_a_path_needs_another(publisher: Publisher) -> None:
    for name in ("arrays in memory", "../tiny", "canary", ""):
        with pytest.raises(ProtocolError, match=r"letters, digits|canary") if name else pytest.raises(UsageError):
            publish(
                publisher.repository,
                publisher.ring(),
                [publisher.artifact(3.0)],
                Wish(model=name, version=None if name else 1),
                both,
            )
    (found,) = publish(publisher.repository, publisher.ring(), [publisher.artifact(3.0)], Wish(model="other"), both)
    assert (found.name, found.version) == ("other/x86-64-avx2/1.ewa", 1)


def test_two_publishers_at_once(publisher: Publisher) -> None:
    before = publisher.files()
    with publisher.repository.locked(), pytest.raises(UsageError, match="another process is publishing"):
        publisher.publish(3.0)
    assert publisher.files() == before
    publisher.publish(3.0)


def test_a_missing_key_is_named_and_nothing_changes(publisher: Publisher) -> None:
    before = publisher.files()
    (key,) = (publisher.keys / "online").glob("timestamp-*")
    key.rename(publisher.folder / "away")
    with pytest.raises(UsageError, match=rf"'timestamp' takes 1 .*{key.name}.*--keys"):
        publisher.publish(3.0)
    assert publisher.files() == before


def test_a_repository_that_somebody_else_wrote_into_is_not_signed(publisher: Publisher) -> None:
    metadata = publisher.folder / "repo" / "metadata"
    for role, version in (("targets", 3), ("snapshot", 3)):
        path = metadata / f"{version}.{role}.json"
        good = path.read_bytes()
        changed = json.loads(good)
        changed["signed"]["expires"] = "2090-01-01T00:00:00Z"
        for bad in (json.dumps(changed).encode(), b"{}", good[:-1]):
            path.write_bytes(bad)
            with pytest.raises(VerificationError, match=f"{role}.* restore"):
                publisher.publish(3.0)
        path.write_bytes(good)
    publisher.publish(3.0)


def test_no_repository_and_keys_inside_of_it(publisher: Publisher, tmp_path: Path) -> None:
    wrong = Publisher.__new__(Publisher)
    wrong.folder, wrong.clock, wrong.keys = tmp_path, None, tmp_path / "keys"
    with pytest.raises(UsageError, match="repo init"):
        wrong.publish(1.0)
    publisher.keys = publisher.folder / "repo" / "keys"
    with pytest.raises(UsageError, match="would be published"):
        publisher.publish(3.0)


def test_expired_metadata_are_not_built_upon(tmp_path: Path) -> None:
    clock = SimulatedClock()
    publisher = Publisher(tmp_path, Plan(days={"targets": 40}), clock)
    publisher.publish(1.0)
    clock.advance(35 * DAY)  # timestamp, snapshot and canary are over
    with pytest.raises(UsageError, match=r"'canary' metadata of .* expired on .*repo refresh"):
        publisher.publish(2.0)
    refresh(publisher.repository, publisher.ring())
    publisher.publish(2.0)  # signs the targets anew as well
    clock.advance(41 * DAY)
    with pytest.raises(UsageError, match=r"'targets' metadata of .* expired on .*--role targets"):
        publisher.publish(3.0, is_canary=True)
    with pytest.raises(UsageError, match="--role targets"):
        refresh(publisher.repository, publisher.ring())
    refresh(publisher.repository, publisher.ring(), ["targets"])
    publisher.publish(3.0, is_canary=True)
    clock.advance(400 * DAY)
    with pytest.raises(UsageError, match="--role root"):
        refresh(publisher.repository, publisher.ring(), ["targets", "canary"])
    refresh(publisher.repository, publisher.ring(), ["root", "targets"])
    assert not [role for role in status(publisher.repository, publisher.ring()).roles if role.is_expired]


def test_metadata_that_grow_past_what_a_device_reads_are_not_signed(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.fleet.trust import signing

    before = publisher.files()
    monkeypatch.setitem(signing.LIMITS, "targets", 4000)
    with pytest.raises(UsageError, match="more than the 4,000 that a device reads; withdraw"):
        publisher.publish(3.0)
    assert publisher.files() == before


def test_wherever_publishing_is_killed_devices_see_the_old_or_the_new_and_it_can_be_done_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    first = Device(publisher.folder / "repo", tmp_path / "first")
    old_names = set(first.sees())
    new_names = {f"{LINE}/3.{ending}" for ending in ("ewa", "chunks", "bom.json", "provenance.json", "bins.json")}
    moment, outcomes = 0, []
    while SURVIVED not in outcomes:
        moment += 1
        hit = again(publisher.folder, tmp_path / f"hit-{moment}")
        repo = hit.folder / "repo"
        known = Device(repo, tmp_path / f"known-{moment}", like=first)
        outcomes.append(dying(lambda hit=hit: hit.publish(3.0, deltas=0), repo, moment, ("os.rename",)))
        assert outcomes[-1] in (KILLED, SURVIVED)
        seen = set(known.sees())
        assert seen in (old_names, old_names | new_names)
        assert set(Device(repo, tmp_path / f"new-{moment}").sees()) == seen
        (found,) = hit.publish(3.0, deltas=0)
        assert found.version == 3
        assert set(known.sees()) == old_names | new_names
        no_leftovers(repo)
        shutil.rmtree(hit.folder)
    assert len(outcomes) == 9  # five targets, two roles, the timestamp, and the end


def test_wherever_the_disk_refuses_there_is_one_sentence_and_the_repository_is_as_it_was(
    publisher: Publisher, tmp_path: Path
) -> None:
    before = publisher.files()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    device = Device(publisher.folder / "repo", tmp_path / "device")
    device.sees()
    moment, outcomes = 0, []
    while SURVIVED not in outcomes:
        moment += 1
        outcomes.append(
            dying(lambda: publisher.publish(3.0, deltas=0), publisher.folder / "repo", moment, ("open", "os.rename"), full)
        )
        assert outcomes[-1] in (REFUSED, SURVIVED)
        no_leftovers(publisher.folder / "repo")
        if outcomes[-1] == REFUSED and publisher.files() != before:
            # Only the very last step, making the new timestamp durable, may fail when devices see it already.
            assert f"{LINE}/3.ewa" in device.sees()
            break
        device.sees()
    assert len(outcomes) > 15


def test_a_read_only_folder_is_one_sentence(publisher: Publisher) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (publisher.folder / "repo" / "metadata").chmod(0o555)
    with pytest.raises(StoreError, match="writable"):
        publisher.publish(3.0)
    (publisher.folder / "repo" / "metadata").chmod(0o755)


def test_metadata_are_what_tuf_says(publisher: Publisher) -> None:
    root = Metadata.from_file(str(publisher.folder / "repo" / "metadata" / "1.root.json")).signed
    assert root.consistent_snapshot
    targets = publisher.repository.load().targets["targets"].signed
    canary = targets.delegations.roles["canary"]
    assert (canary.paths, canary.terminating) == (["canary/*/*/*"], True)
