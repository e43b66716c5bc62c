"""The manifest of an artifact: what it is, what it was made from, and what proved it, as frozen records.

`Manifest.to_json` and `Manifest.from_json` are inverses to the byte of their canonical JSON: a field that is missing, of
another kind, or unknown is refused. The JSON schema is docs/schema/manifest.schema.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from .artifact_arrays import DTYPES
from .artifact_json import Fields
from .errors import ArtifactError
from .executor import TensorSpec
from .statistic import VALUES, Statistic

MANIFEST_VERSION = 1

Status = Literal["passed", "failed", "undecided"]
MeasuredOn = Literal["target", "emulated", "reference"]
BinKind = Literal["input", "output", "confidence", "prediction"]

_STATUSES = ("passed", "failed", "undecided")
_PRECISIONS = ("float32", "float16", "int8")
MEASURED_ON = ("target", "emulated", "reference")
_BIN_KINDS = ("input", "output", "confidence", "prediction")
_GATE_NUMBERS = ("measured", "reference", "candidate", "low", "high", "bound", "margin", "threshold", "alpha", "psi")


class _Record:
    """Base of the records: their fields as a JSON object."""

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(cast(Any, self))}


def _plain(value: Any) -> Any:
    if isinstance(value, (_Record, TensorSpec)):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _floats(record: Any, *names: str) -> None:
    """Turn the named numbers of a frozen record into finite floats, so that they are written in one way."""
    for name in names:
        value = getattr(record, name)
        if value is None:
            continue
        if not isinstance(value, float) and not hasattr(value, "__float__"):
            raise ArtifactError(f"{type(record).__name__}.{name} is {value!r}, which is no number.")
        if not math.isfinite(value):
            raise ArtifactError(f"{type(record).__name__}.{name} is {value!r}; an artifact holds finite numbers or null.")
        object.__setattr__(record, name, float(value))


@dataclass(frozen=True)
class Member(_Record):
    """A member of the artifact: name, number of bytes, SHA-256."""

    name: str
    bytes: int
    sha256: str

    @staticmethod
    def from_json(value: Fields) -> Member:
        """Inverse of `to_json`."""
        return Member(value.text("name"), value.count("bytes"), value.sha256("sha256"))


@dataclass(frozen=True)
class SourceRecord(_Record):
    """The trained model: `format` as ingested ("onnx", "torch", "keras"), `digest` of its file or state."""

    name: str
    format: str
    digest: str

    @staticmethod
    def from_json(value: Fields) -> SourceRecord:
        """Inverse of `to_json`."""
        return SourceRecord(value.text("name"), value.text("format"), value.sha256("digest"))


@dataclass(frozen=True)
class DataRecord(_Record):
    """The data set: digest of content and preprocessing, number of samples by split."""

    name: str
    digest: str
    splits: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def from_json(value: Fields) -> DataRecord:
        """Inverse of `to_json`."""
        splits = value.object("splits")
        counts = {name: splits.count(name) for name in value.mapping("splits")}
        return DataRecord(value.text("name"), value.sha256("digest"), counts)


@dataclass(frozen=True)
class TargetRecord(_Record):
    """The device profile that the model was compiled for; `isa` sorted, in Linux' names; `threads` that the runtime gets."""

    profile: str
    arch: str
    isa: tuple[str, ...]
    threads: int

    def __post_init__(self) -> None:
        """Sort the instruction sets, so that a set of them is written in one way."""
        object.__setattr__(self, "isa", tuple(sorted(self.isa)))

    @staticmethod
    def from_json(value: Fields) -> TargetRecord:
        """Inverse of `to_json`."""
        return TargetRecord(value.text("profile"), value.text("arch"), value.texts("isa"), value.count("threads"))


@dataclass(frozen=True)
class RuntimeRecord(_Record):
    """The runtime that the files are for, and its version when they were judged."""

    name: str
    version: str

    @staticmethod
    def from_json(value: Fields) -> RuntimeRecord:
        """Inverse of `to_json`."""
        return RuntimeRecord(value.text("name"), value.text("version"))


