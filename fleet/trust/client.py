"""The client of a signed repository: TUF's workflow with durable storage, so that no moment of it can brick a device.

python-tuf's `TrustedMetadataSet` verifies (signatures, thresholds, versions, digests, expiry); this module decides what is
fetched, in what order, with what bounds, and writes what was verified through `Disk`. The steps carry the section numbers of
the specification 1.0: https://theupdateframework.github.io/specification/latest/#detailed-client-workflow

What was trusted stays on the disk until something newer was verified, so a refresh that fails leaves everything as it was, but
for roots: each new root is durable as soon as it was verified, as section 5.3.8 wants.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from tuf.api.exceptions import EqualVersionNumberError, RepositoryError
from tuf.api.metadata import Signed, TargetFile, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from ...core.clock import Clock
from ...core.errors import NetworkError, VerificationError
from ..disk import Disk, ensure_folder, write_durable
from .origin import Origin
from .trusted_time import MAX_PERIOD_DAYS, PERIOD, TrustedTime

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = "root", "timestamp", "snapshot", "targets"
FOLDER = "trust"


@dataclass(frozen=True)
class Bounds:
    """Most bytes of each role's metadata, most new roots in one refresh, most roles in one search."""

    root_bytes: int = 512_000
    timestamp_bytes: int = 16_384
    snapshot_bytes: int = 2_000_000
    targets_bytes: int = 5_000_000
    root_rotations: int = 256
    delegations: int = 32


