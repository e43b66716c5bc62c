"""Mutated files and messages against what a device and its server read: `python -m benchmarks.fuzz_fleet [--parser tar]`.

Signed metadata of a repository (mutated, then signed with the right keys: what a publisher's stolen keys could say), the offer
in it, a repository in a tar, patches, artifacts (the container, and manifests in a whole one), batches and windows of
telemetry, the files that windows are counted in, the journal, kept samples and what is known of them, bins, measurings on
devices, and all other messages between device and server. What a run does, and what ends it, is in fuzzing.py.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import random
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata, MetaFile

sys.path += [str(Path(__file__).resolve().parent.parent / "tests" / "fleet" / folder) for folder in ("", "trust")]

from bench.outcomes import job, measured
from edgewright.core import artifact_zip
from edgewright.core.artifact import MANIFEST, MEASUREMENTS, SEAL, seal
from edgewright.core.artifact import member as sealed_member
from edgewright.core.artifact_read import read_artifact
from edgewright.core.canonical import digest, dumps
from edgewright.core.errors import ArtifactError, NetworkError, ProtocolError, VerificationError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.agent.journal import Journal, Record, SlotRecord
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import Memory
from edgewright.fleet.delta.make import make_delta
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.bench_job import Next, Told
from edgewright.fleet.protocol.bins import decode_bins, encode_bins
from edgewright.fleet.protocol.enrolment import Enrolled, Enrolment, NewKey, Token
from edgewright.fleet.protocol.offer import CANARY, Offer
from edgewright.fleet.protocol.report import Answer, Report
from edgewright.fleet.protocol.sample import About
from edgewright.fleet.protocol.signature import read_claim, sign
from edgewright.fleet.protocol.window import ERROR_KINDS, LATENCY_BINS, Batch, Window
from edgewright.fleet.telemetry import live, sample_file
from edgewright.fleet.trust.source import RepositorySource
from edgewright.fleet.trust.tar import TarOrigin
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import SimulatedRepository
from tiny_artifact import write_tiny

from . import fuzzing
from .fuzzing import Target

ROLES = ("root", "timestamp", "snapshot", "targets", CANARY)
SHA256 = "5a" * 32
LONG = "long/name" * 12  # more than a tar's oldest form holds in one field
JSON_TOKENS = [
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"1e400", b"0.5", b"[]", b"{}",
    b'""', b"18446744073709551616", b"\\ud800", b"\xff", b"\x00", b"[" * 3000, b'{"a":' * 500, b"9" * 5000, b'"../x"',
    b'"__class__"', SHA256.encode(),
]  # fmt: skip
TOKENS = [b"\x00", b"\xff" * 4, b"\x7f" * 4, b"\x80" * 10, bytes(16), b"\x00\x01", b"PK\x05\x06", b"\x80\x80\x04"]
TAR_TOKENS = [*TOKENS, b"../", b"metadata/", b"7777777", b"2", b"x", b"L", b"S", b"\x80\0\0\0" + b"\xff" * 4, b" 12 path=a\n"]


def targets() -> dict[str, Target]:
    """The parsers by name."""
    metadata = SignedAnew()
    return {
        "metadata": Target(metadata.seeds(), metadata.run, (VerificationError, NetworkError), JSON_TOKENS, 1),
        "offer": json_target(Offer.from_json, [json.dumps(metadata.offer).encode()], (ArtifactError, ProtocolError)),
        "tar": tar_target(metadata.repository),
        "delta": delta_target(),
        "container": Target([tiny()], read_artifact, (ArtifactError,), [*TOKENS, *JSON_TOKENS]),
        "inside": Target(
            [b"\0" + unpacked()[MANIFEST], b"\1" + unpacked()[MEASUREMENTS]], run_inside, (ArtifactError,), JSON_TOKENS, 1
        ),
        "window": Target([window().encode()], Window.decode, (ProtocolError,), TOKENS),
        "batch": Target([unpacked_batch()], run_batch, (ProtocolError,), TOKENS),
        "live": live_target(),
        "journal": Target(*journal_target(), (), JSON_TOKENS, 0),
        "sample": Target([sample()], sample_file.unpack, (ProtocolError,), TOKENS),
        "about": Target([sample()], About.read, (ProtocolError,), [*TOKENS, *JSON_TOKENS]),
        "bins": Target([bins()], decode_bins, (ProtocolError,), JSON_TOKENS),
        "bench": Target(
            [b"\0" + Told(measured(7)).encode(), b"\1" + Next(job()).encode()], run_bench, (ProtocolError,), JSON_TOKENS, 1
        ),
        "messages": messages_target(),
    }


class SignedAnew:
    """A repository whose metadata of one role is what the fuzzer says, signed with that role's keys."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.repository = SimulatedRepository(self.clock)
        name = self.repository.offer(random.Random(1).randbytes(200_000))
        self.repository.offer(random.Random(2).randbytes(100_000), 2, role=CANARY)
        self.repository.publish("targets", CANARY, "snapshot", "timestamp")
        self.repository.publish("root")
        self.offer: dict[str, Any] = self.repository.targets["targets"].targets[name].custom or {}
        self._whole = dict(self.repository.metadata_files)

    def seeds(self) -> list[bytes]:
        """A role's number and what it signs."""
        return [bytes([number]) + encode(self.repository.signed(role).to_dict()) for number, role in enumerate(ROLES)]

    def run(self, data: bytes) -> None:
        """A device's refresh, and the offers that it then has; an offer that it leaves out is one refused."""
        role, signed = ROLES[data[0] % len(ROLES) if data else 0], data[1:]
        files = self.repository.metadata_files = dict(self._whole)
        name = "timestamp.json" if role == "timestamp" else f"{self.repository.signed(role).version}.{role}.json"
        files[name] = self._sealed(role, signed)
        if role == "snapshot":
            version = self.repository.snapshot.version
            self.repository.timestamp.snapshot_meta = MetaFile(
                version, len(files[name]), {"sha256": hashlib.sha256(files[name]).hexdigest()}
            )
            timestamp: Metadata[Any] = Metadata(self.repository.timestamp)
            timestamp.sign(self.repository.signers["timestamp"][0])
            files["timestamp.json"] = timestamp.to_bytes()
        root = self.repository.first_root()
        device = RepositorySource(SimulatedDisk(), self.repository, self.clock, root, is_canary=role == CANARY)
        device.refresh()
        if len(device.offers()) < (2 if role == CANARY else 1):
            raise VerificationError("an offer was left out")

    def _sealed(self, role: str, signed: bytes) -> bytes:
        """The role's file; over what has no canonical form, a signature of nothing."""
        try:
            text = encode_canonical(json.loads(signed)) or ""
            signable = text.encode()
        except Exception:  # no publisher can sign it
            signable = b""
        keys = [(key.public_key.keyid, key.sign(signable)) for key in self.repository.signers[role]]
        signatures = [{"keyid": keyid, "sig": signature.signature} for keyid, signature in keys]
        return b'{"signatures":' + encode(signatures) + b',"signed":' + signed + b"}"


