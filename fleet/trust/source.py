"""Where a device's artifacts come from: a signed repository at a web address, in a folder or in a tar file.

`RepositorySource` joins the parts: `TrustClient` says what is signed, `Downloads` brings files that are exactly that, patches
save bytes where an older artifact is here. A patch is only a shorter way: whatever is wrong with it, the whole file is fetched.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import re
from collections.abc import Mapping
from pathlib import Path

from tuf.api.metadata import TargetFile

from ...core.artifact_json import MAX_JSON_BYTES
from ...core.clock import Clock
from ...core.errors import NetworkError, ProtocolError, VerificationError
from ..disk import Disk
from ..http import Http, Limits, TransientError
from ..protocol.offer import ARTIFACT_SUFFIX, CANARY, Delta, FileRef, Offer, target_name
from ..protocol.offered import Offered, Signers
from .client import TARGETS, TrustClient
from .download import FOLDER, Downloads
from .origin import FolderOrigin, HttpOrigin, Origin
from .part import ChunkList, Wanted, check_chunk_list
from .patched import make_patched
from .tar import SUFFIX, TarOrigin

_LOG = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HAS_ZSTD = importlib.util.find_spec("zstandard") is not None


class RepositorySource:
    """The artifacts of one repository; implements the agent's `Source`."""

    def __init__(
        self,
        disk: Disk,
        origin: Origin,
        clock: Clock,
        root: bytes | None,
        *,
        is_canary: bool = False,
        limits: Limits | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        """`root`: the root.json that came with the device; `is_canary`: it takes what only the canary role signed.

        Raises VerificationError when there is no root to trust, StoreError when the disk refuses.
        """
        self._disk = disk
        self._roles = (CANARY,) if is_canary else ()
        refused = frozenset() if is_canary else frozenset({CANARY})
        self._client = TrustClient(disk, origin, clock, root, refused=refused)
        self._downloads = Downloads(disk, origin, clock, limits or Limits(), jitter or random.Random())
        self._patchless: set[str] = set()  # artifacts on their way of which a patch was of no use

    def refresh(self) -> None:
        """Learn what is signed now; raises NetworkError, VerificationError or StoreError and then knows what it knew before."""
        self._client.refresh()

    def offers(self) -> list[Offered]:
        """All trusted artifacts by the metadata last verified, until they expire; a wrong offer is logged and left out."""
        return [offered for name in self._client.names(*self._roles) if (offered := self._offered(name)) is not None]

    def fetch(self, offered: Offered, have: Mapping[str, str]) -> str:
        """Path of the whole, verified, durable file in `downloads/`.

        Raises UnfinishedError when more is to come, NetworkError, VerificationError or StoreError.
        """
        target = self._signed(offered.name)
        wanted = self._wanted(target)
        if target.hashes.get("sha256") != offered.sha256 or target.length != offered.length:
            raise VerificationError(f"{offered.name} was signed anew since it was offered; look at the offers again.")
        self._keep_what_is_wanted(offered)
        if not self._downloads.has(wanted, offered.sha256) and (delta := self._delta(offered, have)) is not None:
            try:
                return self._patched(offered, wanted, delta, have)
            except (NetworkError, VerificationError) as error:
                _LOG.warning("the patch %s is of no use, the whole artifact is fetched: %s", delta.path, error)
                self._downloads.forget(f"{offered.sha256}.patch")
                self._patchless.add(offered.sha256)
        path = self._downloads.fetch(wanted, offered.sha256, self._chunks(offered))
        self._downloads.forget(f"{offered.sha256}.")
        self._patchless.discard(offered.sha256)
        return path

    def bins(self, offered: Offered) -> bytes | None:
        """The file of an offer's bins, verified, or None for an offer without; `fetch` need not come before.

        Raises UnfinishedError when more is to come, NetworkError, VerificationError or StoreError.
        """
        return self._small_file(offered, offered.offer.bins, "bins")

    def provenance(self, offered: Offered) -> bytes | None:
        """The file of an offer's provenance; as `bins`."""
        return self._small_file(offered, offered.offer.provenance, "provenance")

    def signers(self, offered: Offered) -> Signers:
        """Who signed an offer; raises VerificationError."""
        role = CANARY if offered.name.startswith(f"{CANARY}/") else TARGETS
        return Signers(role, *self._client.signers(role))

    def forget(self, sha256: str) -> None:
        """Remove what was downloaded of this file; nothing there is fine."""
        self._downloads.forget(sha256)
        self._patchless.discard(sha256)

    def _small_file(self, offered: Offered, told: FileRef | None, kind: str) -> bytes | None:
        if told is None:
            return None
        signed, name = self._beside(told.path, told.sha256), f"{offered.sha256}.{kind}"
        if signed.length > MAX_JSON_BYTES:
            raise VerificationError(f"{told.path} has {signed.length} bytes, more than {kind} can have; publish it again.")
        path = self._downloads.fetch(self._wanted(signed), name)
        data = self._disk.read(path)
        self._downloads.forget(name)
        return data

    def _offered(self, name: str) -> Offered | None:
        if not name.endswith(ARTIFACT_SUFFIX):
            return None
        try:
            target = self._client.find(name)
            if target is None:
                return None
            offer = Offer.from_json(target.unrecognized_fields.get("custom"))
            is_canary = name.startswith(f"{CANARY}/")
            if name != target_name(offer.model, offer.profile, offer.version, is_canary) or offer.size_bytes != target.length:
                raise ProtocolError("it speaks of another file than its own.")
            sha256 = target.hashes["sha256"]
            if not _SHA256.fullmatch(sha256):
                raise ProtocolError("its SHA-256 is none; publish it again.")
            return Offered(name, sha256, target.length, offer)
        except (ProtocolError, VerificationError, NetworkError, KeyError) as error:
            _LOG.warning("the offer of %r is left out: %s", name, error)
            return None

    def _signed(self, name: str) -> TargetFile:
        target = self._client.find(name)
        if target is None:
            raise VerificationError(f"{name} is not signed any more, or its metadata expired; refresh first.")
        return target

    def _wanted(self, target: TargetFile) -> Wanted:
        return wanted_of(target, self._client.consistent_snapshot)

    def _chunks(self, offered: Offered) -> ChunkList | None:
        """The chunk list, itself a verified target; None where there is none that can be had."""
        told = offered.offer.chunks
        if told is None:
            return None
        try:
            signed = self._beside(told.path, told.sha256)
            check_chunk_list(signed.length, offered.length, told.chunk_bytes)
            path = self._downloads.fetch(self._wanted(signed), f"{offered.sha256}.chunks")
            chunks = ChunkList(self._disk.read(path), told.chunk_bytes)
        except TransientError:
            raise
        except (NetworkError, VerificationError) as error:
            _LOG.warning("%s comes without its chunk list: %s", offered.name, error)
            return None
        return chunks

    def _beside(self, path: str, sha256: str) -> TargetFile:
        """A target that an offer names, by the digest that it gives."""
        target = self._signed(path)
        if target.hashes.get("sha256") != sha256:
            raise VerificationError(f"{path} is signed with another digest than the offer gives; publish the artifact again.")
        return target

    def _delta(self, offered: Offered, have: Mapping[str, str]) -> Delta | None:
        """The smallest patch from what is here, where it is smaller than what is missing of the file."""
        if offered.sha256 in self._patchless:
            return None
        missing = offered.length - self._downloads.come(offered.sha256)
        usable = [
            delta
            for delta in offered.offer.deltas
            if delta.from_sha256 in have and delta.size_bytes < missing and (delta.codec != "zstd" or _HAS_ZSTD)
        ]
        return min(usable, key=lambda delta: delta.size_bytes, default=None)

    def _patched(self, offered: Offered, wanted: Wanted, delta: Delta, have: Mapping[str, str]) -> str:
        target = self._signed(delta.path)
        name = f"{offered.sha256}.patch-{delta.from_sha256[:16]}"
        patch = self._downloads.fetch(self._wanted(target), name)
        path = make_patched(self._disk, have[delta.from_sha256], patch, f"{FOLDER}/{offered.sha256}", wanted)
        self._downloads.forget(f"{offered.sha256}.")
        return path

    def _keep_what_is_wanted(self, offered: Offered) -> None:
        """Remove what is here but this artifact and what is signed of other models; a model has one update at a time."""
        kept = {one.sha256 for one in self.offers() if one.offer.model != offered.offer.model} | {offered.sha256}
        for name in self._disk.names(FOLDER):
            if name.partition(".")[0] not in kept:
                self._downloads.forget(name)


def wanted_of(target: TargetFile, consistent_snapshot: bool) -> Wanted:
    """Where a target's file lies at the origin, and what it must be; consistent snapshots put a digest before its name."""
    if not consistent_snapshot:
        return Wanted(target.path, target.length, target.hashes)
    folder, slash, name = target.path.rpartition("/")
    prefix = target.hashes.get("sha256") or next(iter(target.hashes.values()))
    return Wanted(f"{folder}{slash}{prefix}.{name}", target.length, target.hashes)


def origin_at(where: str, http: Http) -> Origin:
    """The origin that `where` names: a web address, a tar file or a folder, such as where a stick is mounted."""
    if where.startswith(("http://", "https://")):
        return HttpOrigin(http, where)
    path = Path(where)
    return TarOrigin(path) if path.suffix == SUFFIX else FolderOrigin(path)