class TrustClient:
    """What is trusted of one repository. After `refresh` came to its end, `find` and `names` tell of that state."""

    def __init__(
        self,
        disk: Disk,
        origin: Origin,
        clock: Clock,
        root: bytes | None,
        *,
        refused: frozenset[str] = frozenset(),
        bounds: Bounds | None = None,
    ) -> None:
        """`root`: the root that came with the device, used while none is on the disk; `refused`: roles never asked.

        Raises VerificationError when no root can be trusted, StoreError when the disk refuses.
        """
        self._disk = disk
        self._origin = origin
        self._refused = refused
        self._bounds = bounds or Bounds()
        self._time = TrustedTime(disk, clock, f"{FOLDER}/time.json")
        ensure_folder(disk, f"{FOLDER}/roles")
        self._root = self._first_root(root)
        self._set: TrustedMetadataSet | None = None

    @property
    def consistent_snapshot(self) -> bool:
        """Whether target files have their digest in their names."""
        return self._set is not None and bool(self._set.root.consistent_snapshot)

    def refresh(self) -> None:
        """Sections 5.3 to 5.6: root, timestamp, snapshot, targets; raises NetworkError, VerificationError or StoreError.

        After a failure what an earlier refresh proved is still what `find` and `names` tell.
        """
        with _verifying("the repository's metadata"):
            trusted = TrustedMetadataSet(self._root, EnvelopeType.METADATA)
            self._load_roots(trusted)
            # 5.1: one time for the whole update, not earlier than what was proved before.
            now = self._time.reference(_online_keys(trusted))
            trusted.reference_time = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
            self._load_timestamp(trusted)
            self._load_snapshot(trusted)
            self._load_targets(trusted, TARGETS, ROOT)
        self._set = trusted
        self._time.proved(now, _issued(trusted), _first_expiry(trusted), _online_keys(trusted))

    def find(self, name: str) -> TargetFile | None:
        """The target of that name in the most trusted role that may sign it (5.6.7), or None; None before a refresh.

        Fetches the metadata of roles on the way: raises NetworkError, VerificationError or StoreError.
        """
        trusted = self._current()
        if trusted is None:
            return None
        # Roles to visit, the next one last; each with the role that delegates to it.
        to_visit, visited = [(TARGETS, ROOT)], set[str]()
        while to_visit and len(visited) <= self._bounds.delegations:
            role, delegator = to_visit.pop()
            if role in visited or role in self._refused:
                continue
            with _verifying(f"the metadata of the role {role!r}"):
                targets = self._load_targets(trusted, role, delegator)
            if name in targets.targets:
                return targets.targets[name]
            visited.add(role)
            if targets.delegations is None:
                continue
            children = []
            for child, is_terminating in targets.delegations.get_roles_for_target(name):
                children.append((child, role))
                if is_terminating:
                    # 5.6.7.2.1: nothing after this role is asked, here or above.
                    to_visit = []
                    break
            to_visit.extend(reversed(children))
        return None

    def names(self, *roles: str) -> list[str]:
        """Names of the targets that the top role lists, then those that `roles` list, each once; `find` tells which count.

        A role that is not delegated, is refused or cannot be verified now gives none: it cannot hold back the others.
        """
        trusted = self._current()
        if trusted is None:
            return []
        found = dict.fromkeys(trusted.targets.targets)
        delegations = trusted.targets.delegations
        for role in roles:
            if role in self._refused or delegations is None or role not in (delegations.roles or {}):
                continue
            with contextlib.suppress(NetworkError, VerificationError), _verifying(f"the metadata of the role {role!r}"):
                found.update(dict.fromkeys(self._load_targets(trusted, role, TARGETS).targets))
        return list(found)

    def signers(self, role: str) -> tuple[tuple[str, ...], int]:
        """Ids of the keys that speak for the top role or for one that it delegates to, and how many of them have to sign.

        Raises VerificationError before a refresh, and for a role that is none of these.
        """
        trusted = self._current()
        if trusted is None:
            raise VerificationError("nothing is known to be signed now; refresh first.")
        delegations = trusted.targets.delegations
        found = trusted.root.roles[TARGETS] if role == TARGETS else ((delegations and delegations.roles) or {}).get(role)
        if found is None:
            raise VerificationError(f"the repository has no role {role!r}; look at `edgewright repo status`.")
        return tuple(sorted(found.keyids)), found.threshold

    def _first_root(self, given: bytes | None) -> bytes:
        """The root on the disk or the one that came with the device: the newer, of those that are whole."""
        stored = self._stored(ROOT)
        found: list[tuple[int, bytes]] = []
        for data in (stored, given):
            if data is not None:
                with contextlib.suppress(RepositoryError):
                    found.append((TrustedMetadataSet(data, EnvelopeType.METADATA).root.version, data))
        if not found:
            raise VerificationError("no root of trust is on this device; give it the repository's first root.json.")
        newest = max(found, key=lambda one: one[0])[1]
        if newest != stored:
            self._store(ROOT, newest)
        return newest

    def _current(self) -> TrustedMetadataSet | None:
        """What was last proved, unless it has expired since."""
        trusted = self._set
        if trusted is None or self._time.reference(_online_keys(trusted)) >= _first_expiry(trusted):
            return None
        return trusted

    def _load_roots(self, trusted: TrustedMetadataSet) -> None:
        """5.3.2 to 5.3.9: every root after the one that is trusted, in order, each signed by the one before and by itself."""
        for _ in range(self._bounds.root_rotations):
            data = self._origin.metadata(f"{trusted.root.version + 1}.root.json", self._bounds.root_bytes)
            if data is None:
                return
            trusted.update_root(data)
            _online_keys(trusted)  # what cannot be used is not kept: no later root could take its place
            self._store(ROOT, data)  # 5.3.8
            self._root = data

    def _load_timestamp(self, trusted: TrustedMetadataSet) -> None:
        """5.4. The stored one is loaded first: its version is the least that is accepted.

        5.3.11: after a rotation of the online keys what was stored does not verify any more, which is how a repository recovers
        from a thief who had raised the version numbers. An expired one still holds off older ones.
        """
        if (stored := self._stored(TIMESTAMP)) is not None:
            with contextlib.suppress(RepositoryError):
                trusted.update_timestamp(stored)
        data = self._wanted(TIMESTAMP, None, self._bounds.timestamp_bytes)
        # 5.4.3.1: the same version again means that nothing is new.
        with contextlib.suppress(EqualVersionNumberError):
            trusted.update_timestamp(data)
            self._store(TIMESTAMP, data)

    def _load_snapshot(self, trusted: TrustedMetadataSet) -> None:
        """5.5. The stored one is loaded first, for its versions, and is enough when the timestamp names it."""
        if (stored := self._stored(SNAPSHOT)) is not None:
            with contextlib.suppress(RepositoryError):
                trusted.update_snapshot(stored, trusted=True)
                return
        meta = trusted.timestamp.snapshot_meta
        version = meta.version if trusted.root.consistent_snapshot else None
        data = self._wanted(SNAPSHOT, version, _least(meta.length, self._bounds.snapshot_bytes))
        trusted.update_snapshot(data)
        self._store(SNAPSHOT, data)

    def _load_targets(self, trusted: TrustedMetadataSet, role: str, delegator: str) -> Targets:
        """5.6. Metadata of a role as `delegator` sees it: verified anew for each role that delegates to it."""
        if trusted.contains(role, delegator):
            return cast(Targets, trusted[role])
        if (stored := self._stored(role)) is not None:
            with contextlib.suppress(RepositoryError):
                return trusted.update_delegated_targets(stored, role, delegator)
        meta = trusted.snapshot.meta.get(f"{role}.json")
        if meta is None:
            raise VerificationError(f"the role {role!r} is delegated to, but not in the snapshot; publish again.")
        version = meta.version if trusted.root.consistent_snapshot else None
        data = self._wanted(role, version, _least(meta.length, self._bounds.targets_bytes))
        targets = trusted.update_delegated_targets(data, role, delegator)
        self._store(role, data)
        return targets

    def _wanted(self, role: str, version: int | None, max_bytes: int) -> bytes:
        name = f"{'' if version is None else f'{version}.'}{quote(role, '')}.json"
        data = self._origin.metadata(name, max_bytes)
        if data is None:
            raise NetworkError(f"the repository has no {name}; publish again or wait until it was copied.")
        return data

    def _stored(self, role: str) -> bytes | None:
        path = _path(role)
        return None if self._disk.size(path) is None else self._disk.read(path)

    def _store(self, role: str, data: bytes) -> None:
        write_durable(self._disk, _path(role), data)