def encode(value: object) -> bytes:
    """JSON as short as it goes."""
    return json.dumps(value, separators=(",", ":")).encode()


def json_target(read: Callable[[Any], object], seeds: list[bytes], declared: tuple[type[Exception], ...]) -> Target:
    """A reader of JSON that was parsed: what does not parse is refused before it."""

    def run(data: bytes) -> None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise declared[0](str(error)) from error
        read(value)

    return Target(seeds, run, declared, JSON_TOKENS, 0)


def tar_target(repository: SimulatedRepository) -> Target:
    """A repository's metadata in three forms of tar, read by a device from a file."""
    names = ["timestamp.json", f"{repository.snapshot.version}.snapshot.json"]
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=form) as tar:
            for name in (*(f"metadata/{name}" for name in names), f"targets/{LONG}"):
                info = tarfile.TarInfo(name)
                info.size = 300
                tar.addfile(info, io.BytesIO(repository.metadata_files["timestamp.json"][:300].ljust(300)))
        seeds.append(made.getvalue())
    path = in_memory() / "repository.tar"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        origin = TarOrigin(path)
        for name in names:
            origin.metadata(name, 10_000)
        with origin.flow(LONG, 0, 300) as flow:
            b"".join(flow.pieces)

    # Long enough for what lies behind the members too.
    return Target([seed[: fuzzing.MAX_BYTES] for seed in seeds], run, (NetworkError, VerificationError), TAR_TOKENS)


