"""A draft of new metadata, signed in memory and then put in place so that devices never see a half.

The rules, in order:
1. Everything is signed and checked before anything is written: a missing key or a wrong passphrase changes nothing.
2. No file that a device may have read is written again, but timestamp.json: targets carry their digest in their names, metadata
   a version that no file had before.
3. Files are written durably, those that others refer to first: targets, then the roles that list them, then the snapshot.
   What refers to all of them comes last, in one rename: timestamp.json. Whatever is cut off before that is invisible.
4. Where keys change, metadata are signed by old and new keys, and the new root comes after the timestamp: devices that have the
   old root and those that have the new one both find a valid chain at every moment. Only where the old keys are lost does the
   root come first, and devices have to ask again between these two renames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from ...core.canonical import digest
from ...core.errors import StoreError, UsageError
from ...core.files import sync_folder, write_atomic
from ..protocol.offer import CANARY
from .keys import KINDS, ONLINE, Keyring
from .repository import LIMITS, TARGETS, Chain, Repository
from .trusted_time import MAX_PERIOD_DAYS, PERIOD

EXPIRY_DAYS = {Root.type: 365, TARGETS: 365, CANARY: 30, Snapshot.type: 30, Timestamp.type: 7}


class Draft:
    """Copies of a chain's metadata to be changed, the roles to sign anew, and new target files by name."""

    def __init__(self, repository: Repository, chain: Chain) -> None:
        """Begin from what is published."""
        self.repository = repository
        self.chain = chain
        self.root: Root = _copy(chain.root)
        self.snapshot: Snapshot = _copy(chain.snapshot)
        self.targets: dict[str, Targets] = {role: _copy(metadata) for role, metadata in chain.targets.items()}
        self.renewed: set[str] = set() if chain.timestamp is not None else {Timestamp.type}
        self.files: dict[str, bytes] = {}
        self._early: dict[Path, bytes] = {}

    def delegator(self, role: str) -> Root | Targets:
        """Who says which keys sign for the role."""
        return self.targets[TARGETS] if role == CANARY else self.root

    def old_delegator(self, role: str) -> Root | Targets:
        """Who said so in what is published."""
        return self.chain.targets[TARGETS].signed if role == CANARY else self.chain.root.signed

    def renew(self, *roles: str) -> None:
        """Mark roles to be signed anew, and with them whatever lists their versions."""
        self.renewed.update(roles)
        if self.renewed & {TARGETS, CANARY}:
            self.renewed.add(Snapshot.type)
        if Snapshot.type in self.renewed:
            self.renewed.add(Timestamp.type)

    def put(self, keyring: Keyring) -> None:
        """Sign what is marked and write it; the folder must be locked.

        Raises UsageError for a key that is missing or metadata that expired and are not signed anew, StoreError when the disk
        refuses: the repository is then as it was.
        """
        self._check_expiry()
        finals = self._sign(keyring)
        targets = {self.repository.target_path(name, digest(data)): data for name, data in self.files.items()}
        _remove_cut_off(self.repository)
        _write({**targets, **self._early}, finals)

    def _check_expiry(self) -> None:
        now = self.repository.now()
        for role, signed in self.chain.signed().items():
            if role not in self.renewed and role != Timestamp.type and signed.is_expired(now):
                how = "" if KINDS[role] == ONLINE else f" --role {role}"
                raise UsageError(
                    f"the {role!r} metadata of {self.repository.folder} expired on {signed.expires:%Y-%m-%d}; sign them "
                    f"anew with `edgewright repo refresh {self.repository.folder}{how}`."
                )

    def _sign(self, keyring: Keyring) -> list[tuple[Path, bytes]]:
        """Sign all; what has to be written last, in order. The rest is left in `_early`."""
        sealed: dict[str, Metadata[Any]] = {}
        # The delegator of `canary` is `targets`, so that one is at hand unsigned: its keys count, not its signature.
        for role in (TARGETS, CANARY):
            if role in self.renewed:
                sealed[role] = self._seal(self.targets[role], role, keyring)
                self.snapshot.meta[f"{role}.json"] = self._keep(role, sealed[role])
        finals: list[tuple[Path, bytes]] = []
        if Snapshot.type in self.renewed:
            sealed[Snapshot.type] = self._seal(self.snapshot, Snapshot.type, keyring)
            self._keep(Snapshot.type, sealed[Snapshot.type])
        if Timestamp.type in self.renewed:
            snapshot = sealed.get(Snapshot.type, self.chain.snapshot)
            sealed[Timestamp.type] = self._seal(self._timestamp(snapshot), Timestamp.type, keyring)
            finals.append(self._file(Timestamp.type, sealed[Timestamp.type]))
        if Root.type in self.renewed:
            root = self._seal(self.root, Root.type, keyring, check_old=True)
            finals.append(self._file(Root.type, root))
            if not self._holds_by_old_root(sealed):
                finals.reverse()
        return finals

    def _timestamp(self, snapshot: Metadata[Snapshot]) -> Timestamp:
        published = self.chain.timestamp
        data = snapshot.to_bytes(JSONSerializer())
        meta = _meta(snapshot.signed.version, data)
        if published is not None:
            timestamp: Timestamp = _copy(published)
            timestamp.snapshot_meta = meta
            return timestamp
        return Timestamp(
            version=self.repository.unverified_timestamp_version() or None,
            snapshot_meta=meta,
            unrecognized_fields={PERIOD: EXPIRY_DAYS[Timestamp.type]},
        )

    def _seal(self, signed: Signed, role: str, keyring: Keyring, check_old: bool = False) -> Metadata[Any]:
        """Give a new version and expiry, and sign by the role's keys and by those that it had."""
        above = signed.version if role in (Root.type, Timestamp.type) else max(signed.version, *self.repository.versions(role))
        signed.version = above + 1
        signed.expires = expiry(signed, self.repository.now())
        return seal(signed, role, self.delegator(role), keyring, self.old_delegator(role), check_old)

    def _holds_by_old_root(self, sealed: Mapping[str, Metadata[Any]]) -> bool:
        """Whether devices that have the old root only accept the new metadata."""
        try:
            for role in sealed.keys() & {TARGETS, Snapshot.type, Timestamp.type}:
                self.chain.root.signed.verify_delegate(role, sealed[role].signed_bytes, sealed[role].signatures)
        except RepositoryError:
            return False
        return True

    def _keep(self, role: str, metadata: Metadata[Any]) -> MetaFile:
        path, data = self._file(role, metadata)
        self._early[path] = data
        return _meta(metadata.signed.version, data)

    def _file(self, role: str, metadata: Metadata[Any]) -> tuple[Path, bytes]:
        data = metadata.to_bytes(JSONSerializer())
        if len(data) > LIMITS[role]:
            raise UsageError(
                f"the {role!r} metadata would have {len(data):,} bytes, more than the {LIMITS[role]:,} that a device reads; "
                f"withdraw old versions with `edgewright repo withdraw {self.repository.folder} NAME`."
            )
        return self.repository.metadata_path(role, metadata.signed.version), data