def _path(role: str) -> str:
    folder = FOLDER if role in (ROOT, TIMESTAMP, SNAPSHOT) else f"{FOLDER}/roles"
    return f"{folder}/{quote(role, '')}.json"


def _least(told: int | None, bound: int) -> int:
    """The length that signed metadata tell, below the bound that holds also when their key was stolen."""
    return bound if told is None else min(told, bound)


def _first_expiry(trusted: TrustedMetadataSet) -> float:
    parts: tuple[Signed, ...] = (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets)
    return min(part.expires.timestamp() for part in parts)


def _issued(trusted: TrustedMetadataSet) -> float:
    """When the timestamp was signed: its expiry less the period that it was signed for; 0 where it tells no period."""
    days = trusted.timestamp.unrecognized_fields.get(PERIOD)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 < days <= MAX_PERIOD_DAYS:
        return 0.0
    return trusted.timestamp.expires.timestamp() - days * 86400.0


def _online_keys(trusted: TrustedMetadataSet) -> list[str]:
    """Ids of the keys of timestamp and snapshot; raises VerificationError for ids that are no text."""
    keys = {key for role in (TIMESTAMP, SNAPSHOT) for key in trusted.root.roles[role].keyids}
    if not all(isinstance(key, str) for key in keys):
        raise VerificationError("the repository's root names keys by something that is no text; publish a correct one.")
    return sorted(keys)


@contextmanager
def _verifying(what: str) -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        raise VerificationError(f"{what} cannot be trusted: {error}; what was trusted before stays.") from error
