"""A published repository, read the way a device reads it: by the chain of signatures from the first root.

Layout of the folder, which any static file server can serve (TUF 1.0, consistent snapshots):

    metadata/<n>.root.json  metadata/timestamp.json  metadata/<n>.{snapshot,targets,canary}.json
    targets/<model>/<profile>/<sha256>.<version>.ewa, and the files beside it in the same way

`load` believes nothing that is not signed: a publisher who signs on top of what somebody else wrote into the folder would
make it true. Expiry is not checked there, so that an expired repository can be renewed.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from ...core.canonical import digest
from ...core.clock import Clock, SystemClock
from ...core.errors import ProtocolError, StoreError, UsageError, VerificationError
from ..protocol.offer import ARTIFACT_SUFFIX, CANARY, Offer

TARGETS = Targets.type
ROLES = (Root.type, TARGETS, CANARY, Snapshot.type, Timestamp.type)
# What python-tuf's client accepts at most, in bytes.
LIMITS = {Root.type: 512_000, TARGETS: 5_000_000, CANARY: 5_000_000, Snapshot.type: 2_000_000, Timestamp.type: 16_384}

_S = TypeVar("_S", Root, Timestamp, Snapshot, Targets)
_VERSIONED = re.compile(r"([1-9][0-9]{0,8})\.([a-z]+)\.json")


@dataclass(frozen=True)
class Chain:
    """Verified metadata that belong together: what a device sees that reads the repository now.

    `timestamp` is None where what the one in the folder names does not hold by the current root: a rotation was cut short.
    """

    root: Metadata[Root]
    timestamp: Metadata[Timestamp] | None
    snapshot: Metadata[Snapshot]
    targets: Mapping[str, Metadata[Targets]]

    def signed(self) -> dict[str, Signed]:
        """The signed part of every role's metadata."""
        roles: dict[str, Signed] = {Root.type: self.root.signed, Snapshot.type: self.snapshot.signed}
        roles |= {name: metadata.signed for name, metadata in self.targets.items()}
        return roles if self.timestamp is None else {**roles, Timestamp.type: self.timestamp.signed}


@dataclass(frozen=True)
class Listed:
    """An artifact that the metadata list, with the role that signs for it."""

    name: str
    role: str
    sha256: str
    offer: Offer