@dataclass(frozen=True)
class GateRecord(_Record):
    """A gate's verdict on the `accept` split; `slice` is None for all samples.

    `measured` is what is held against `margin` or `threshold`, [`low`, `high`] its one-sided bounds at level `alpha` and
    `bound` the one that decides; `reference` and `candidate` are the metric of each. `psi` is the share of samples that
    flipped, `negative_flips` how many went from right to wrong. `report_only` gates do not bind the release.
    """

    gate: str
    status: Status
    slice: str | None = None
    report_only: bool = False
    measured: float | None = None
    reference: float | None = None
    candidate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    margin: float | None = None
    threshold: float | None = None
    alpha: float | None = None
    psi: float | None = None
    negative_flips: int | None = None
    n: int | None = None
    n_needed: int | None = None
    why: str = ""
    measured_on: MeasuredOn | None = None

    def __post_init__(self) -> None:
        """Make the numbers finite floats; raises ArtifactError."""
        _floats(self, *_GATE_NUMBERS)

    @staticmethod
    def from_json(value: Fields) -> GateRecord:
        """Inverse of `to_json`."""
        return GateRecord(
            gate=value.text("gate"),
            status=cast(Status, value.choice("status", _STATUSES)),
            slice=None if value.is_null("slice") else value.text("slice"),
            report_only=value.flag("report_only"),
            n=value.optional_count("n"),
            n_needed=value.optional_count("n_needed"),
            why=value.text("why"),
            measured_on=cast(MeasuredOn | None, value.optional_choice("measured_on", MEASURED_ON)),
            negative_flips=value.optional_count("negative_flips"),
            **{name: value.optional_number(name) for name in _GATE_NUMBERS},
        )


@dataclass(frozen=True)
class HistogramBins(_Record):
    """Bins that a device counts in: [e0, e1), ..., [en-1, en], below and above beside them.

    `statistic` says what is counted of the tensor (core/statistic.py). `counts` are the compile-time reference, first what lies
    below e0 and last what lies above en: len(edges) + 1 of them. `correct` says of how many of each the class was right, on
    labelled data; of confidence only. `surplus`, of what is counted once a sample, is for each of `counts` by how many more of
    them the class was right than their confidence promised (stats/confidence_shift.py).
    """

    tensor: str
    kind: BinKind
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    statistic: str = VALUES
    correct: tuple[int, ...] | None = None
    surplus: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check that edges rise and that counts fit them; raises ArtifactError."""
        Statistic.parse(self.statistic, self.kind)
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        object.__setattr__(self, "counts", tuple(int(count) for count in self.counts))
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        if len(self.edges) < 2 or not rising or not all(map(math.isfinite, self.edges)):
            raise ArtifactError(f"the bins of {self.tensor!r} need two or more finite edges that rise.")
        if len(self.counts) != len(self.edges) + 1 or min(self.counts) < 0:
            raise ArtifactError(f"the bins of {self.tensor!r} need one count more than edges, none of them negative.")
        if self.surplus is not None:
            object.__setattr__(self, "surplus", tuple(float(item) for item in self.surplus))
            if len(self.surplus) != len(self.counts) or not all(map(math.isfinite, self.surplus)):
                raise ArtifactError(f"the bins of {self.tensor!r} need a finite surplus for each count, or none.")
        if self.correct is None:
            return
        object.__setattr__(self, "correct", tuple(int(count) for count in self.correct))
        fits = len(self.correct) == len(self.counts) and all(
            0 <= a <= b for a, b in zip(self.correct, self.counts, strict=True)
        )
        if self.kind != "confidence" or not fits:
            raise ArtifactError(f"the bins of {self.tensor!r} are right more often than they count, or are none of confidence.")

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields; `statistic`, `correct` and `surplus` where they say something."""
        value = super().to_json()
        silent = {"statistic": VALUES, "correct": None, "surplus": None}
        return {name: item for name, item in value.items() if name not in silent or item != silent[name]}

    @staticmethod
    def from_json(value: Fields) -> HistogramBins:
        """Inverse of `to_json`."""
        return HistogramBins(
            value.text("tensor"),
            cast(BinKind, value.choice("kind", _BIN_KINDS)),
            value.numbers("edges"),
            value.counts("counts"),
            value.text("statistic") if value.has("statistic") else VALUES,
            value.counts("correct") if value.has("correct") else None,
            value.numbers("surplus") if value.has("surplus") else None,
        )


@dataclass(frozen=True)
class Tolerance(_Record):
    """How far an output may lie from what is expected: absolute + relative * |expected|, in the output's own unit."""

    absolute: float
    relative: float

    def __post_init__(self) -> None:
        """Check that both are finite and not negative; raises ArtifactError."""
        _floats(self, "absolute", "relative")
        if self.absolute < 0 or self.relative < 0:
            raise ArtifactError("test vectors need tolerances that are not negative.")

    def __str__(self) -> str:
        return f"{self.absolute:g} + {self.relative:g} |expected|"

    @staticmethod
    def from_json(value: Fields) -> Tolerance:
        """Inverse of `to_json`."""
        return Tolerance(value.number("absolute"), value.number("relative"))


@dataclass(frozen=True)
class VectorsRecord(_Record):
    """Test vectors: `samples` of each input, and a tolerance for each output, in the order of the manifest's `outputs`.

    `arithmetic` says in words whose kernels gave the expected outputs ("onnxruntime 1.32.0 on x86_64 with avx2").
    """

    samples: int
    tolerances: tuple[Tolerance, ...]
    arithmetic: str

    def __post_init__(self) -> None:
        """Check that there is a sample; raises ArtifactError."""
        if self.samples < 1:
            raise ArtifactError("test vectors need a sample.")

    @staticmethod
    def from_json(value: Fields) -> VectorsRecord:
        """Inverse of `to_json`."""
        items = [Fields(item, "the manifest, a tolerance") for item in value.items("tolerances")]
        tolerances = tuple(Tolerance.from_json(item) for item in items)
        return VectorsRecord(value.count("samples"), tolerances, value.text("arithmetic"))


