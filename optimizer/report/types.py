"""The result of a compile as data: what report.json is written from and read back into, unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...core.errors import DataError
from .parts import (
    Flip,
    Judgement,
    KeptFloat,
    Latency,
    MeasuredOn,
    MetricValue,
    OperatorTime,
    PassInfo,
    Record,
    Speedup,
    Status,
    known_fields,
    plain,
)

REPORT_VERSION = 1
MAX_FLIPS = 100


@dataclass(frozen=True)
class Candidate(Record):
    """One runtime and precision that was tried for a profile.

    `variant` tells two candidates of the same runtime and precision apart. `split` names the data that judged it. `missing`
    gives the reason for each field that could not be had ("latency_ms": "no such board here"). Of `flips` the first
    `MAX_FLIPS` are kept; `flips_total` counts all. `compressed_bytes` is what a download of the files costs: zlib, level 9.
    """

    runtime: str
    precision: str
    verdict: Status
    why: str = ""
    variant: str = ""
    measured_on: MeasuredOn | None = None
    split: str | None = None
    size_bytes: int | None = None
    compressed_bytes: int | None = None
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
        known = known_fields(Candidate, value)
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


_OUTCOME = (
    "runtime",
    "precision",
    "size_bytes",
    "compressed_bytes",
    "ram_bytes",
    "latency_ms",
    "speedup",
    "metrics",
    "verdicts",
)


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
        winner = self.winner
        if winner is None:
            return
        if self.verdict != "passed" or winner.verdict != "passed":
            raise DataError(f"profile {self.profile!r} releases {self.chosen!r}, which did not pass; only a pass may.")
        if self.measured_on is None:
            object.__setattr__(self, "measured_on", winner.measured_on)

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
        outcome = {name: plain(getattr(winner, name)) if winner else None for name in _OUTCOME}
        if winner is None:
            outcome |= {"metrics": {}, "verdicts": []}
        own["candidates"] = [
            {
                **plain(candidate),
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
        known = known_fields(TargetReport, value)
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
        return ModelInfo(**known_fields(ModelInfo, value))


@dataclass(frozen=True)
class DataInfo(Record):
    """The data set and the number of samples in each split."""

    name: str
    digest: str
    splits: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DataInfo:
        """Inverse of `to_json`."""
        return DataInfo(**known_fields(DataInfo, value))


@dataclass(frozen=True)
class VariantInfo(Record):
    """One way to candidates beside the plain model: its pipeline, what its passes did, and how large its float model is.

    `why` tells how it broke, where it did; then it has no candidates.
    """

    name: str
    pipeline: str
    why: str = ""
    passes: tuple[PassInfo, ...] = ()
    parameters: int | None = None
    macs: int | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> VariantInfo:
        """Inverse of `to_json`."""
        known = known_fields(VariantInfo, value)
        known["passes"] = tuple(PassInfo.from_json(item) for item in value.get("passes", ()))
        return VariantInfo(**known)


@dataclass(frozen=True)
class CompileReport(Record):
    """Everything that a compile found: report.json is this, report.html shows it.

    `gates` are the gates' texts, `versions` package to version, `ledger` the looks at the accepting split, `machine` what it
    was measured with (CPU, flags, threads), `notes` what the reader should know, `variants` what was tried beside the plain
    model.
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
    variants: tuple[VariantInfo, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of report.json (docs/schema/report.schema.json)."""
        return {"report_version": REPORT_VERSION, **super().to_json()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CompileReport:
        """Inverse of `to_json`; raises DataError when `value` is no report of a known version."""
        if not isinstance(value, Mapping) or value.get("report_version") != REPORT_VERSION:
            raise DataError(f"this is no report of version {REPORT_VERSION}; give a report.json that this version wrote.")
        try:
            known = known_fields(CompileReport, value)
            known["model"] = ModelInfo.from_json(value["model"])
            known["data"] = DataInfo.from_json(value["data"])
            known["targets"] = tuple(TargetReport.from_json(item) for item in value["targets"])
            known["variants"] = tuple(VariantInfo.from_json(item) for item in value.get("variants", ()))
            return CompileReport(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the report lacks or mistypes {error}; write it again with a compile.") from error
