"""The result of a compile as data: frozen records that become report.json and come back from it unchanged.

Numbers are tidied when a record is made: numpy scalars become Python's, NaN and infinity become None, lists become tuples.
Shares and proportions are fractions (0.01 is one point); units are in the names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from ...core.errors import DataError

Status = Literal["passed", "failed", "undecided"]
GateStatus = Literal["passed", "failed", "undecided", "reported"]
MeasuredOn = Literal["target", "emulated", "reference"]
FlipKind = Literal["negative", "positive", "neither"]
Scalar = None | bool | int | float | str

REPORT_VERSION = 1
MAX_FLIPS = 100


def _tidy(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str, Record)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _tidy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_tidy(item) for item in value)
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        return _tidy(value.item())
    raise DataError(f"a report cannot hold a {type(value).__name__}; give numbers, text, lists and mappings of them.")


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Record:
    """Base of the records: tidies its fields and writes them as a JSON object."""

    def __post_init__(self) -> None:
        """Make the fields plain and finite; raises DataError for what JSON cannot hold."""
        for item in fields(self):
            object.__setattr__(self, item.name, _tidy(getattr(self, item.name)))

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields; every number is finite."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _known(kind: type[Record], value: Mapping[str, Any]) -> dict[str, Any]:
    return {item.name: value[item.name] for item in fields(kind) if item.name in value}


@dataclass(frozen=True)
class Latency(Record):
    """Percentiles of one inference in milliseconds."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Latency:
        """Inverse of `to_json`."""
        return Latency(**_known(Latency, value))


@dataclass(frozen=True)
class Speedup(Record):
    """How many times faster than the best float32, with a 95 % interval of interleaved runs."""

    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Speedup:
        """Inverse of `to_json`."""
        return Speedup(**_known(Speedup, value))


@dataclass(frozen=True)
class MetricValue(Record):
    """A metric of reference and candidate; `low` and `high` bound what the gate measures (mostly the difference)."""

    reference: float | None = None
    candidate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> MetricValue:
        """Inverse of `to_json`."""
        return MetricValue(**_known(MetricValue, value))


@dataclass(frozen=True)
class Judgement(Record):
    """One gate's verdict on one slice (`slice` is None for all samples), as the judge wrote it.

    `measured`, `low`, `high`, `bound` and `threshold` are on the gate's own scale: the metric's change, its share of the
    reference's value, or its level. `low` and `high` are one-sided 1-`alpha` bounds and `bound` the one that decides; `margin` is
    how much may be lost. `psi` is the share of samples that flipped. "reported" is a report-only gate: shown, never counted.
    """

    metric: str
    status: GateStatus
    gate: str = ""
    slice: str | None = None
    measured: float | None = None
    reference: float | None = None
    candidate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    threshold: float | None = None
    margin: float | None = None
    alpha: float | None = None
    n: int | None = None
    n_needed: int | None = None
    psi: float | None = None
    negative_flips: int | None = None
    why: str = ""
    measured_on: MeasuredOn | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Judgement:
        """A judgement from its JSON object or from a gate verdict's; keys that a report does not show are left out."""
        return Judgement(**_known(Judgement, value))


@dataclass(frozen=True)
class OperatorTime(Record):
    """Median time of one operator; `share` is its fraction of the whole inference."""

    name: str
    type: str
    microseconds: float | None = None
    share: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> OperatorTime:
        """Inverse of `to_json`."""
        return OperatorTime(**_known(OperatorTime, value))


def operator_times(rows: Sequence[tuple[str, str, float]]) -> tuple[OperatorTime, ...]:
    """A runtime's (name, type, microseconds) with shares, the slowest first."""
    total = math.fsum(row[2] for row in rows if math.isfinite(row[2]))
    made = [OperatorTime(name, kind, time, time / total if total > 0 else None) for name, kind, time in rows]
    return tuple(sorted(made, key=lambda row: -(row.microseconds or 0.0)))


