"""Enrolling a device: a one-time token is exchanged for a place in the fleet and the root of trust.

The steps can each be lost and done again: the key is durable before it is shown, the server answers the same token and key
with the same words, and the device counts as enrolled only when its root and its identity are on the disk.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from ...core.canonical import digest
from ...core.errors import VerificationError
from ...core.version import VERSION
from ..disk import Disk, ensure_folder, write_durable
from ..http import Http
from ..protocol.enrolment import Enrolled, Enrolment, Token
from ..protocol.message import MAX_MESSAGE_BYTES
from ..trust.client import Bounds
from ..trust.origin import HttpOrigin, Origin
from .identity import Identity, load_key, make_key, save_identity
from .server import refusal

FIRST_ROOT = "trust/first-root.json"


def enrol(disk: Disk, http: Http, server: str, token: str, origin_of: Mapping[str, Origin] | None = None) -> Identity:
    """Enrol with `token` at `server` and bring the root that the token names.

    `origin_of` maps a repository's address to where it is read from, for tests and mirrors; by default over `http`. Raises
    NetworkError, ProtocolError when the server refuses, VerificationError when the repository has not the root of the token.
    """
    told = Token.parse(token)
    key = load_key(disk) or make_key(disk)
    request = Enrolment(told.secret, key.public, facts())
    answer = http.post(
        f"{server.rstrip('/')}/v1/enrol",
        request.encode(),
        max_bytes=MAX_MESSAGE_BYTES,
        headers={"Content-Type": "application/json"},
        attempts=http.limits.attempts,
    )
    if answer.status != 200:
        raise refusal(answer, "enrol this device")
    enrolled = Enrolled.decode(answer.body)
    root = _root(_origin(http, enrolled.repository, origin_of), told.root_sha256, enrolled.repository)
    ensure_folder(disk, "trust")
    write_durable(disk, FIRST_ROOT, root)
    identity = Identity(enrolled.device, server.rstrip("/"), enrolled.repository)
    save_identity(disk, identity)
    return identity


def first_root(disk: Disk) -> bytes | None:
    """The root.json that the token named, or None before the enrolment."""
    return None if disk.size(FIRST_ROOT) is None else disk.read(FIRST_ROOT)


def facts() -> dict[str, str]:
    """What an operator wants to know of a new device, in words."""
    return {
        "agent": VERSION,
        "arch": platform.machine(),
        "host": platform.node()[:200],
        "kernel": platform.release()[:200],
        "python": platform.python_version(),
    }


def _origin(http: Http, repository: str, origin_of: Mapping[str, Origin] | None) -> Origin:
    return origin_of[repository] if origin_of and repository in origin_of else HttpOrigin(http, repository)


def _root(origin: Origin, sha256: str, repository: str) -> bytes:
    """The root of that digest among the repository's: the token may be older than the newest."""
    bounds = Bounds()
    for version in range(1, bounds.root_rotations + 1):
        data = origin.metadata(f"{version}.root.json", bounds.root_bytes)
        if data is None:
            break
        if digest(data) == sha256:
            return data
    raise VerificationError(
        f"the repository {repository} has no root.json of the digest that the token names; ask for a new token, and whether "
        "the address is right."
    )
