"""New keys for a role, and new signatures before the old ones expire."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.metadata import Root, Snapshot, Timestamp

from ...core.errors import EdgewrightError, UsageError, unknown
from ..protocol.offer import CANARY
from .create import check_threshold
from .keys import KINDS, OFFLINE, Keyring, remove
from .repository import ROLES, TARGETS, Repository
from .signing import Draft, period_days


@dataclass(frozen=True)
class Rotated:
    """What a role's keys were and are, by id; `made` are the new keys' files."""

    role: str
    revoked: tuple[str, ...]
    keys: tuple[str, ...]
    threshold: int
    made: tuple[Path, ...]


@dataclass(frozen=True)
class Refreshed:
    """The roles that were signed anew, with their versions."""

    versions: dict[str, int]


def rotate(
    repository: Repository,
    keyring: Keyring,
    role: str,
    revoke: Sequence[str] | None = None,
    count: int | None = None,
    threshold: int | None = None,
) -> Rotated:
    """Give a role new keys in place of those whose ids begin with one of `revoke`, of all of them where it is None.

    `count` and `threshold` are what the role has afterwards, as before by default. New offline keys are encrypted where the
    old ones are. Old keys that are here sign along, so that no device sees a broken chain; their files stay, for you to
    destroy. Signs the delegator (root by its old and new keys; for `canary` the targets), the role, snapshot and timestamp.
    Raises UsageError when keys are missing, StoreError when the disk refuses: nothing has changed then.
    """
    if role not in ROLES:
        raise UsageError(unknown("role", role, ROLES))
    keyring.check_outside(repository.folder)
    with repository.locked():
        draft = Draft(repository, repository.load())
        delegator: Any = draft.delegator(role)
        who = delegator.get_delegated_role(role)
        going = list(who.keyids) if revoke is None else _chosen(who.keyids, revoke)
        staying = [keyid for keyid in who.keyids if keyid not in going]
        wanted = len(who.keyids) if count is None else count
        needed = who.threshold if threshold is None else threshold
        check_threshold(role, wanted, needed)
        if wanted < len(staying):
            raise UsageError(f"{role!r} would keep {len(staying)} keys and shall have {wanted}; revoke more of them.")
        sealing = keyring.passphrase_of(role, who.keyids) if KINDS[role] == OFFLINE else None
        made: dict[str, Path] = {}
        try:
            for _ in range(wanted - len(staying)):
                key, made[key.keyid] = keyring.create(role, sealing)
                delegator.add_key(key, role)
            for keyid in going:
                delegator.revoke_key(keyid, role)
            who.threshold = needed
            draft.renew(TARGETS if role == CANARY else Root.type)
            draft.renew(role)
            draft.put(keyring)
        except BaseException:
            if not _is_in_use(repository, role, made):
                remove(made.values())
            raise
    return Rotated(role, tuple(going), tuple(who.keyids), needed, tuple(made.values()))


def refresh(repository: Repository, keyring: Keyring, roles: Collection[str] = ()) -> Refreshed:
    """Sign the timestamp anew, snapshot and canary where half of their time is over, and the roles asked for.

    Needs the online keys only, unless `roles` asks for root or targets. Raises UsageError when keys are missing or when
    root or targets expired and are not asked for.
    """
    keyring.check_outside(repository.folder)
    with repository.locked():
        chain = repository.load()
        draft = Draft(repository, chain)
        draft.renew(Timestamp.type, *roles)
        now = repository.now()
        for role in (Snapshot.type, CANARY):
            signed = chain.signed()[role]
            if (signed.expires - now).total_seconds() < period_days(signed) * 86_400 / 2:
                draft.renew(role)
        draft.put(keyring)
        found = repository.load().signed()
    return Refreshed({role: found[role].version for role in ROLES if role in draft.renewed})


def _chosen(keyids: Sequence[str], heads: Sequence[str]) -> list[str]:
    """The ids that begin with one of `heads`; raises UsageError for one that fits none or several."""
    chosen = []
    for head in heads:
        fitting = [keyid for keyid in keyids if keyid.startswith(head)]
        if len(fitting) != 1:
            raise UsageError(
                f"{len(fitting)} keys of the role begin with {head!r}; give more of the id that `repo status` shows."
            )
        chosen += fitting
    return chosen


def _is_in_use(repository: Repository, role: str, keyids: Collection[str]) -> bool:
    """Whether what is published names one of these keys, or cannot be read to tell."""
    try:
        chain = repository.load()
    except EdgewrightError:
        return True
    delegator: Any = chain.targets[TARGETS].signed if role == CANARY else chain.root.signed
    return not set(keyids).isdisjoint(delegator.get_delegated_role(role).keyids)