@dataclass(frozen=True)
class KeptFloat(Record):
    """A layer that stayed in float, and why."""

    node: str
    type: str
    why: str

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> KeptFloat:
        """Inverse of `to_json`."""
        return KeptFloat(**_known(KeptFloat, value))


@dataclass(frozen=True)
class Flip(Record):
    """A sample that reference and candidate answer differently: negative (right before, wrong now), positive, neither."""

    index: int
    label: Scalar
    reference: Scalar
    candidate: Scalar
    kind: FlipKind

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Flip:
        """Inverse of `to_json`."""
        return Flip(**_known(Flip, value))


@dataclass(frozen=True)
class Candidate(Record):
    """One runtime and precision that was tried for a profile.

    `variant` tells two candidates of the same runtime and precision apart. `split` names the data that judged it. `missing`
    gives the reason for each field that could not be had ("latency_ms": "no such board here"). Of `flips` the first
    `MAX_FLIPS` are kept; `flips_total` counts all.
    """

    runtime: str
    precision: str
    verdict: Status
    why: str = ""
    variant: str = ""
    measured_on: MeasuredOn | None = None
    split: str | None = None
    size_bytes: int | None = None
    ram_bytes: int | None = None
    latency_ms: Latency | None = None
    speedup: Speedup | None = None
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    verdicts: tuple[Judgement, ...] = ()
    help: tuple[str, ...] = ()
    operators: tuple[OperatorTime, ...] = ()
    kept_float: tuple[KeptFloat, ...] = ()
    supports: Mapping[str, int] = field(default_factory=dict)
    flips: tuple[Flip, ...] = ()
    flips_total: int | None = None
    seconds: float | None = None
    pipeline: str = ""
    digest: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Tidy, take the judge's own verdicts, and keep the list of flips bounded."""
        verdicts = tuple(item if isinstance(item, Record) else Judgement.from_json(_as_json(item)) for item in self.verdicts)
        object.__setattr__(self, "verdicts", verdicts)
        super().__post_init__()
        if self.flips_total is None:
            object.__setattr__(self, "flips_total", len(self.flips))
        object.__setattr__(self, "flips", self.flips[:MAX_FLIPS])

    @property
    def key(self) -> str:
        """Name within the profile: "litert/int8" or "litert/int8/variant"."""
        return "/".join(part for part in (self.runtime, self.precision, self.variant) if part)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Candidate:
        """Inverse of `to_json`."""
        known = _known(Candidate, value)
        known["latency_ms"] = Latency.from_json(value["latency_ms"]) if value.get("latency_ms") else None
        known["speedup"] = Speedup.from_json(value["speedup"]) if value.get("speedup") else None
        known["metrics"] = {name: MetricValue.from_json(item) for name, item in value.get("metrics", {}).items()}
        known["verdicts"] = tuple(Judgement.from_json(item) for item in value.get("verdicts", ()))
        known["operators"] = tuple(OperatorTime.from_json(item) for item in value.get("operators", ()))
        known["kept_float"] = tuple(KeptFloat.from_json(item) for item in value.get("kept_float", ()))
        known["flips"] = tuple(Flip.from_json(item) for item in value.get("flips", ()))
        return Candidate(**known)


def _as_json(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value if isinstance(value, Mapping) else value.to_json())


_OUTCOME = ("runtime", "precision", "size_bytes", "ram_bytes", "latency_ms", "speedup", "metrics", "verdicts")


