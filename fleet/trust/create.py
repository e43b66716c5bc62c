"""A new repository: keys, the first root, empty targets, the canary's delegation, and the first snapshot and timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from ...core.canonical import digest
from ...core.clock import Clock
from ...core.errors import UsageError
from ...core.files import folder_in_place, write_atomic
from ..protocol.offer import CANARY
from .keys import KINDS, OFFLINE, Keyring, remove
from .repository import ROLES, TARGETS, Repository
from .signing import EXPIRY_DAYS, expiry, seal, with_period

CANARY_PATHS = f"{CANARY}/*/*/*"
MAX_KEYS = 32  # of one role


@dataclass(frozen=True)
class Plan:
    """How many keys each role gets, how many of them must sign, and for how many days."""

    keys: Mapping[str, int] = field(default_factory=dict)
    thresholds: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[str, int] = field(default_factory=dict)

    def of(self, role: str) -> tuple[int, int, int]:
        """Keys, threshold and days of a role; raises UsageError for a threshold that its keys cannot reach."""
        keys, threshold = self.keys.get(role, 1), self.thresholds.get(role, 1)
        check_threshold(role, keys, threshold)
        return keys, threshold, self.days.get(role, EXPIRY_DAYS[role])


@dataclass(frozen=True)
class Created:
    """The key files that were made, by role, and the first root, which devices are given."""

    keys: Mapping[str, tuple[Path, ...]]
    root: Path


def check_threshold(role: str, keys: int, threshold: int) -> None:
    """Raise UsageError for a threshold that so many keys cannot reach."""
    if not 1 <= keys <= MAX_KEYS:
        raise UsageError(f"{role!r} cannot have {keys} keys; give 1 to {MAX_KEYS}.")
    if not 1 <= threshold <= keys:
        raise UsageError(f"{role!r} cannot need {threshold} of {keys} keys; give a threshold of 1 to {keys}.")


def create_repository(
    folder: Path, keyring: Keyring, plan: Plan, passphrase: bytes | None = None, clock: Clock | None = None
) -> Created:
    """Make keys and a repository in `folder`, which must not exist or be empty; whole or not at all.

    `passphrase` encrypts the offline keys. Raises UsageError for a folder that is in use and for keys inside of it,
    StoreError when the disk refuses.
    """
    plans = {role: plan.of(role) for role in ROLES}
    folder = folder.resolve()
    keyring.check_outside(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; give a new folder, or publish to the repository that is there.")
    made: dict[str, list[Path]] = {role: [] for role in ROLES}
    try:
        keys: dict[str, list[Any]] = {}
        for role, (count, _, _) in plans.items():
            pairs = [keyring.create(role, passphrase if KINDS[role] == OFFLINE else None) for _ in range(count)]
            keys[role] = [key for key, _ in pairs]
            made[role] += [path for _, path in pairs]
        with folder_in_place(folder, folder.parent) as fresh:
            fresh.chmod(0o755)
            _fill(Repository(fresh, clock), keyring, plans, keys)
    except BaseException:
        remove(path for paths in made.values() for path in paths)
        raise
    return Created({role: tuple(paths) for role, paths in made.items()}, folder / "metadata" / "1.root.json")


def _fill(
    repository: Repository, keyring: Keyring, plans: Mapping[str, tuple[int, int, int]], keys: Mapping[str, list[Any]]
) -> None:
    """Write the first version of every role's metadata."""
    periods = {role: with_period(days) for role, (_, _, days) in plans.items()}
    root = Root(consistent_snapshot=True, unrecognized_fields=periods[Root.type])
    for role, (_, threshold, _) in plans.items():
        if role != CANARY:
            for key in keys[role]:
                root.add_key(key, role)
            root.roles[role].threshold = threshold
    canary = DelegatedRole(CANARY, [key.keyid for key in keys[CANARY]], plans[CANARY][1], True, [CANARY_PATHS])
    delegations = Delegations({key.keyid: key for key in keys[CANARY]}, {CANARY: canary})
    targets = Targets(delegations=delegations, unrecognized_fields=periods[TARGETS])
    (repository.folder / "targets").mkdir()
    meta: dict[str, MetaFile] = {}
    signed: dict[str, tuple[Signed, Root | Targets]] = {
        Root.type: (root, root),
        TARGETS: (targets, root),
        CANARY: (Targets(unrecognized_fields=periods[CANARY]), targets),
    }
    for role, (content, delegator) in signed.items():
        meta[f"{role}.json"] = _put(repository, role, content, delegator, keyring)
    del meta[f"{Root.type}.json"]
    snapshot = Snapshot(meta=meta, unrecognized_fields=periods[Snapshot.type])
    named = _put(repository, Snapshot.type, snapshot, root, keyring)
    timestamp = Timestamp(snapshot_meta=named, unrecognized_fields=periods[Timestamp.type])
    _put(repository, Timestamp.type, timestamp, root, keyring)


def _put(repository: Repository, role: str, signed: Signed, delegator: Root | Targets, keyring: Keyring) -> MetaFile:
    signed.expires = expiry(signed, repository.now())
    metadata: Metadata[Any] = seal(signed, role, delegator, keyring)
    data = metadata.to_bytes(JSONSerializer())
    write_atomic(repository.metadata_path(role, signed.version), data)
    return MetaFile(signed.version, len(data), {"sha256": digest(data)})