def seal(
    signed: Signed,
    role: str,
    delegator: Root | Targets,
    keyring: Keyring,
    old: Root | Targets | None = None,
    check_old: bool = False,
) -> Metadata[Any]:
    """Sign by the keys that the delegator names, and by those of `old` that are here; checked as a device would.

    `check_old` demands a threshold of the old keys as well, as a new root needs. Raises UsageError when keys are missing.
    """
    metadata: Metadata[Any] = Metadata(cast(Any, signed))
    for place, needed in ((delegator, True), (old, check_old)):
        if place is None:
            continue
        who = place.get_delegated_role(role)
        keys = [place.get_key(keyid) for keyid in who.keyids if keyid not in metadata.signatures]
        have = len(who.keyids) - len(keys)
        for signer in keyring.signers(role, keys, max(0, who.threshold - have) if needed else 0):
            metadata.sign(signer, append=True)
        if needed:
            place.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    return metadata


def expiry(signed: Signed, now: datetime) -> datetime:
    """When metadata that are signed now expire, by the period that they carry."""
    return now + timedelta(days=period_days(signed))


def period_days(signed: Signed) -> int:
    """For how many days a role is signed."""
    days = signed.unrecognized_fields.get(PERIOD)
    return (
        days
        if isinstance(days, int) and 0 < days <= MAX_PERIOD_DAYS
        else EXPIRY_DAYS.get(signed.type, EXPIRY_DAYS[Timestamp.type])
    )


def with_period(days: int) -> dict[str, Any]:
    """The field of a role's signed part that holds its period."""
    return {PERIOD: days}


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": digest(data)})


def _copy(metadata: Metadata[Any]) -> Any:
    return Metadata.from_bytes(metadata.to_bytes()).signed


def _remove_cut_off(repository: Repository) -> None:
    """Remove temporary files that a killed publisher left; only the holder of the lock writes here."""
    for folder in (repository.metadata, repository.folder / "targets"):
        for path in folder.rglob(".*.part"):
            with contextlib.suppress(OSError):
                path.unlink()


def _write(early: Mapping[Path, bytes], finals: list[tuple[Path, bytes]]) -> None:
    """Write what nothing refers to yet, then what refers to it; a failure before that is seen takes everything back."""
    made: list[Path] = []
    try:
        for path, data in early.items():
            _make_folder(path.parent)
            if not path.exists():
                made.append(path)
            write_atomic(path, data)
        for path, data in finals:
            write_atomic(path, data)
    except BaseException:
        if not any(_holds(path, data) for path, data in finals):
            for path in reversed(made):
                with contextlib.suppress(OSError):
                    path.unlink()
        raise


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file has come to be, or may have: a rename can succeed before what follows it fails."""
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut; raises StoreError."""
    missing = [folder, *folder.parents]
    missing = missing[: next(index for index, path in enumerate(missing) if path.is_dir())]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror or error}; free some space or check its rights.") from error