@dataclass(frozen=True)
class TargetReport(Record):
    """What one profile gets. `chosen` is the key of the released candidate or None; `baseline` that of the best float32.

    The released candidate's figures are repeated at the top of the JSON object. `conditions` says how latency was measured.
    """

    profile: str
    verdict: Status
    candidates: tuple[Candidate, ...] = ()
    chosen: str | None = None
    artifact: str | None = None
    why: str = ""
    title: str = ""
    baseline: str | None = None
    measured_on: MeasuredOn | None = None
    help: tuple[str, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check that what is named is there; raises DataError."""
        super().__post_init__()
        keys = [candidate.key for candidate in self.candidates]
        if len(set(keys)) != len(keys):
            raise DataError(f"two candidates of profile {self.profile!r} share a name; give them different variants.")
        for name in ("chosen", "baseline"):
            if getattr(self, name) is not None and getattr(self, name) not in keys:
                raise DataError(f"{name} of profile {self.profile!r} is {getattr(self, name)!r}, which is no candidate of it.")
        if self.chosen is not None and self.verdict != "passed":
            raise DataError(
                f"profile {self.profile!r} releases {self.chosen!r} with verdict {self.verdict!r}; only a pass may."
            )

    @property
    def released(self) -> bool:
        """Whether there is an artifact for this profile."""
        return self.chosen is not None

    @property
    def winner(self) -> Candidate | None:
        """The released candidate."""
        return self._find(self.chosen)

    @property
    def reference(self) -> Candidate | None:
        """The best float32 candidate, against which sizes and speed-ups are told."""
        return self._find(self.baseline)

    def _find(self, key: str | None) -> Candidate | None:
        return next((candidate for candidate in self.candidates if candidate.key == key), None)

    def to_json(self) -> dict[str, Any]:
        """The target's object in report.json."""
        own = super().to_json()
        winner = self.winner
        outcome = {name: _plain(getattr(winner, name)) if winner else None for name in _OUTCOME}
        if winner is None:
            outcome |= {"metrics": {}, "verdicts": []}
        own["candidates"] = [
            {
                **_plain(candidate),
                "profile": self.profile,
                "released": candidate.key == self.chosen,
                "artifact": self.artifact if candidate.key == self.chosen else None,
            }
            for candidate in self.candidates
        ]
        return {**own, **outcome, "released": self.released}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TargetReport:
        """Inverse of `to_json`."""
        known = _known(TargetReport, value)
        known["candidates"] = tuple(Candidate.from_json(item) for item in value["candidates"])
        return TargetReport(**known)


@dataclass(frozen=True)
class ModelInfo(Record):
    """The source model; `digest` is SHA-256 of its file, `format` as ingested ("onnx", "torch", "keras")."""

    name: str
    digest: str
    format: str
    parameters: int | None = None
    macs: int | None = None
    weight_bytes: int | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ModelInfo:
        """Inverse of `to_json`."""
        return ModelInfo(**_known(ModelInfo, value))


@dataclass(frozen=True)
class DataInfo(Record):
    """The data set and the number of samples in each split."""

    name: str
    digest: str
    splits: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DataInfo:
        """Inverse of `to_json`."""
        return DataInfo(**_known(DataInfo, value))


@dataclass(frozen=True)
class CompileReport(Record):
    """Everything that a compile found: report.json is this, report.html shows it.

    `gates` are the gates' texts, `versions` package to version, `ledger` the looks at the accepting split, `machine` what it
    was measured with (CPU, flags, threads), `notes` what the reader should know.
    """

    model: ModelInfo
    data: DataInfo
    gates: tuple[str, ...] = ()
    targets: tuple[TargetReport, ...] = ()
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of report.json (docs/schema/report.schema.json)."""
        return {"report_version": REPORT_VERSION, **super().to_json()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CompileReport:
        """Inverse of `to_json`; raises DataError when `value` is no report of a known version."""
        if not isinstance(value, Mapping) or value.get("report_version") != REPORT_VERSION:
            raise DataError(f"this is no report of version {REPORT_VERSION}; give a report.json that this version wrote.")
        try:
            known = _known(CompileReport, value)
            known["model"] = ModelInfo.from_json(value["model"])
            known["data"] = DataInfo.from_json(value["data"])
            known["targets"] = tuple(TargetReport.from_json(item) for item in value["targets"])
            return CompileReport(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the report lacks or mistypes {error}; write it again with a compile.") from error
