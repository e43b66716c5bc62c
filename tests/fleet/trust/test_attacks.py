"""The attacks that the specification of TUF names (section 1.5.2), each tried on a device.

"Extraneous dependencies" does not apply: an artifact has none. Slow retrieval is in tests/fleet/test_http.py, stolen keys are
in test_stolen_keys.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from random import Random

import pytest
from edgewright.core.errors import NetworkError, VerificationError
from edgewright.fleet.http import Flow
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import CANARY, Device, SimulatedRepository, device_at, versions
from tuf.api.metadata import Metadata, MetaFile

OLD = Random(1).randbytes(200_000)
NEW = Random(2).randbytes(150_000)
DAY = 86400.0


def test_an_honest_repository_is_followed(repository: SimulatedRepository, device: Device) -> None:
    one = device(disk := SimulatedDisk())
    assert one.offers() == []
    one.refresh()
    assert versions(one) == [1]
    assert disk.read(one.fetch(one.offers()[0], {})) == OLD
    repository.offer(NEW, 2)
    repository.publish()
    one.refresh()
    assert versions(one) == [1, 2]
    assert disk.read(one.fetch(one.offers()[1], {})) == NEW


def test_arbitrary_software(repository: SimulatedRepository, device: Device) -> None:
    """A mirror has another file under the name."""
    one = device(disk := SimulatedDisk())
    one.refresh()
    for name in repository.files:
        if name.endswith(".ewa"):
            repository.files[name] = bytes(len(OLD))
    with pytest.raises(VerificationError):
        one.fetch(one.offers()[0], {})
    assert all(
        len(disk.read(f"downloads/{name}")) < 100 or name.endswith((".chunks", ".json")) for name in disk.names("downloads")
    )


def test_arbitrary_metadata(repository: SimulatedRepository, device: Device) -> None:
    """Someone else signs a new version of every role."""
    one = device()
    one.refresh()
    thief = SimulatedRepository(repository.clock)
    thief.offer(NEW, 9)
    for _ in range(5):
        thief.publish("targets", CANARY, "snapshot", "timestamp")
    with pytest.raises(VerificationError, match=r"what was trusted before stays\.$"):
        device_at(one, thief).refresh()
    assert versions(one) == [1]


def test_wrong_software(repository: SimulatedRepository, device: Device) -> None:
    """A mirror answers with another file that was signed too."""
    repository.offer(NEW, 2)
    repository.publish()
    names = sorted(name for name in repository.files if name.endswith(".ewa"))
    first, second = (repository.files[name] for name in names)
    repository.files.update({names[0]: second, names[1]: first})
    one = device()
    one.refresh()
    for offered in one.offers():
        with pytest.raises(VerificationError):
            one.fetch(offered, {})


def test_endless_metadata(repository: SimulatedRepository, device: Device) -> None:
    """Metadata longer than their role may have are refused, whatever length other metadata give them."""
    one = device()
    one.refresh()
    repository.publish()
    repository.timestamp.unrecognized_fields["x"] = "x" * 20_000
    repository.publish("timestamp")
    with pytest.raises(NetworkError):
        one.refresh()
    del repository.timestamp.unrecognized_fields["x"]
    repository.snapshot.unrecognized_fields["x"] = "x" * 2_100_000
    repository.publish("snapshot", "timestamp")
    assert repository.timestamp.snapshot_meta.length > 2_100_000
    with pytest.raises(NetworkError):
        one.refresh()
    del repository.snapshot.unrecognized_fields["x"]
    repository.publish("snapshot", "timestamp")
    one.refresh()


def test_endless_artifact(repository: SimulatedRepository, device: Device) -> None:
    """A server that never stops sending is left as soon as the signed length is there."""

    class Endless(SimulatedRepository):
        def __init__(self) -> None:
            self.sent = 0

        metadata = staticmethod(repository.metadata)

        @contextmanager
        def flow(self, name, start, length):  # type: ignore[no-untyped-def]
            def forever():  # type: ignore[no-untyped-def]
                yield repository.files[name][start:]
                while True:
                    self.sent += 10_000
                    yield bytes(10_000)

            yield Flow(200, start, None, forever())

    endless = Endless()
    one = device(disk := SimulatedDisk(), endless)
    one.refresh()
    with pytest.raises(NetworkError):
        one.fetch(one.offers()[0], {})
    assert endless.sent < 3 * 2**20
    assert max(len(disk.read(f"downloads/{name}")) for name in disk.names("downloads")) <= len(OLD)


def test_rollback_of_the_timestamp(repository: SimulatedRepository, device: Device) -> None:
    one = device()
    old = dict(repository.metadata_files)
    repository.offer(NEW, 2)
    repository.publish()
    one.refresh()
    repository.metadata_files = old
    with pytest.raises(VerificationError):
        one.refresh()
    assert versions(one) == [1, 2]


def test_rollback_after_a_restart(repository: SimulatedRepository, device: Device) -> None:
    disk, old = SimulatedDisk(), dict(repository.metadata_files)
    repository.offer(NEW, 2)
    repository.publish()
    device(disk).refresh()
    repository.metadata_files = old
    with pytest.raises(VerificationError):
        device(disk).refresh()


def test_rollback_of_one_role(repository: SimulatedRepository, device: Device) -> None:
    """Honest keys, tricked into signing a snapshot that names an older version of the targets."""
    one = device()
    repository.offer(NEW, 2)
    repository.publish()
    one.refresh()
    repository.snapshot.meta["targets.json"] = MetaFile(1)
    repository.publish("snapshot", "timestamp")
    with pytest.raises(VerificationError):
        one.refresh()


def test_a_role_does_not_vanish(repository: SimulatedRepository, device: Device) -> None:
    one = device()
    one.refresh()
    del repository.snapshot.meta[f"{CANARY}.json"]
    repository.publish("snapshot", "timestamp")
    with pytest.raises(VerificationError):
        one.refresh()


def test_indefinite_freeze(repository: SimulatedRepository, device: Device, clock: SimulatedClock) -> None:
    """Nothing new is let through: after the timestamp's days that is an error, and nothing old is offered any more."""
    one = device()
    one.refresh()
    clock.advance(6 * DAY)
    one.refresh()
    clock.advance(2 * DAY)
    with pytest.raises(VerificationError, match="expired"):
        one.refresh()
    assert one.offers() == []
    repository.publish("timestamp")
    one.refresh()
    assert versions(one) == [1]


