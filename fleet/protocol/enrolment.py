"""How a device becomes one of the fleet: it shows a one-time token and its public key, and learns where artifacts are signed.

A token is `SECRET.DIGEST`: the secret is good once, the digest is the SHA-256 of the repository's root.json. Who hands out the
token thereby names the root of trust; a server that is taken over later cannot put another in its place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.artifact_json import Fields
from ...core.canonical import digest
from ...core.errors import ProtocolError
from .message import decode, encode

KEY_BYTES = 32  # of an Ed25519 public key (RFC 8032)
MAX_FACTS = 64
_TOKEN = re.compile(r"([A-Za-z0-9_-]{20,100})\.([0-9a-f]{64})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")


@dataclass(frozen=True)
class Token:
    """What a person hands to a device: a secret that is good once, and the SHA-256 of the root to trust."""

    secret: str
    root_sha256: str

    def __str__(self) -> str:
        return f"{self.secret}.{self.root_sha256}"

    @staticmethod
    def parse(text: str) -> Token:
        """Inverse of `str`; raises ProtocolError."""
        found = _TOKEN.fullmatch(text.strip())
        if found is None:
            raise ProtocolError("the token is not whole; copy the whole line that `edgewright devices enrol` printed.")
        return Token(found[1], found[2])


@dataclass(frozen=True)
class Enrolment:
    """A device's request: the token's secret, its Ed25519 public key [32 bytes], and facts about itself in words."""

    secret: str
    public_key: bytes
    facts: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message."""
        key = base64.b64encode(self.public_key).decode()
        return encode({"facts": dict(self.facts), "public_key": key, "secret": self.secret}, "the enrolment")

    @staticmethod
    def decode(data: bytes) -> Enrolment:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the enrolment", _enrolment)


@dataclass(frozen=True)
class Enrolled:
    """The server's answer: the device's name, and the address of the signed repository."""

    device: str
    repository: str

    def encode(self) -> bytes:
        """The message."""
        return encode({"device": self.device, "repository": self.repository}, "the answer to an enrolment")

    @staticmethod
    def decode(data: bytes) -> Enrolled:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the answer to an enrolment", lambda read: Enrolled(read.text("device"), read.text("repository")))


@dataclass(frozen=True)
class NewKey:
    """A device's next public key [32 bytes], with that key's signature [64 bytes] over `proof_text`."""

    public_key: bytes
    proof: bytes

    def encode(self) -> bytes:
        """The message."""
        values = {"proof": self.proof, "public_key": self.public_key}
        return encode({name: base64.b64encode(value).decode() for name, value in values.items()}, "the new key")

    @staticmethod
    def decode(data: bytes) -> NewKey:
        """Inverse of `encode`; raises ProtocolError."""
        return decode(data, "the new key", lambda read: NewKey(_bytes(read, "public_key", 32), _bytes(read, "proof", 64)))


def device_name(public_key: bytes) -> str:
    """Name of a device: 32 digits of the SHA-256 of the key that it enrolled with; it keeps it when the key changes."""
    return digest(public_key)[:32]


def proof_text(device: str, public_key: bytes) -> bytes:
    """What a device signs with its next key, to prove that it has it."""
    return f"edgewright next key of {device}: {public_key.hex()}".encode()


def _enrolment(read: Fields) -> Enrolment:
    secret, facts = read.text("secret"), read.mapping("facts")
    if not _SECRET.fullmatch(secret):
        raise ProtocolError("the enrolment's secret is none; give the token as it was printed.")
    if len(facts) > MAX_FACTS or not all(_is_short(name) and _is_short(value) for name, value in facts.items()):
        raise ProtocolError(f"the enrolment tells more than {MAX_FACTS} short facts of the device.")
    return Enrolment(secret, _bytes(read, "public_key", KEY_BYTES), facts)


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200


def _bytes(read: Fields, key: str, size: int) -> bytes:
    try:
        value = base64.b64decode(read.text(key), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != size:
        raise ProtocolError(f"{key!r} is not {size} bytes in base64.")
    return value