def delta_target() -> Target:
    """Patches of every codec between random files, and between two small artifacts; its first byte says for which."""
    draw = random.Random(0)
    old = draw.randbytes(3000) + bytes(1000)
    new = old[:1200] + b"something new" * 9 + bytes(value + 1 & 255 for value in old[1200:3500]) + old[3600:]
    pairs = [(old, new), (tiny(), tiny(offset=1.0))]
    seeds = [bytes([at]) + made.data for at, pair in enumerate(pairs) for made in make_delta(*pair, with_zstd=True)]

    def run(data: bytes) -> None:
        written = 0

        def write(piece: bytes) -> None:
            nonlocal written
            written += len(piece)

        header = apply_delta(Memory(pairs[data[0] % 2 if data else 0][0]), Memory(data[1:]), write)
        assert written == header.new_size

    return Target(seeds, run, (VerificationError,), TOKENS)


@functools.cache
def tiny(offset: float = 0.0) -> bytes:
    """A small artifact."""
    return write_tiny(in_memory() / "tiny.ewa", offset).read_bytes()


def unpacked() -> dict[str, bytes]:
    """Its members."""
    return dict(artifact_zip.unpack(tiny()))


def run_inside(data: bytes) -> None:
    """An artifact that is sealed and whole; `data` are its manifest, or its measurements where the first byte says so."""
    name = (MANIFEST, MEASUREMENTS)[data[0] % 2 if data else 0]
    try:
        content = dumps(json.loads(data[1:]))
    except Exception:  # what has no canonical form is put in as it is
        content = data[1:]
    members = {**unpacked(), name: content}
    del members[SEAL]
    sealed = dumps(seal(sealed_member(*item) for item in members.items()))
    vectors = read_artifact(artifact_zip.pack({**members, SEAL: sealed})).test_vectors
    assert vectors.samples == 5


def window() -> Window:
    """Counts of ten tensors."""
    tensors = tuple(tuple(range(12)) for _ in range(10))
    return Window("digits", SHA256, 10, 20, 1, 70, 70, 3, tuple(range(len(ERROR_KINDS))), tuple(range(LATENCY_BINS)), tensors)


def unpacked_batch() -> bytes:
    """A batch of two windows, the second of which is none, before it is compressed."""
    return zlib.decompress(Batch("a" * 8, ((1, window().encode()), (2, b"two"))).encode()[4:])


def run_batch(data: bytes) -> None:
    """A batch that unpacks to `data`, and the windows in it."""
    for _, one in Batch.decode(b"EWT1" + zlib.compress(data)).windows:
        try:
            Window.decode(one)
        except ProtocolError:
            continue


def live_target() -> Target:
    """A file of counts on a disk."""
    folder = in_memory()
    opened = live.create(folder, live.Head("digits", SHA256, (12, 34)), 1_700_000_000_000, 1)
    seed = bytes(opened.pages)
    live.close(opened)
    path = folder / "digits-1-1-1.closed"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        live.read(path)

    return Target([seed], run, (ProtocolError,), [*TOKENS, *JSON_TOKENS])


