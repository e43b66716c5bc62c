"""Whether a request comes from the device that it names: pure but for the look at who knows its key.

Signatures are verified by libsodium, in half of OpenSSL's time: of what a poll costs the server this is the most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from ...core.clock import Clock
from ...core.errors import ProtocolError
from ..protocol.enrolment import NewKey, proof_text
from ..protocol.signature import MAX_SKEW_S, read_claim


class Speaker(Protocol):
    """What is known of a device: the key that signs for it now, and whether it may speak."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        ...

    @property
    def is_revoked(self) -> bool:
        """Whether it may not speak any more."""
        ...


class Directory(Protocol):
    """Who knows devices by name."""

    def device(self, name: str) -> Speaker | None:
        """What is known of a device, or None of one that never enrolled."""
        ...


class NotSigned(ProtocolError):
    """A request without a valid signature; `code` is what the device may act on."""

    def __init__(self, sentence: str, code: str = "signature") -> None:
        super().__init__(sentence)
        self.refusal = code


class NotAllowed(ProtocolError):
    """A request of a device that may not speak any more."""


def authenticate(
    directory: Directory, clock: Clock, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> str:
    """Name of the device that signed; raises NotSigned or NotAllowed.

    The time is looked at last, so that only who has the key learns that its clock is wrong.
    """
    try:
        claim = read_claim(method, path, query, headers, body)
    except ProtocolError as error:
        raise NotSigned(str(error)) from error
    known = directory.device(claim.device)
    if known is None or not _is_signed(known.public_key, claim.signature, claim.signed):
        raise NotSigned("the request is not signed by a key that this server knows; enrol the device.")
    if known.is_revoked:
        raise NotAllowed("this device was revoked; ask who runs the server, and enrol anew with a fresh token and key.")
    if abs(claim.created - clock.now()) > MAX_SKEW_S:
        raise NotSigned(
            "the request was signed at another time than now; set the clock, or sign with the server's time.", "clock"
        )
    return claim.device


def check_new_key(device: str, new: NewKey) -> None:
    """Raise NotSigned unless who asks has the new key too."""
    if not _is_signed(new.public_key, new.proof, proof_text(device, new.public_key)):
        raise NotSigned("the new key does not prove itself; sign its text with it.")


def _is_signed(public_key: bytes, signature: bytes, data: bytes) -> bool:
    try:
        VerifyKey(public_key).verify(data, signature)
    except (CryptoError, ValueError):
        return False
    return True
