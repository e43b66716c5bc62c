"""`edgewright repo`: make, renew, rotate, show and prune a signed repository."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.canonical import dumps
from ..core.errors import UsageError, unknown
from ..fleet.trust.create import MAX_KEYS, Plan, create_repository
from ..fleet.trust.keys import KINDS, OFFLINE
from ..fleet.trust.publish import withdraw as withdraw_artifacts
from ..fleet.trust.repository import ROLES
from ..fleet.trust.rotate import refresh as refresh_roles
from ..fleet.trust.rotate import rotate as rotate_role
from ..fleet.trust.status import Status
from ..fleet.trust.status import status as status_of
from .keys import keyring, keys_option, new_passphrase, open_repository

_COUNT = click.IntRange(1, MAX_KEYS)
_SOON_DAYS = 30
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


@click.group()
def repo() -> None:
    """Make and tend a signed repository (TUF) that any static file server can serve.

    Example: edgewright repo init repo/
    """


@repo.command()
@click.argument("folder")
@keys_option
@click.option("--root-keys", type=_COUNT, default=1, show_default=True, help="Keys of the root.")
@click.option("--root-threshold", type=_COUNT, default=1, show_default=True, help="How many of them must sign.")
@click.option("--targets-keys", type=_COUNT, default=1, show_default=True, help="Keys of the targets.")
@click.option("--targets-threshold", type=_COUNT, default=1, show_default=True, help="How many of them must sign.")
@click.option("--days", multiple=True, metavar="ROLE=N", help="For how many days a role is signed; can be given again.")
@click.option("--encrypt", is_flag=True, help="Encrypt the offline keys with a passphrase.")
@_JSON
def init(
    folder: str,
    keys: tuple[Path, ...],
    root_keys: int,
    root_threshold: int,
    targets_keys: int,
    targets_threshold: int,
    days: tuple[str, ...],
    encrypt: bool,
    as_json: bool,
) -> None:
    """Make keys and an empty repository in FOLDER.

    Root and targets keys are for offline use: move their folder away when you do not sign. Snapshot, timestamp and canary keys
    stay where `edgewright repo refresh` runs. The passphrase comes from EDGEWRIGHT_KEY_PASSPHRASE or a prompt.

    Example: edgewright repo init repo/ --root-keys 2 --root-threshold 1
    """
    repository = open_repository(folder)
    plan = Plan(
        {"root": root_keys, "targets": targets_keys},
        {"root": root_threshold, "targets": targets_threshold},
        dict(_days(item) for item in days),
    )
    ring = keyring(repository, keys)
    made = create_repository(repository.folder, ring, plan, new_passphrase() if encrypt else None)
    if as_json:
        files = {role: [str(path) for path in paths] for role, paths in made.keys.items()}
        click.echo(dumps({"keys": files, "repository": str(repository.folder), "root": str(made.root)}))
        return
    click.echo(f"repository  {repository.folder}")
    click.echo(f"root        {made.root}: what devices are given to trust")
    for role, paths in made.keys.items():
        for path in paths:
            click.echo(f"{KINDS[role]:<12}{role:<10} {path}")
    if not encrypt:
        click.echo("note        the offline keys are not encrypted (--encrypt); keep them where nobody else reads")


@repo.command()
@click.argument("folder")
@click.argument("role")
@keys_option
@click.option("--revoke", multiple=True, metavar="ID", help="Replace the key whose id begins so; all by default.")
@click.option("--keep", is_flag=True, help="Replace none: only add keys or change the threshold.")
@click.option("--count", type=_COUNT, help="Keys that the role has afterwards; as before by default.")
@click.option("--threshold", type=_COUNT, help="How many of them must sign; as before by default.")
@_JSON
def rotate(
    folder: str,
    role: str,
    keys: tuple[Path, ...],
    revoke: tuple[str, ...],
    keep: bool,
    count: int | None,
    threshold: int | None,
    as_json: bool,
) -> None:
    """Give a ROLE (root, targets, canary, snapshot, timestamp) new keys.

    Needs the keys of whoever names the role's keys (root; for canary targets), and the online keys. Devices follow by
    themselves; the files of the old keys stay, for you to destroy.

    Example: edgewright repo rotate repo/ timestamp
    """
    if keep and revoke:
        raise UsageError("--keep and --revoke exclude each other; give one of them.")
    repository = open_repository(folder)
    chosen = revoke or (() if keep else None)
    done = rotate_role(repository, keyring(repository, keys), role, chosen, count, threshold)
    if as_json:
        made = [str(path) for path in done.made]
        click.echo(
            dumps(
                {
                    "keys": list(done.keys),
                    "made": made,
                    "revoked": list(done.revoked),
                    "role": role,
                    "threshold": done.threshold,
                }
            )
        )
        return
    click.echo(f"{role}: {done.threshold} of {len(done.keys)} keys sign")
    for path in done.made:
        click.echo(f"new      {path}")
    for keyid in done.revoked:
        click.echo(f"revoked  {keyid}")


@repo.command()
@click.argument("folder")
@keys_option
@click.option("--role", "roles", multiple=True, help="Sign this role anew as well (root and targets take their offline keys).")
@_JSON
def refresh(folder: str, keys: tuple[Path, ...], roles: tuple[str, ...], as_json: bool) -> None:
    """Sign the timestamp anew, and snapshot and canary when half of their time is over; takes the online keys only.

    Run it daily: devices refuse metadata that expired.

    Example: edgewright repo refresh repo/ --keys /etc/edgewright/online
    """
    for role in roles:
        if role not in ROLES:
            raise UsageError(unknown("role", role, ROLES))
    repository = open_repository(folder)
    ring = keyring(repository, keys)
    done = refresh_roles(repository, ring, roles)
    late = [item for item in status_of(repository, ring).roles if KINDS[item.role] == OFFLINE and item.days_left < _SOON_DAYS]
    if as_json:
        soon = {item.role: item.expires for item in late}
        click.echo(dumps({"expire_soon": soon, "repository": str(repository.folder), "versions": done.versions}))
        return
    for role, version in done.versions.items():
        click.echo(f"{role:<10} version {version}")
    for item in late:
        click.echo(
            f"note       {item.role} expires on {item.expires}; sign it anew with `--role {item.role}` and its offline keys"
        )


@repo.command()
@click.argument("folder")
@keys_option
@_JSON
def status(folder: str, keys: tuple[Path, ...], as_json: bool) -> None:
    """Show roles (versions, expiry, thresholds, keys) and artifacts, and check every signature and file.

    Example: edgewright repo status repo/
    """
    repository = open_repository(folder)
    found = status_of(repository, keyring(repository, keys))
    if as_json:
        click.echo(dumps({"repository": str(repository.folder), **found.to_json()}))
        return
    for line in _lines(found):
        click.echo(line)


@repo.command()
@click.argument("folder")
@click.argument("names", nargs=-1, required=True)
@keys_option
@_JSON
def withdraw(folder: str, names: tuple[str, ...], keys: tuple[Path, ...], as_json: bool) -> None:
    """Take artifacts out of the signed metadata, by their NAMES in `edgewright repo status`; their files stay.

    Example: edgewright repo withdraw repo/ digits/raspberry-pi-4b/3.ewa
    """
    repository = open_repository(folder)
    gone = withdraw_artifacts(repository, keyring(repository, keys), names)
    if as_json:
        click.echo(dumps({"repository": str(repository.folder), "withdrawn": gone}))
        return
    for name in gone:
        click.echo(f"withdrawn  {name}")


def _days(item: str) -> tuple[str, int]:
    role, _, number = item.partition("=")
    if role not in ROLES:
        raise UsageError(unknown("role", role, ROLES))
    if not number.isdecimal() or not 1 <= int(number) <= 3650:
        raise UsageError(f"--days {item} is not understood; give a role and 1 to 3650 days, as root=365.")
    return role, int(number)


def _lines(found: Status) -> list[str]:
    lines = ["role       version  expires               days left  threshold  keys"]
    for role in found.roles:
        keys = ", ".join(f"{key.keyid[:12]}{'' if key.file is None else ' (here)'}" for key in role.keys)
        left = "expired" if role.is_expired else f"{role.days_left:.1f}"
        lines.append(f"{role.role:<10} {role.version:>7}  {role.expires}  {left:>9}  {role.threshold:>9}  {keys}")
    lines.append("")
    for item in found.artifacts:
        offer = item.offer
        patches = f", {len(offer.deltas)} patches" if offer.deltas else ""
        lines.append(
            f"{item.name}  {offer.runtime} {offer.precision}, {offer.size_bytes:,} bytes, SHA-256 {item.sha256[:12]}{patches}"
        )
    if not found.artifacts:
        lines.append("nothing is published yet")
    lines += [f"damaged    {name}: its file is missing or not as it was signed; publish it again" for name in found.damaged]
    if found.is_cut:
        lines.append("cut        a rotation was cut short; run `edgewright repo refresh`")
    return lines