@dataclass(frozen=True)
class Manifest(_Record):
    """Everything about an artifact but its files and its timings.

    `entry` is the file among the model's that the runtime is pointed at. `preprocessing` is the data set's declaration,
    `ledger` the extract of looks at `accept`, both JSON of their makers. `versions` maps package to version. `measured_on`
    says whose kernels judged it; None where nothing could be measured. `test_vectors` and `members` are filled by the writer.
    """

    name: str
    source: SourceRecord
    data: DataRecord
    pipeline: str
    precision: str
    target: TargetRecord
    runtime: RuntimeRecord
    entry: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    gates: tuple[GateRecord, ...]
    versions: Mapping[str, str]
    measured_on: MeasuredOn | None
    seed: int = 0
    preprocessing: Any = None
    ledger: Any = None
    histograms: tuple[HistogramBins, ...] = ()
    test_vectors: VectorsRecord | None = None
    members: tuple[Member, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields and `manifest_version`."""
        return {"manifest_version": MANIFEST_VERSION, **super().to_json()}

    @staticmethod
    def from_json(value: Any) -> Manifest:
        """Inverse of `to_json`; raises ArtifactError for another version and for a field that is missing or of another kind."""
        read = Fields(value, "the manifest")
        if read.count("manifest_version") != MANIFEST_VERSION:
            raise ArtifactError(
                f"the manifest is of version {read.count('manifest_version')}, and this program reads version "
                f"{MANIFEST_VERSION}; use the edgewright that compiled it, or compile again."
            )
        versions = read.object("versions")
        return Manifest(
            name=read.text("name"),
            source=SourceRecord.from_json(read.object("source")),
            data=DataRecord.from_json(read.object("data")),
            pipeline=read.text("pipeline"),
            precision=read.choice("precision", _PRECISIONS),
            target=TargetRecord.from_json(read.object("target")),
            runtime=RuntimeRecord.from_json(read.object("runtime")),
            entry=read.text("entry"),
            inputs=_specs(read, "inputs"),
            outputs=_specs(read, "outputs"),
            gates=tuple(GateRecord.from_json(item) for item in _objects(read, "gates")),
            versions={name: versions.text(name) for name in read.mapping("versions")},
            measured_on=cast(MeasuredOn | None, read.optional_choice("measured_on", MEASURED_ON)),
            seed=read.count("seed"),
            preprocessing=read.any("preprocessing"),
            ledger=read.any("ledger"),
            histograms=tuple(HistogramBins.from_json(item) for item in _objects(read, "histograms")),
            test_vectors=VectorsRecord.from_json(read.object("test_vectors")),
            members=tuple(Member.from_json(item) for item in _objects(read, "members")),
        )

    def check(self) -> None:
        """What must hold beyond the kinds of the fields; raises ArtifactError.

        Fails closed: a manifest without a binding gate, or with one that did not pass, is none of a released model.
        """
        if all(gate.report_only for gate in self.gates):
            raise ArtifactError("the manifest has no verdict of a binding gate; only what a gate judged may be released.")
        for gate in self.gates:
            if gate.status != "passed" and not gate.report_only:
                place = f" on {gate.slice!r}" if gate.slice is not None else ""
                raise ArtifactError(f"gate {gate.gate!r}{place} is {gate.status}; only what passed may be released.")
        for what, specs in (("input", self.inputs), ("output", self.outputs)):
            names = [spec.name for spec in specs]
            if not names or len(set(names)) != len(names):
                raise ArtifactError(f"the manifest needs one or more {what}s, each with a name of its own.")
        if self.test_vectors is not None and len(self.test_vectors.tolerances) != len(self.outputs):
            raise ArtifactError(
                f"the manifest has {len(self.outputs)} outputs and {len(self.test_vectors.tolerances)} tolerances; "
                "each output has one."
            )


def _objects(read: Fields, key: str) -> list[Fields]:
    return [Fields(item, f"the manifest, {key}[{index}]") for index, item in enumerate(read.items(key))]


def _specs(read: Fields, key: str) -> tuple[TensorSpec, ...]:
    """Tensor specifications with known types and sizes that are counts or free."""
    specs: list[TensorSpec] = []
    for item in _objects(read, key):
        sizes = item.items("shape")
        for size in sizes:
            if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
                raise ArtifactError(f"the manifest, {key}: {size!r} is not a size.")
        specs.append(TensorSpec(item.text("name"), item.choice("dtype", DTYPES), tuple(sizes)))
    return tuple(specs)
