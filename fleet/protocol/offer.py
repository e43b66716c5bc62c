"""An offer: what the signed metadata tell of one artifact, so that a device can decide before it downloads.

It lies in the `custom` field of the artifact's TUF target. TUF's canonical JSON knows no fractions, so every number is an
integer: latencies travel in nanoseconds. `Offer.from_json` refuses what is unknown, missing, of another kind or too large.
The files beside an artifact (chunk list, bill of materials, provenance, patches) are targets of the same role, so that one
chain of signatures covers all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...core.artifact_json import Fields
from ...core.errors import ArtifactError, ProtocolError
from ...core.manifest import MEASURED_ON, MeasuredOn, Status

OFFER_VERSION = 1
CHUNK_BYTES = 64 << 10
DIGEST_BYTES = 32  # of one entry of a chunk list: SHA-256, raw
CANARY = "canary"  # the delegated role, and the first part of the names of its targets
ARTIFACT_SUFFIX = ".ewa"

MAX_VERSION = 10**9
MAX_TEXT = 300  # characters of a field
MAX_ITEMS = 256  # entries of a list
_MAX_COUNT = 2**53 - 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH = re.compile(rf"(?:{_NAME.pattern}/){{2,3}}[A-Za-z0-9][A-Za-z0-9._-]{{0,199}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATUSES = ("passed", "failed", "undecided")
_NANOSECONDS = 10**6  # in a millisecond


@dataclass(frozen=True)
class FileRef:
    """A file beside the artifact: its target name and SHA-256."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        """Raise ProtocolError for a path or digest that is none."""
        _check_path(self.path)
        _check_sha256(self.sha256)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {"path": self.path, "sha256": self.sha256}


@dataclass(frozen=True)
class Chunks(FileRef):
    """The chunk list: raw SHA-256 of each `chunk_bytes` of the artifact, one behind the other; the last chunk is shorter."""

    chunk_bytes: int = CHUNK_BYTES

    def __post_init__(self) -> None:
        """Raise ProtocolError for a chunk size out of range."""
        super().__post_init__()
        if not 4096 <= self.chunk_bytes <= 16 << 20:
            raise ProtocolError(f"the offer's chunks have {self.chunk_bytes} bytes; they have 4 KiB to 16 MiB.")

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {**super().to_json(), "chunk_bytes": self.chunk_bytes}


@dataclass(frozen=True)
class Delta:
    """A patch: makes the artifact out of the one with SHA-256 `from_sha256`; `codec` names how."""

    from_sha256: str
    path: str
    codec: str
    size_bytes: int

    def __post_init__(self) -> None:
        """Raise ProtocolError for a field out of range."""
        _check_sha256(self.from_sha256)
        _check_path(self.path)
        check_name("codec", self.codec)
        _check_count("size_bytes", self.size_bytes)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "codec": self.codec,
            "from_sha256": self.from_sha256,
            "path": self.path,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True)
class Latency:
    """Milliseconds a run, kept to the nanosecond; only those measured on the "target" are a promise."""

    p50_ms: float
    p99_ms: float
    measured_on: MeasuredOn

    def __post_init__(self) -> None:
        """Round to whole nanoseconds, as they travel; raises ProtocolError for what is no time."""
        for name in ("p50_ms", "p99_ms"):
            value = getattr(self, name)
            if not math.isfinite(value) or not 0 <= value <= 10**9:
                raise ProtocolError(f"the offer's latency {name} is {value!r}, which is no time of a run.")
            object.__setattr__(self, name, round(value * _NANOSECONDS) / _NANOSECONDS)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the times in nanoseconds."""
        return {
            "measured_on": self.measured_on,
            "p50_ns": round(self.p50_ms * _NANOSECONDS),
            "p99_ns": round(self.p99_ms * _NANOSECONDS),
        }


@dataclass(frozen=True)
class OfferedGate:
    """A gate's verdict in short; its figures are in the artifact's manifest and in the bill of materials."""

    gate: str
    status: Status
    slice: str | None
    report_only: bool

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {"gate": self.gate, "report_only": self.report_only, "slice": self.slice, "status": self.status}