def journal_target() -> tuple[list[bytes], Callable[[bytes], object]]:
    """The text of a journal's record, sealed anew; the journal takes it, or tells that it is damaged."""
    disk = SimulatedDisk()
    Journal(disk, "digits").write(Record(slots={"a": SlotRecord(SHA256, "digits/pi/1", 1, True)}))
    paths = ["models/digits/journal.0", "models/digits/journal.1"]
    path = next(path for path in paths if disk.read(path).strip(b"\0"))
    whole = disk.read(path).rstrip(b"\0")
    size = len(digest(b""))

    def run(data: bytes) -> None:
        disk.write_range(path, 0, (digest(data).encode() + data).ljust(len(disk.read(path)), b"\0"))
        Journal(disk, "digits")

    return [whole[size:]], run


def sample() -> bytes:
    """A kept example that may leave its device."""
    about = {
        "artifact": SHA256, "at": 1.5, "confidence": 0.25, "consent": "somebody", "model": "digits", "predicted": 3,
        "reasons": ["random"], "upload": True,
    }  # fmt: skip
    return sample_file.pack({"input.x": np.arange(12, dtype=np.float32)}, about)


def bins() -> bytes:
    """The bins of an artifact, of several kinds."""
    edges, counts = (0.0, 0.5, 1.0), (0, 3, 4, 0)
    return encode_bins(
        [
            HistogramBins("x", "input", edges, counts, "column 3"),
            HistogramBins("x", "input", edges, counts, "missing"),
            HistogramBins("y", "confidence", edges, counts, "class 1", (0, 1, 4, 0)),
            HistogramBins("y", "prediction", edges, counts),
        ]
    )


def run_bench(data: bytes) -> None:
    """What a device tells of a measuring, or what it is asked; the first byte says which. What was read is written the same."""
    kind = Told if data[:1] == b"\0" else Next
    if kind.decode(data[1:]).encode() != data[1:]:
        raise AssertionError("it is written otherwise than it was read")


def messages_target() -> Target:
    """All messages; the first byte says which."""
    report = Report("d" * 8, "b" * 8, 1, "digits", SHA256, None, "Idle", "SUCCESSFUL", "", 12.0)
    body = b"{}"
    headers = sign("POST", "http://h/v1/reports?x=1", body, "device", 1.7e9, lambda data: hashlib.sha512(data).digest())
    kinds: list[tuple[bytes, Callable[[bytes], object]]] = [
        (report.encode(), Report.decode),
        (Answer(is_aborted=True).encode(), Answer.decode),
        (Assignment({"digits": Wanted("digits", SHA256, "digits/pi/1", 2, 60.0)}).encode(), Assignment.decode),
        (Enrolment("s" * 22, bytes(32), {"arch": "aarch64"}).encode(), Enrolment.decode),
        (Enrolled("d" * 16, "http://127.0.0.1/repo").encode(), Enrolled.decode),
        (NewKey(bytes(32), bytes(64)).encode(), NewKey.decode),
        (str(Token("s" * 22, SHA256)).encode(), lambda data: Token.parse(data.decode("utf-8", "replace"))),
        (
            json.dumps({name.lower(): value for name, value in headers.items()}).encode(),
            lambda data: read_claim("POST", "/v1/reports", "x=1", of_headers(data), body),
        ),
    ]

    def run(data: bytes) -> None:
        kinds[data[0] % len(kinds) if data else 0][1](data[1:])

    return Target([bytes([at]) + seed for at, (seed, _) in enumerate(kinds)], run, (ProtocolError,), JSON_TOKENS, 1)


def of_headers(data: bytes) -> dict[str, str]:
    """Header fields out of JSON; a server has parsed them before."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("no headers") from error
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


@functools.cache
def in_memory() -> Path:
    """A folder that no disk makes slow, where there is one."""
    fast = Path("/dev/shm")  # noqa: S108
    folder = tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else None)
    KEPT.append(folder)
    return Path(folder.name)


KEPT: list[tempfile.TemporaryDirectory[str]] = []

if __name__ == "__main__":
    logging.disable()  # of offers that are left out
    fuzzing.main(targets(), __doc__)
