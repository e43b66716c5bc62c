"""What a repository is now: roles with versions, expiry, thresholds and keys; artifacts, and whether their files are whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Signed, Timestamp

from ..protocol.offer import CANARY
from .keys import Keyring
from .repository import ROLES, TARGETS, Chain, Listed, Repository, listed

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class KeyStatus:
    """A key: its id, and the file that holds it where that is at hand."""

    keyid: str
    file: Path | None

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {"file": None if self.file is None else str(self.file), "keyid": self.keyid}


@dataclass(frozen=True)
class RoleStatus:
    """A role: the version of its metadata, when they expire (ISO 8601, UTC) and in how many days, keys and threshold."""

    role: str
    version: int
    expires: str
    days_left: float
    threshold: int
    keys: tuple[KeyStatus, ...]

    @property
    def is_expired(self) -> bool:
        """Whether devices refuse it."""
        return self.days_left <= 0

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields and `is_expired`."""
        return {
            "days_left": round(self.days_left, 3),
            "expires": self.expires,
            "is_expired": self.is_expired,
            "keys": [key.to_json() for key in self.keys],
            "role": self.role,
            "threshold": self.threshold,
            "version": self.version,
        }


@dataclass(frozen=True)
class Status:
    """The whole: `artifacts` as listed, `damaged` the names of targets whose files are missing or not as they were signed.

    `is_cut` tells that a rotation was cut between root and timestamp; `edgewright repo refresh` mends it.
    """

    roles: tuple[RoleStatus, ...]
    artifacts: tuple[Listed, ...]
    damaged: tuple[str, ...]
    is_cut: bool

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "artifacts": [
                {"name": item.name, "offer": item.offer.to_json(), "role": item.role, "sha256": item.sha256}
                for item in self.artifacts
            ],
            "damaged": list(self.damaged),
            "is_cut": self.is_cut,
            "roles": [role.to_json() for role in self.roles],
        }


def status(repository: Repository, keyring: Keyring) -> Status:
    """Read and verify the repository; raises UsageError where there is none, VerificationError where the chain is broken."""
    chain = repository.load()
    signed = chain.signed()
    return Status(
        roles=tuple(_role(repository, chain, role, signed[role], keyring) for role in ROLES if role in signed),
        artifacts=tuple(listed(chain)),
        damaged=tuple(_damaged(repository, chain)),
        is_cut=Timestamp.type not in signed,
    )


def _role(repository: Repository, chain: Chain, role: str, signed: Signed, keyring: Keyring) -> RoleStatus:
    delegator: Any = chain.targets[TARGETS].signed if role == CANARY else chain.root.signed
    who = delegator.get_delegated_role(role)
    left = (signed.expires - repository.now()).total_seconds() / SECONDS_A_DAY
    keys = tuple(KeyStatus(keyid, keyring.find(role, keyid)) for keyid in who.keyids)
    return RoleStatus(role, signed.version, signed.expires.strftime("%Y-%m-%dT%H:%M:%SZ"), left, who.threshold, keys)


def _damaged(repository: Repository, chain: Chain) -> list[str]:
    """Names of targets whose file has not the length and digest that were signed."""
    found = []
    for metadata in chain.targets.values():
        for name, target in metadata.signed.targets.items():
            try:
                with repository.target_path(name, target.hashes["sha256"]).open("rb") as file:
                    target.verify_length_and_hashes(file)
            except (OSError, LengthOrHashMismatchError):
                found.append(name)
    return found
