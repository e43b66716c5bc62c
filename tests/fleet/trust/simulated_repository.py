"""A signed repository in memory, with all keys at hand: told to publish, to rotate, to be robbed. It is an `Origin`.

It is made with python-tuf's API alone, so that it can say what no publisher would. All that was ever published stays in
`metadata` and `files` under the names that a server would give, and `hidden` names are not served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from edgewright.core.errors import NetworkError
from edgewright.fleet.http import Flow
from edgewright.fleet.protocol.offer import CANARY, CHUNK_BYTES, Chunks, Delta, Offer, beside, target_name
from edgewright.fleet.trust.source import RepositorySource
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

Device = Callable[..., RepositorySource]
DAYS = {"root": 365, "timestamp": 7, "snapshot": 30, "targets": 365, CANARY: 365}
ONLINE = ("timestamp", "snapshot", CANARY)


class SimulatedRepository:
    def __init__(self, clock: Any, root_threshold: int = 2) -> None:
        self.clock = clock
        self.metadata_files: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.hidden: set[str] = set()
        self.signers: dict[str, list[CryptoSigner]] = {
            role: [CryptoSigner.generate_ed25519() for _ in range(root_threshold if role == "root" else 1)] for role in DAYS
        }
        self.root = Root(consistent_snapshot=True)
        for role in ("root", "timestamp", "snapshot", "targets"):
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.root.roles["root"].threshold = root_threshold
        key = self.signers[CANARY][0].public_key
        canary = DelegatedRole(CANARY, [key.keyid], 1, True, [f"{CANARY}/*/*/*"])
        self.targets: dict[str, Targets] = {
            "targets": Targets(delegations=Delegations({key.keyid: key}, {CANARY: canary})),
            CANARY: Targets(),
        }
        self.snapshot = Snapshot(meta={})
        self.timestamp = Timestamp()
        for signed in (self.root, self.snapshot, self.timestamp, *self.targets.values()):
            signed.version = 0
        self.publish("root", "targets", CANARY, "snapshot", "timestamp")

    # What a publisher does

    def publish(self, *roles: str) -> None:
        """Sign new versions of roles, in that order."""
        for role in roles or ("targets", "snapshot", "timestamp"):
            self.sign(role, self.signed(role).version + 1)

    def sign(self, role: str, version: int, days: float | None = None) -> None:
        signed = self.signed(role)
        signed.version = version
        expires = self.clock.now() + (DAYS.get(role, 30) if days is None else days) * 86400
        signed.expires = datetime.fromtimestamp(expires, timezone.utc).replace(microsecond=0)
        if role == "timestamp":
            data = self.metadata_files[f"{self.snapshot.version}.snapshot.json"]
            self.timestamp.snapshot_meta = MetaFile(
                self.snapshot.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()}
            )
        metadata: Metadata[Any] = Metadata(signed)
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        self.metadata_files[f"{role}.json" if role == "timestamp" else f"{version}.{role}.json"] = data
        if role in self.targets:
            self.snapshot.meta[f"{role}.json"] = MetaFile(version)

    def signed(self, role: str) -> Any:
        return {"root": self.root, "snapshot": self.snapshot, "timestamp": self.timestamp, **self.targets}[role]

    def rotate(self, *roles: str) -> None:
        """New keys in place of a role's, in a new root that the old root keys sign too."""
        old = list(self.signers["root"])
        for role in roles:
            for signer in self.signers[role]:
                self.root.revoke_key(signer.public_key.keyid, role)
            self.signers[role] = [CryptoSigner.generate_ed25519() for _ in self.signers[role]]
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        new = self.signers["root"]
        self.signers["root"] = [*new, *(signer for signer in old if signer not in new)]
        self.publish("root")
        self.signers["root"] = new

    def add(self, name: str, data: bytes, role: str = "targets", custom: Any = None) -> TargetFile:
        target = TargetFile.from_data(name, data, ["sha256"])
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        self.targets[role].targets[name] = target
        folder, slash, base = name.rpartition("/")
        self.files[f"{folder}{slash}{target.hashes['sha256']}.{base}"] = data
        return target

    def offer(
        self,
        data: bytes,
        version: int = 1,
        *,
        model: str = "digits",
        role: str = "targets",
        with_chunks: bool = True,
        patches: tuple[tuple[bytes, str, bytes], ...] = (),
    ) -> str:
        """An artifact with what lies beside it; `patches` are (old file, codec, patch). Its target name."""
        name = target_name(model, "pi", version, role == CANARY)
        chunks, deltas = None, []
        if with_chunks:
            digests = b"".join(hashlib.sha256(data[at : at + CHUNK_BYTES]).digest() for at in range(0, len(data), CHUNK_BYTES))
            listed = self.add(beside(name, "chunks"), digests, role)
            chunks = Chunks(listed.path, listed.hashes["sha256"])
        for old, codec, patch in patches:
            digest = hashlib.sha256(old).hexdigest()
            patched = self.add(beside(name, f"from-{digest[:16]}.{codec}"), patch, role)
            deltas.append(Delta(digest, patched.path, codec, len(patch)))
        offer = Offer(
            model=model, version=version, profile="pi", arch="aarch64", isa=(), runtime="onnxruntime", runtime_version="1.20",
            precision="int8", size_bytes=len(data), content_digest="0" * 64, chunks=chunks, deltas=tuple(deltas),
        )  # fmt: skip
        self.add(name, data, role, offer.to_json())
        return name

    def role(self, name: str, delegator: str, paths: list[str], signer: CryptoSigner, **more: Any) -> None:
        """Delegate from one role to another, which is made when it is new."""
        parent = self.targets[delegator]
        parent.delegations = parent.delegations or Delegations({}, {})
        assert parent.delegations.roles is not None
        parent.delegations.roles[name] = DelegatedRole(name, [], 1, more.get("is_terminating", False), paths)
        parent.add_key(signer.public_key, name)
        if name not in self.targets:
            self.targets[name] = Targets()
            self.targets[name].version = 0
            self.signers[name] = []
        self.signers[name].append(signer)

    def first_root(self) -> bytes:
        return self.metadata_files["1.root.json"]

    # What a server does

    def metadata(self, name: str, max_bytes: int) -> bytes | None:
        self.asked.append(name)
        data = None if name in self.hidden else self.metadata_files.get(name)
        if data is not None and len(data) > max_bytes:
            raise NetworkError(f"{name} has more than the {max_bytes} bytes that are allowed.")
        return data

    @contextmanager
    def flow(self, name: str, start: int, length: int) -> Iterator[Flow]:
        self.asked.append(name)
        data = None if name in self.hidden else self.files.get(name)
        if data is None:
            raise NetworkError(f"{name} is not there.")
        yield Flow(206, start, len(data), pieces(data[start:length]))


def pieces(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


def versions(device: RepositorySource) -> list[int]:
    """Versions of the artifacts that a device is offered."""
    return [offered.offer.version for offered in device.offers()]


def device_at(device: RepositorySource, origin: Any) -> RepositorySource:
    """The same device, whose address now leads elsewhere."""
    device._client._origin = device._downloads._origin = origin
    return device
