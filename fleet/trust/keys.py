"""The publisher's keys: Ed25519 in PKCS#8 PEM files of mode 0600, found by the role and key id in their names.

Two kinds, each in a folder of its own: `offline` keys (root, targets) that stay away from servers and may be encrypted with a
passphrase, and `online` keys (snapshot, timestamp, canary) that a job uses unattended. Private keys are read when something
is to be signed, never written into a published folder, and never overwritten.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from ...core.errors import StoreError, UsageError
from ...core.files import sync_folder

OFFLINE, ONLINE = "offline", "online"
KINDS = {"root": OFFLINE, "targets": OFFLINE, "snapshot": ONLINE, "timestamp": ONLINE, "canary": ONLINE}

_ID_LENGTH = 16  # characters of a key id in a file's name
_MAX_KEY_BYTES = 64 << 10
_ENCRYPTED = b"BEGIN ENCRYPTED PRIVATE KEY"

Passphrase = Callable[[Path], bytes]
"""Asked for the passphrase of an encrypted key file."""


class Keyring:
    """The keys in some folders: each of `folders`, and its subfolders `offline` and `online`, where they exist."""

    def __init__(self, folders: Iterable[Path], passphrase: Passphrase | None = None) -> None:
        """Hold the folders; `passphrase` is asked once, when the first encrypted key is needed."""
        self.folders = tuple(folders)
        self._ask = passphrase
        self._passphrase: bytes | None = None
        self._signers: dict[str, CryptoSigner] = {}

    def find(self, role: str, keyid: str) -> Path | None:
        """The file of a role's key, or None where it is not here."""
        for folder in self._places():
            path = folder / file_name(role, keyid)
            if path.is_file():
                return path
        return None

    def signers(self, role: str, keys: Sequence[Key], threshold: int) -> list[CryptoSigner]:
        """Signers for all keys of the role that are here; raises UsageError when they are fewer than `threshold`."""
        here = [(key, path) for key in keys if (path := self.find(role, key.keyid)) is not None]
        if len(here) < threshold:
            missing = ", ".join(file_name(role, key.keyid) for key in keys if self.find(role, key.keyid) is None)
            places = ", ".join(str(folder) for folder in self.folders)
            raise UsageError(
                f"signing {role!r} takes {threshold} of its keys and {len(here)} are in {places}; "
                f"give the folder with {missing} by --keys."
            )
        return [self._signer(key, path) for key, path in here]

    def home(self, role: str) -> Path:
        """The folder that new keys of the role go into."""
        kind = KINDS[role]
        for folder in self.folders:
            if folder.name == kind or (folder / kind).is_dir():
                return folder if folder.name == kind else folder / kind
        return self.folders[0] / kind

    def create(self, role: str, passphrase: bytes | None = None) -> tuple[SSlibKey, Path]:
        """A new key of the role, written to its home; encrypted where there is a passphrase. Raises StoreError."""
        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        sealing: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        path = self.home(role) / file_name(role, signer.public_key.keyid)
        _write_private(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing))
        self._signers[signer.public_key.keyid] = signer
        return signer.public_key, path

    def passphrase_of(self, role: str, keyids: Iterable[str]) -> bytes | None:
        """The passphrase that opens the role's keys that are here, None where they are not encrypted."""
        for keyid in keyids:
            path = self.find(role, keyid)
            if path is not None and _ENCRYPTED in (data := _read_private(path)):
                self._unlock(path, data)
                return self._passphrase
        return None

    def check_outside(self, published: Path) -> None:
        """Raise UsageError where a folder of keys lies inside the published one."""
        for folder in self.folders:
            if folder.resolve().is_relative_to(published.resolve()):
                raise UsageError(
                    f"the keys in {folder} would be published with {published}; keep them elsewhere and give that by --keys."
                )

    def _places(self) -> Iterable[Path]:
        for folder in self.folders:
            yield from (folder, folder / OFFLINE, folder / ONLINE)

    def _signer(self, key: Key, path: Path) -> CryptoSigner:
        if key.keyid not in self._signers:
            signer = CryptoSigner(self._load(path))
            if signer.public_key.keyid != key.keyid:
                raise UsageError(f"{path} holds another key than its name says; restore it from where you keep a copy.")
            self._signers[key.keyid] = signer
        return self._signers[key.keyid]

    def _load(self, path: Path) -> Ed25519PrivateKey:
        data = _read_private(path)
        private: object
        try:
            private = load_pem_private_key(data, None)
        except TypeError:
            private = self._unlock(path, data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{path} is no private key in PEM form; restore it from where you keep a copy.") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError(f"{path} is not an Ed25519 key; this repository signs with those only.")
        return private

    def _unlock(self, path: Path, data: bytes) -> object:
        if self._passphrase is None and self._ask is not None:
            self._passphrase = self._ask(path)
        if not self._passphrase:
            raise UsageError(f"the key {path} is encrypted, and there is no passphrase; give the one that it was made with.")
        try:
            return load_pem_private_key(data, self._passphrase)
        except (ValueError, UnsupportedAlgorithm) as error:
            self._passphrase = None
            raise UsageError(f"the passphrase does not open the key {path}; give the one that it was made with.") from error


def file_name(role: str, keyid: str) -> str:
    """Name of a key's file: role and the head of its id."""
    return f"{role}-{keyid[:_ID_LENGTH]}.pem"


def remove(paths: Iterable[Path]) -> None:
    """Remove keys that were made for something that then failed."""
    for path in paths:
        path.unlink(missing_ok=True)


def _read_private(path: Path) -> bytes:
    """Bytes of a key file; raises UsageError where others than its owner may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise UsageError(f"the key {path} can be read by others than its owner; run `chmod 600 {path}`.")
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror or error}; check its rights.") from error


def _write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read, durably."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    except OSError as error:
        raise StoreError(
            f"cannot write the key {path}: {error.strerror or error}; choose a folder that is writable."
        ) from error
