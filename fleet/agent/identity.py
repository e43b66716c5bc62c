"""Who a device is: an Ed25519 key that was made on it and never leaves it, and the name that it enrolled under.

In the data folder lie key.pem (PKCS#8, readable by its owner only), next.pem while the key is being replaced, and
identity.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ...core.artifact_json import Fields
from ...core.canonical import dumps
from ...core.errors import AgentError, ArtifactError
from ..disk import Disk, write_durable

KEY, NEXT_KEY, IDENTITY = "key.pem", "next.pem", "identity.json"


@dataclass(frozen=True)
class Identity:
    """What was agreed at the enrolment: the device's name, the server, and the repository whose root it trusts.

    `token` is the SHA-256 of the token that was used: one that is given again is not a fresh one.
    """

    device: str
    server: str
    repository: str
    token: str = ""


class DeviceKey:
    """A private key that signs."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature [64 bytes] (RFC 8032)."""
        return self._key.sign(data)


def load_key(disk: Disk, path: str = KEY) -> DeviceKey | None:
    """The key at `path`, or None where there is none; raises AgentError for a file that holds no Ed25519 key."""
    if disk.size(path) is None:
        return None
    try:
        key = serialization.load_pem_private_key(disk.read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return DeviceKey(key)


def make_key(disk: Disk, path: str = KEY) -> DeviceKey:
    """A new key, durable at `path` before anybody hears of it."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_durable(disk, path, pem, private=True)
    return DeviceKey(key)


def _no_key(path: str) -> AgentError:
    return AgentError(f"{path} in the data folder is no Ed25519 private key; restore it, or enrol anew with a fresh token.")


def load_identity(disk: Disk) -> Identity | None:
    """What the device enrolled as, or None when it never did; raises AgentError for a damaged record."""
    if disk.size(IDENTITY) is None:
        return None
    try:
        told = json.loads(disk.read(IDENTITY))
        read = Fields({"token": "", **told} if isinstance(told, dict) else told, IDENTITY)
        return Identity(read.text("device"), read.text("server"), read.text("repository"), read.text("token"))
    except (ArtifactError, ValueError, RecursionError) as error:
        raise AgentError(f"{IDENTITY} in the data folder is damaged; enrol the device anew with a fresh token.") from error


def save_identity(disk: Disk, identity: Identity) -> None:
    """Keep it, durably."""
    write_durable(disk, IDENTITY, dumps(asdict(identity)))
