"""What commands that sign have in common: where the keys are, and the passphrase from the environment or a prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..core.errors import UsageError
from ..fleet.trust.keys import Keyring
from ..fleet.trust.repository import Repository

PASSPHRASE = "EDGEWRIGHT_KEY_PASSPHRASE"  # noqa: S105 - the variable's name


def keys_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--keys`."""
    return click.option(
        "--keys",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Folder with keys, or with folders `offline` and `online` of them; can be given again. Beside the repository, "
        "named after it with .keys, by default.",
    )(command)


def open_repository(place: str) -> Repository:
    """The repository in a folder; raises UsageError for an address."""
    if "://" in place:
        raise UsageError(
            f"{place} is an address, and a repository is signed in a folder; publish into a folder, and copy or serve that."
        )
    return Repository(Path(place))


def keyring(repository: Repository, keys: Sequence[Path]) -> Keyring:
    """The keys in `keys`, or beside the repository."""
    return Keyring(keys or [beside(repository.folder)], _passphrase)


def beside(folder: Path) -> Path:
    """Where a repository's keys lie unless something else is said."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.keys")


def new_passphrase() -> bytes:
    """A passphrase for new keys; typed twice where it is typed. Raises UsageError for an empty one."""
    return _given("new offline keys", confirm=True)


def _passphrase(path: Path) -> bytes:
    return _given(str(path), confirm=False)


def _given(what: str, confirm: bool) -> bytes:
    given = os.environ.get(PASSPHRASE)
    if given is None:
        if not sys.stdin.isatty():
            raise UsageError(f"{what}: a passphrase is needed, and there is nobody to type it; set the variable {PASSPHRASE}.")
        given = click.prompt(f"Passphrase of {what}", hide_input=True, confirmation_prompt=confirm, err=True)
    if not given:
        raise UsageError(f"{what}: the passphrase is empty; give one, or do not encrypt the keys.")
    return given.encode()