class Repository:
    """The published folder."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        """Hold the folder; `clock` dates signatures and judges expiry."""
        self.folder = folder
        self.clock = clock or SystemClock()

    @property
    def metadata(self) -> Path:
        """The folder of metadata."""
        return self.folder / "metadata"

    def now(self) -> datetime:
        """The time by the clock, in UTC."""
        return datetime.fromtimestamp(self.clock.now(), timezone.utc)

    def target_path(self, name: str, sha256: str) -> Path:
        """Where a target's file lies: its name with the digest before the last part."""
        folder, _, base = name.rpartition("/")
        return self.folder / "targets" / folder / f"{sha256}.{base}"

    def metadata_path(self, role: str, version: int) -> Path:
        """Where a version of a role's metadata lies."""
        name = f"{role}.json" if role == Timestamp.type else f"{version}.{role}.json"
        return self.metadata / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one publisher; raises UsageError where another is at work or where it is no repository."""
        if not (self.metadata / "1.root.json").is_file():
            raise UsageError(f"{self.folder} is no repository; make one with `edgewright repo init {self.folder}`.")
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StoreError(f"cannot open {self.folder}: {error.strerror or error}; check its rights.") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"another process is publishing to {self.folder}; run it again when that one is done."
                ) from error
            yield
        finally:
            os.close(handle)

    def load(self) -> Chain:
        """What is published now; raises UsageError where there is no repository, VerificationError where the chain is broken.

        Where it holds by the root before the newest one only, a rotation was cut between root and timestamp: then the newest
        snapshot that holds by the newest root stands in for the one that the timestamp names.
        """
        roots = self._roots()
        try:
            return self._chain(roots[-1])
        except VerificationError:
            if len(roots) < 2 or not self._holds(roots[-2]):
                raise
        return self._newest(roots[-1])

    def versions(self, role: str) -> list[int]:
        """Versions of a role's metadata that have a file, also those that nothing refers to."""
        found = (_VERSIONED.fullmatch(path.name) for path in self.metadata.iterdir())
        return sorted(int(match[1]) for match in found if match and match[2] == role)

    def unverified_timestamp_version(self) -> int:
        """The version that timestamp.json claims, or 0; only good for choosing a larger one."""
        try:
            version = Metadata[Timestamp].from_bytes(self._read("timestamp.json")).signed.version
        except (DeserializationError, VerificationError):
            return 0
        return version if version < 10**9 else 0

    def _roots(self) -> list[Metadata[Root]]:
        """All roots, each verified by the one before it and by itself (TUF 5.3)."""
        if not (self.metadata / "1.root.json").is_file():
            raise UsageError(f"{self.folder} is no repository; make one with `edgewright repo init {self.folder}`.")
        current = self._parse(Root, self._read("1.root.json"), "1.root.json")
        self._verify(current, current, Root.type)
        roots = [current]
        while (self.metadata / f"{current.signed.version + 1}.root.json").is_file():
            name = f"{current.signed.version + 1}.root.json"
            newer = self._parse(Root, self._read(name), name)
            if newer.signed.version != current.signed.version + 1:
                raise VerificationError(f"{self.metadata / name} holds version {newer.signed.version}; restore the file.")
            self._verify(current, newer, Root.type)
            self._verify(newer, newer, Root.type)
            current = newer
            roots.append(current)
        return roots

    def _chain(self, root: Metadata[Root]) -> Chain:
        """What the timestamp names, verified from this root on (TUF 5.4 to 5.6)."""
        timestamp = self._delegated(Timestamp, self._read("timestamp.json"), root, Timestamp.type)
        named = timestamp.signed.snapshot_meta
        data = self._read(f"{named.version}.snapshot.json")
        _check(lambda: named.verify_length_and_hashes(data), f"{named.version}.snapshot.json")
        snapshot, targets = self._snapshot(root, named.version)
        return Chain(root, timestamp, snapshot, targets)

    def _holds(self, root: Metadata[Root]) -> bool:
        try:
            self._chain(root)
        except VerificationError:
            return False
        return True

    def _newest(self, root: Metadata[Root]) -> Chain:
        for version in reversed(self.versions(Snapshot.type)):
            try:
                snapshot, targets = self._snapshot(root, version)
            except VerificationError:
                continue
            return Chain(root, None, snapshot, targets)
        raise VerificationError(
            f"no timestamp and no snapshot in {self.metadata} is signed by the keys of its root; restore the folder."
        )

    def _snapshot(self, root: Metadata[Root], version: int) -> tuple[Metadata[Snapshot], dict[str, Metadata[Targets]]]:
        """The snapshot of that version with all that it names, verified (TUF 5.5 to 5.6)."""
        snapshot = self._delegated(Snapshot, self._read(f"{version}.snapshot.json"), root, Snapshot.type)
        targets: dict[str, Metadata[Targets]] = {}
        for role in (TARGETS, CANARY):
            named = snapshot.signed.meta.get(f"{role}.json")
            if named is None:
                raise VerificationError(
                    f"{version}.snapshot.json in {self.metadata} does not name {role!r}; restore the folder."
                )
            data = self._read(f"{named.version}.{role}.json")
            _check(lambda: named.verify_length_and_hashes(data), f"{named.version}.{role}.json")  # noqa: B023
            delegator: Metadata[Any] = root if role == TARGETS else targets[TARGETS]
            targets[role] = self._delegated(Targets, data, delegator, role)
        return snapshot, targets

    def _delegated(self, kind: type[_S], data: bytes, delegator: Metadata[Any], role: str) -> Metadata[_S]:
        metadata = self._parse(kind, data, role)
        self._verify(delegator, metadata, role)
        return metadata

    def _verify(self, delegator: Metadata[Any], metadata: Metadata[Any], role: str) -> None:
        where = f"{role} version {metadata.signed.version} in {self.metadata}"
        _check(lambda: delegator.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures), where)

    def _parse(self, kind: type[_S], data: bytes, name: str) -> Metadata[_S]:
        try:
            metadata: Metadata[_S] = Metadata[_S].from_bytes(data)
        except DeserializationError as error:
            raise VerificationError(f"{name} in {self.metadata} is no TUF metadata; restore the folder from a copy.") from error
        if metadata.signed.type != kind.type:
            raise VerificationError(f"{name} in {self.metadata} holds {metadata.signed.type} metadata; restore the folder.")
        return metadata

    def _read(self, name: str) -> bytes:
        try:
            return (self.metadata / name).read_bytes()
        except OSError as error:
            raise VerificationError(
                f"{self.metadata / name} cannot be read: {error.strerror or error}; restore it from a copy."
            ) from error


def listed(chain: Chain) -> list[Listed]:
    """All artifacts of the chain, oldest version first; raises VerificationError where one has no offer that can be read."""
    found = []
    for role, metadata in chain.targets.items():
        for name, target in metadata.signed.targets.items():
            if name.endswith(ARTIFACT_SUFFIX):
                found.append(Listed(name, role, target.hashes["sha256"], _offer(name, target)))
    return sorted(found, key=lambda item: (item.offer.model, item.offer.profile, item.offer.version, item.role != CANARY))


def _offer(name: str, target: TargetFile) -> Offer:
    try:
        return Offer.from_json(target.custom)
    except ProtocolError as error:
        raise VerificationError(f"the repository lists {name!r} with an offer that cannot be read: {error}") from error


def check_whole(repository: Repository, name: str, target: TargetFile) -> bytes | None:
    """The target's bytes where its file is there and as it was signed, else None."""
    try:
        data = repository.target_path(name, target.hashes["sha256"]).read_bytes()
    except OSError:
        return None
    return data if digest(data) == target.hashes["sha256"] else None


def _check(verification: Any, where: str) -> None:
    try:
        verification()
    except (RepositoryError, ValueError) as error:
        raise VerificationError(
            f"{where} is not what its signers made: {error}; restore the folder from a copy before anything is published."
        ) from error