def test_fast_forward(repository: SimulatedRepository, device: Device) -> None:
    """Version numbers raised to the end by a thief: new keys for the online roles bring the fleet back."""
    one = device(disk := SimulatedDisk())
    repository.sign("targets", 10**9)
    repository.sign("snapshot", 10**9)
    repository.sign("timestamp", 10**9)
    one.refresh()
    repository.rotate("timestamp", "snapshot")
    repository.offer(NEW, 2)
    for role in ("targets", "snapshot", "timestamp"):
        repository.sign(role, 7)
    device(disk).refresh()
    one.refresh()
    assert versions(one) == [1, 2]


def test_mix_and_match(repository: SimulatedRepository, device: Device) -> None:
    """Parts of two states of the repository: what the timestamp and snapshot name is all that is taken."""
    one = device()
    one.refresh()
    old = dict(repository.metadata_files)
    repository.offer(NEW, 2)
    repository.publish()
    new = dict(repository.metadata_files)
    for role, version in (("snapshot", repository.snapshot.version), ("targets", repository.targets["targets"].version)):
        mixed = {**new, f"{version}.{role}.json": old[f"{version - 1}.{role}.json"]}
        repository.metadata_files = mixed
        with pytest.raises(VerificationError):
            one.refresh()
    repository.metadata_files = new
    one.refresh()
    assert versions(one) == [1, 2]


def test_malicious_mirror_then_an_honest_one(repository: SimulatedRepository, device: Device) -> None:
    """What a mirror spoilt is cut off; the next one completes the file without what was good being sent again."""
    one = device(disk := SimulatedDisk())
    one.refresh()
    name = next(name for name in repository.files if name.endswith(".ewa"))
    good = repository.files[name]
    repository.files[name] = good[:150_000] + bytes(50_000)
    with pytest.raises(VerificationError):
        one.fetch(one.offers()[0], {})
    repository.files[name] = good
    starts = []

    class Watched(SimulatedRepository):
        def __init__(self) -> None: ...

        metadata = staticmethod(repository.metadata)

        def flow(self, name, start, length):  # type: ignore[no-untyped-def]
            starts.append(start)
            return repository.flow(name, start, length)

    device_at(one, Watched())
    assert disk.read(one.fetch(one.offers()[0], {})) == good
    assert starts == [131072]


def test_signatures_count_once(repository: SimulatedRepository, device: Device) -> None:
    """Two signatures by one root key do not make a threshold of two."""
    one = device()
    one.refresh()
    first = repository.signers["root"][0]
    repository.signers["root"] = [first, first]
    repository.publish("root")
    with pytest.raises(VerificationError):
        one.refresh()
    assert Metadata.from_bytes(repository.metadata_files["2.root.json"]).signed.version == 2


def test_a_root_that_cannot_be_used_takes_no_place(repository: SimulatedRepository, device: Device) -> None:
    """Rightly signed, with key ids that are no text: a device that kept it could take no later root either."""
    one = device(disk := SimulatedDisk())
    one.refresh()
    trusted = disk.read("trust/root.json")
    root = repository.root
    good = root.to_dict()
    repository.root.roles["timestamp"].keyids = [*root.roles["timestamp"].keyids, 7]  # type: ignore[list-item]
    repository.publish("root")
    with pytest.raises(VerificationError, match="no text"):
        one.refresh()
    assert disk.read("trust/root.json") == trusted
    assert versions(one) == [1]
    repository.root = type(root).from_dict(good)
    repository.publish("root")
    one.refresh()
    assert disk.read("trust/root.json") == repository.metadata_files["2.root.json"]
