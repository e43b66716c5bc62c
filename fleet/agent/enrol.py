"""Enrolling a device: a one-time token is exchanged for a place in the fleet and the root of trust.

The steps can each be lost and done again: the key is durable before it is shown, the server answers the same token and key
with the same words, and the device counts as enrolled only when its root and its identity are on the disk.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping

from ...core.canonical import digest
from ...core.errors import AgentError, ProtocolError, VerificationError
from ...core.version import VERSION
from ..disk import Disk, ensure_folder, write_durable
from ..http import Answer, Http
from ..protocol.enrolment import Enrolled, Enrolment, Token, device_name
from ..protocol.message import MAX_MESSAGE_BYTES
from ..trust.client import FOLDER, Bounds
from ..trust.origin import HttpOrigin, Origin
from .identity import KEY, NEXT_KEY, DeviceKey, Identity, load_key, make_key, save_identity
from .server import refusal

log = logging.getLogger("edgewright.agent")

_REFUSED = 403
FIRST_ROOT = f"{FOLDER}/first-root.json"


def enrol(
    disk: Disk,
    http: Http,
    server: str,
    token: str,
    origin_of: Mapping[str, Origin] | None = None,
    told: Mapping[str, str] | None = None,
) -> Identity:
    """Enrol with `token` at `server` and bring the root that the token names; `told` are facts besides those of the machine.

    A device that enrolled before does so anew: with its key, or with a new one where the server refuses that, as it does when
    the device was revoked. `origin_of` maps a repository's address to where it is read from, for tests and mirrors; by default
    over `http`. Raises NetworkError, ProtocolError when the server refuses, VerificationError when the repository has not the
    root of the token.
    """
    wanted = Token.parse(token)
    known = {**facts(), **(told or {})}
    enrolled, key_path = _exchange(disk, http, server, wanted.secret, known)
    root = _root(_origin(http, enrolled.repository, origin_of), wanted.root_sha256, enrolled.repository)
    ensure_folder(disk, "trust")
    if first_root(disk) not in (None, root):
        _forget_metadata(disk)
    write_durable(disk, FIRST_ROOT, root)
    if key_path != KEY:
        disk.rename(key_path, KEY)
        disk.sync(".")
    identity = Identity(enrolled.device, server.rstrip("/"), enrolled.repository, digest_of(token))
    save_identity(disk, identity)
    return identity


def digest_of(token: str) -> str:
    """SHA-256 by which a token is known again."""
    return digest(token.strip().encode())


def _exchange(disk: Disk, http: Http, server: str, secret: str, told: Mapping[str, str]) -> tuple[Enrolled, str]:
    """The server's answer, and where the key lies that it was for."""
    path, key = KEY, _key(disk, KEY)
    is_old = key is not None
    if key is None and disk.size(KEY) is None:
        key = make_key(disk)
    answer = None if key is None else _post(http, server, secret, key, told)
    if key is None or answer is None or (is_old and answer.status == _REFUSED):
        # Under another name first: where the answer is lost the same key asks again, and where it is no, nothing changed.
        path, key = NEXT_KEY, _key(disk, NEXT_KEY) or make_key(disk, NEXT_KEY)
        answer = _post(http, server, secret, key, told)
    if answer.status != 200:
        raise refusal(answer, "enrol this device")
    enrolled = Enrolled.decode(answer.body)
    if enrolled.device != device_name(key.public):
        raise ProtocolError(f"the server calls this device {enrolled.device[:100]!r}, not by its key; ask who runs the server.")
    return enrolled, path


def _key(disk: Disk, path: str) -> DeviceKey | None:
    try:
        return load_key(disk, path)
    except AgentError as error:
        log.warning("%s", error)
        return None


def _post(http: Http, server: str, secret: str, key: DeviceKey, told: Mapping[str, str]) -> Answer:
    return http.post(
        f"{server.rstrip('/')}/v1/enrol",
        Enrolment(secret, key.public, told).encode(),
        max_bytes=MAX_MESSAGE_BYTES,
        headers={"Content-Type": "application/json"},
        attempts=http.limits.attempts,
    )


def _forget_metadata(disk: Disk) -> None:
    """Another root is trusted from now on, by the word of who gave the token; what the one before signed is no start for it."""
    for folder in (f"{FOLDER}/roles", FOLDER):
        for name in disk.names(folder):
            if name not in ("roles", "time.json") and f"{folder}/{name}" != FIRST_ROOT:
                disk.remove(f"{folder}/{name}")
        disk.sync(folder)


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
        "ram_mb": str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20),
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
