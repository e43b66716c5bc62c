"""Devices that are registered: keys of their own, rows in the control plane's database, requests signed before they are due.

The rows are written by SQL, not by a hundred thousand enrolments; they are what enrolments would have written. Every device has
a key pair of its own, so that no cache of keys or signatures can help the server.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edgewright.core.canonical import digest
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.tables import ASSIGNMENTS, DEVICES
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.enrolment import device_name
from edgewright.fleet.protocol.signature import sign
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from sqlalchemy import insert

MODEL = "digits"
VERSIONS = 8
_ROWS = 5000
_FEATURES, _BINS = 10, 32


@dataclass(frozen=True)
class Device:
    """A device's name, its private key [32 bytes], and the version of the model that is assigned to it."""

    name: str
    private: bytes
    version: int


def wanted(version: int) -> Wanted:
    sha256 = digest(f"version {version}".encode())
    return Wanted(MODEL, sha256, f"{MODEL}/raspberry-pi-4b/{version}.ewa")


def etag(version: int) -> str:
    """Of the assignment that devices of this version have."""
    return f'"{digest(Assignment({MODEL: wanted(version)}).encode())[:32]}"'


def register(database: Database, count: int, seed: int = 0) -> list[Device]:
    """So many devices, in the database."""
    draw, devices = random.Random(seed), []
    publics = []
    for _ in range(count):
        private = draw.randbytes(32)
        public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        publics.append(public)
        devices.append(Device(device_name(public), private, draw.randrange(VERSIONS)))
    now = database.clock.now()
    facts = '{"arch": "aarch64", "host": "camera", "profile": "raspberry-pi-4b", "site": "lab"}'
    for at in range(0, count, _ROWS):
        some = range(at, min(at + _ROWS, count))
        with database.transaction() as connection:
            connection.execute(
                insert(DEVICES),
                [
                    {
                        "device": devices[i].name,
                        "public_key": publics[i],
                        "facts": facts,
                        "enrolled_at": now,
                        "attributes": "{}",
                    }
                    for i in some
                ],
            )
            connection.execute(
                insert(ASSIGNMENTS),
                [
                    {"device": devices[i].name, "is_aborted": False, "rollout": None, **wanted(devices[i].version).to_json()}
                    for i in some
                ],
            )
    with database.transaction() as connection:
        database.touch(connection)
    return devices


def poll(device: Device, host: str, created: float, knows: bool = True) -> bytes:
    """A signed poll, by a device that has its assignment already or not."""
    extra = f"If-None-Match: {etag(device.version)}\r\n" if knows else ""
    return _request("GET", "/v1/assignment", device, host, created, b"", extra)


def telemetry(device: Device, host: str, created: float, windows: Sequence[tuple[int, bytes]]) -> bytes:
    """Signed windows of telemetry by sequence."""
    body = Batch("00000001-bench", tuple(windows)).encode()
    extra = f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
    return _request("POST", "/v1/telemetry", device, host, created, body, extra)


def window(device: Device, sequence: int, draw: random.Random) -> bytes:
    """A window of ten minutes: ten features, the output and its confidence in 32 bins each, and latency."""
    requests = draw.randrange(60, 3000)
    edges = sorted(draw.randrange(requests + 1) for _ in range(_BINS + 1))
    counts = [b - a for a, b in zip([0, *edges], [*edges, requests], strict=True)]
    tensors = tuple(tuple(counts[at:] + counts[:at]) for at in range(_FEATURES + 2))
    latency = tuple(requests if at == 20 else 0 for at in range(LATENCY_BINS))
    start = 600 * sequence
    sha256 = wanted(device.version).sha256 or ""
    return Window(MODEL, sha256, start, start + 600, 1, requests, requests, 0, (0, 0, 0, 0), latency, tensors).encode()


def _request(method: str, path: str, device: Device, host: str, created: float, body: bytes, extra: str) -> bytes:
    signer = Ed25519PrivateKey.from_private_bytes(device.private).sign
    fields = sign(method, f"http://{host}{path}", body, device.name, created, signer)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nUser-Agent: edgewright\r\n"
    return f"{head}{lines}{extra}\r\n".encode() + body