@dataclass(frozen=True)
class Offer:
    """What a device needs to decide about one artifact.

    `version` is at least 1 and rises for each model and profile; the largest is the newest. `size_bytes` is the artifact's,
    `ram_bytes` how much the process grew by when it was measured, None where it was not. `operators` maps a set of operators
    ("ai.onnx", "opset") to its version, where the model file tells. `deltas` come in the order in which they were made. `bins`
    are those that devices count in, for who adds their counts up; offers from before there were such have none.
    """

    model: str
    version: int
    profile: str
    arch: str
    isa: tuple[str, ...]
    runtime: str
    runtime_version: str
    precision: str
    size_bytes: int
    content_digest: str
    ram_bytes: int | None = None
    latency: Latency | None = None
    gates: tuple[OfferedGate, ...] = ()
    bom: FileRef | None = None
    provenance: FileRef | None = None
    chunks: Chunks | None = None
    deltas: tuple[Delta, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    bins: FileRef | None = None

    def __post_init__(self) -> None:
        """Raise ProtocolError for a field that is too long or out of range."""
        check_model(self.model)
        check_name("profile", self.profile)
        check_version(self.version)
        _check_sha256(self.content_digest)
        _check_count("size_bytes", self.size_bytes)
        if self.ram_bytes is not None:
            _check_count("ram_bytes", self.ram_bytes)
        for name in ("arch", "runtime", "runtime_version", "precision"):
            _check_text(name, getattr(self, name))
        for name in ("isa", "gates", "deltas", "operators"):
            if len(getattr(self, name)) > MAX_ITEMS:
                raise ProtocolError(f"the offer has more than {MAX_ITEMS} {name}.")
        for text in (
            *self.isa,
            *self.operators,
            *(gate.gate for gate in self.gates),
            *(gate.slice or "" for gate in self.gates),
        ):
            _check_text("a name", text)
        for name, version in self.operators.items():
            _check_count(f"the version of {name!r}", version)

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields and `offer_version`; it holds no fraction."""
        told: dict[str, Any] = {} if self.bins is None else {"bins": self.bins.to_json()}
        return told | {
            "arch": self.arch,
            "bom": None if self.bom is None else self.bom.to_json(),
            "chunks": None if self.chunks is None else self.chunks.to_json(),
            "content_digest": self.content_digest,
            "deltas": [delta.to_json() for delta in self.deltas],
            "gates": [gate.to_json() for gate in self.gates],
            "isa": list(self.isa),
            "latency": None if self.latency is None else self.latency.to_json(),
            "model": self.model,
            "offer_version": OFFER_VERSION,
            "operators": dict(self.operators),
            "precision": self.precision,
            "profile": self.profile,
            "provenance": None if self.provenance is None else self.provenance.to_json(),
            "ram_bytes": self.ram_bytes,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "size_bytes": self.size_bytes,
            "version": self.version,
        }

    @staticmethod
    def from_json(value: Any) -> Offer:
        """Inverse of `to_json`; raises ProtocolError for another version and for any field that is not as it writes them."""
        try:
            offer = _read(Fields(value, "the offer"), has_bins=isinstance(value, dict) and "bins" in value)
        except ArtifactError as error:
            raise ProtocolError(str(error)) from error
        if offer.to_json() != value:
            raise ProtocolError("the offer has fields that this version does not know.")
        return offer


def target_name(model: str, profile: str, version: int, is_canary: bool = False) -> str:
    """Name of an artifact's target; raises ProtocolError for a part that may not stand in one."""
    check_model(model)
    check_name("profile", profile)
    check_version(version)
    folder = f"{CANARY}/" if is_canary else ""
    return f"{folder}{model}/{profile}/{version}{ARTIFACT_SUFFIX}"


def beside(artifact: str, ending: str) -> str:
    """Name of the target that lies beside the artifact's: "m/p/3.ewa" and "chunks" give "m/p/3.chunks"."""
    return f"{artifact.removesuffix(ARTIFACT_SUFFIX)}.{ending}"


def check_model(model: str) -> None:
    """Raise ProtocolError for a name that no model may have in a repository."""
    check_name("model", model)
    if model == CANARY:
        raise ProtocolError(f"a model cannot be called {CANARY!r}: that is the folder of the canary role; choose another name.")


def check_name(what: str, name: str) -> None:
    """Raise ProtocolError for what cannot be one part of a target's name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ProtocolError(
            f"the {what} {name[:MAX_TEXT]!r} cannot stand in a repository: use at most 100 letters, digits and . _ -, "
            "a letter or digit first."
        )


def check_version(version: int) -> None:
    """Raise ProtocolError for a version out of range."""
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= MAX_VERSION:
        raise ProtocolError(f"{version!r} is no version of a model; versions go from 1 to {MAX_VERSION:,}.")


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise ProtocolError(f"the offer names the file {path[:MAX_TEXT]!r}, which is no name of a target.")


def _check_sha256(value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise ProtocolError(f"the offer's digest {value[:MAX_TEXT]!r} is not a SHA-256 in lower-case hexadecimal.")


def _check_text(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ProtocolError(f"the offer's {name} has {len(text)} characters, more than the {MAX_TEXT} that it may have.")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise ProtocolError(f"the offer's {name} is {value!r}, which is no count.")


def _read(read: Fields, has_bins: bool) -> Offer:
    if read.count("offer_version") != OFFER_VERSION:
        raise ProtocolError(
            f"the offer is of version {read.count('offer_version')}, and this program reads version {OFFER_VERSION}; "
            "update edgewright on the device."
        )
    operators = read.object("operators")
    return Offer(
        model=read.text("model"),
        version=read.count("version"),
        profile=read.text("profile"),
        arch=read.text("arch"),
        isa=read.texts("isa"),
        runtime=read.text("runtime"),
        runtime_version=read.text("runtime_version"),
        precision=read.text("precision"),
        size_bytes=read.count("size_bytes"),
        content_digest=read.sha256("content_digest"),
        ram_bytes=read.optional_count("ram_bytes"),
        latency=None if read.is_null("latency") else _latency(read.object("latency")),
        gates=tuple(_gate(item) for item in _objects(read, "gates")),
        bom=None if read.is_null("bom") else _file(read.object("bom")),
        provenance=None if read.is_null("provenance") else _file(read.object("provenance")),
        chunks=None if read.is_null("chunks") else _chunks(read.object("chunks")),
        deltas=tuple(_delta(item) for item in _objects(read, "deltas")),
        operators={name: operators.count(name) for name in read.mapping("operators")},
        bins=_file(read.object("bins")) if has_bins else None,
    )


def _objects(read: Fields, key: str) -> list[Fields]:
    return [Fields(item, f"the offer, {key}[{index}]") for index, item in enumerate(read.items(key)[: MAX_ITEMS + 1])]


def _latency(read: Fields) -> Latency:
    measured_on = cast(MeasuredOn, read.choice("measured_on", MEASURED_ON))
    times = [read.count(name) for name in ("p50_ns", "p99_ns")]
    for nanoseconds in times:
        _check_count("latency", nanoseconds)
    return Latency(times[0] / _NANOSECONDS, times[1] / _NANOSECONDS, measured_on)


def _gate(read: Fields) -> OfferedGate:
    place = None if read.is_null("slice") else read.text("slice")
    return OfferedGate(read.text("gate"), cast(Status, read.choice("status", _STATUSES)), place, read.flag("report_only"))


def _file(read: Fields) -> FileRef:
    return FileRef(read.text("path"), read.sha256("sha256"))


def _chunks(read: Fields) -> Chunks:
    return Chunks(read.text("path"), read.sha256("sha256"), read.count("chunk_bytes"))


def _delta(read: Fields) -> Delta:
    return Delta(read.sha256("from_sha256"), read.text("path"), read.text("codec"), read.count("size_bytes"))
