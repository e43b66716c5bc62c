"""Signed requests: HTTP Message Signatures (RFC 9421) with Ed25519 over method, path, query and Content-Digest (RFC 9530).

Of the many forms that the standard allows exactly one is written and read here, so there is nothing to negotiate:

    Content-Digest: sha-256=:BASE64:
    Signature-Input: device=("@method" "@path" "@query" "content-digest");created=SECONDS;keyid="DEVICE";alg="ed25519"
    Signature: device=:BASE64:

No session and no shared secret lies anywhere. `created` bounds how long a request that was overheard can be sent again; what
that could do is nothing, since reports and telemetry count once and a key that was replaced signs no more.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...core.errors import ProtocolError

LABEL = "device"
MAX_SKEW_S = 300.0  # between `created` and the clock of who verifies

_COMPONENTS = '("@method" "@path" "@query" "content-digest")'
_INPUT = re.compile(re.escape(f"{LABEL}={_COMPONENTS};created=") + r'(\d{1,12});keyid="([A-Za-z0-9._-]{1,100})";alg="ed25519"')
_SIGNATURE = re.compile(rf"{LABEL}=:([A-Za-z0-9+/]{{86}}==):")


@dataclass(frozen=True)
class Claim:
    """Who says to have signed, when (seconds since 1970), the bytes that are signed, and the signature [64 bytes]."""

    device: str
    created: int
    signed: bytes
    signature: bytes


def content_digest(body: bytes) -> str:
    """Value of the field Content-Digest (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign(method: str, url: str, body: bytes, device: str, created: float, signer: Callable[[bytes], bytes]) -> dict[str, str]:
    """Header fields that sign a request; `signer` gives the Ed25519 signature of bytes."""
    parts = urlsplit(url)
    digest = content_digest(body)
    parameters = f'{_COMPONENTS};created={max(0, int(created))};keyid="{device}";alg="ed25519"'
    signature = base64.b64encode(signer(_base(method, parts.path, parts.query, digest, parameters))).decode()
    return {
        "Content-Digest": digest,
        "Signature-Input": f"{LABEL}={parameters}",
        "Signature": f"{LABEL}=:{signature}:",
    }


def read_claim(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Claim:
    """The claim of a request whose header names are in lower case; raises ProtocolError.

    `path` and `query` are as they came, not decoded. Whether the signature is the device's is for who knows its key.
    """
    given, signature = headers.get("signature-input", ""), headers.get("signature", "")
    found, value = _INPUT.fullmatch(given), _SIGNATURE.fullmatch(signature)
    if found is None or value is None:
        raise ProtocolError("the request is not signed as a device signs; enrol the device first.")
    digest = content_digest(body)
    if headers.get("content-digest") != digest:
        raise ProtocolError("the request's body is not the one that its Content-Digest names.")
    parameters = given.removeprefix(f"{LABEL}=")
    signed = _base(method, path, query, digest, parameters)
    return Claim(found[2], int(found[1]), signed, base64.b64decode(value[1]))


def _base(method: str, path: str, query: str, digest: str, parameters: str) -> bytes:
    """The signature base (RFC 9421, section 2.5)."""
    lines = (
        f'"@method": {method}',
        f'"@path": {path or "/"}',
        f'"@query": ?{query}',
        f'"content-digest": {digest}',
        f'"@signature-params": {parameters}',
    )
    return "\n".join(lines).encode("ascii", "backslashreplace")
