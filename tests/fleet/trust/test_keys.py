"""Making repositories and keys: what lies where, who can read it, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from edgewright.core.errors import UsageError
from edgewright.fleet.trust.create import Plan, create_repository
from edgewright.fleet.trust.keys import Keyring
from edgewright.fleet.trust.rotate import refresh, rotate
from trust.publisher import Device, Publisher
from tuf.api.metadata import Metadata


def test_keys_are_apart_from_what_is_published_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, Plan({"root": 2}))
    kept = [publisher.keys / kind for kind in ("offline", "online")]
    offline, online = (sorted(path.name.rpartition("-")[0] for path in folder.iterdir()) for folder in kept)
    assert offline == ["root", "root", "targets"]
    assert online == ["canary", "snapshot", "timestamp"]
    for path in publisher.keys.rglob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not [name for name, data in publisher.files().items() if b"PRIVATE" in data]
    assert stat.S_IMODE((tmp_path / "repo").stat().st_mode) == 0o755


def test_a_new_repository_is_valid_for_devices_and_empty(tmp_path: Path) -> None:
    Publisher(tmp_path, Plan({"root": 3, "targets": 2}, {"root": 2, "targets": 2}))
    assert Device(tmp_path / "repo", tmp_path / "device").sees() == {}
    root = Metadata.from_file(str(tmp_path / "repo" / "metadata" / "1.root.json"))
    assert {name: (len(role.keyids), role.threshold) for name, role in root.signed.roles.items()} == {
        "root": (3, 2),
        "targets": (2, 2),
        "snapshot": (1, 1),
        "timestamp": (1, 1),
    }


def test_encrypted_keys_need_their_passphrase(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, passphrase=b"correct horse")
    for path in (publisher.keys / "offline").iterdir():
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    before = publisher.files()
    refresh(publisher.repository, publisher.ring())  # online keys are not encrypted
    assert publisher.files() != before
    before = publisher.files()
    with pytest.raises(UsageError, match="does not open the key"):
        refresh(publisher.repository, publisher.ring(b"wrong"), ["targets"])
    with pytest.raises(UsageError, match="there is no passphrase"):
        refresh(publisher.repository, publisher.ring(), ["targets"])
    with pytest.raises(UsageError, match="there is no passphrase"):
        refresh(publisher.repository, publisher.ring(b""), ["targets"])
    assert publisher.files() == before
    refresh(publisher.repository, publisher.ring(b"correct horse"), ["targets"])
    made = rotate(publisher.repository, publisher.ring(b"correct horse"), "targets").made
    assert [path.read_bytes()[:30] for path in made] == [b"-----BEGIN ENCRYPTED PRIVATE K"]


def test_a_key_that_others_can_read_or_that_is_another_is_refused(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    (snapshot,) = (publisher.keys / "online").glob("timestamp-*")
    (canary,) = (publisher.keys / "online").glob("canary-*")
    good = snapshot.read_bytes()
    snapshot.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        refresh(publisher.repository, publisher.ring())
    snapshot.chmod(0o600)
    elliptic = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, words in ((canary.read_bytes(), "another key"), (b"no key", "no private key"), (elliptic, "not an Ed25519")):
        snapshot.write_bytes(content)
        with pytest.raises(UsageError, match=words):
            refresh(publisher.repository, publisher.ring())
    snapshot.write_bytes(good)
    refresh(publisher.repository, publisher.ring())


def test_keys_are_found_in_several_folders(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    stick = tmp_path / "stick"
    (publisher.keys / "offline").rename(stick)
    with pytest.raises(UsageError, match="--keys"):
        refresh(publisher.repository, publisher.ring(), ["root"])
    refresh(publisher.repository, Keyring([publisher.keys, stick]), ["root"])


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan({"root": 2}, {"root": 3}), "3 of 2 keys"),
        (Plan({"root": 0}), "0 keys"),
        (Plan({"root": 99}), "99 keys"),
        (Plan({}, {"targets": 0}), "0 of 1 keys"),
    ],
)
def test_a_threshold_that_cannot_be_reached_is_refused(tmp_path: Path, plan: Plan, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Publisher(tmp_path, plan)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        Publisher(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "repo"]
    with pytest.raises(UsageError, match="would be published"):
        create_repository(tmp_path / "other", Keyring([tmp_path / "other" / "keys"]), Plan())
    assert not (tmp_path / "other").exists()


def test_a_repository_that_cannot_be_written_leaves_no_keys(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="file"):
        create_repository(tmp_path / "file" / "repo", Keyring([tmp_path / "keys"]), Plan())
    assert not list(tmp_path.rglob("*.pem"))
