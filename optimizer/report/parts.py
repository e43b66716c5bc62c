"""What a result is made of: records of numbers that tidy themselves, write themselves as JSON and come back from it.

Numbers are tidied when a record is made: numpy scalars become Python's, NaN and infinity become None, lists become tuples.
Shares and proportions are fractions (0.01 is one point); units are in the names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from ...core.errors import DataError

Status = Literal["passed", "failed", "undecided"]
GateStatus = Literal["passed", "failed", "undecided", "reported"]
MeasuredOn = Literal["target", "emulated", "reference"]
FlipKind = Literal["negative", "positive", "neither"]
Scalar = None | bool | int | float | str


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


def plain(value: Any) -> Any:
    """A tidy value as JSON: records as objects, tuples as lists."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
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
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}


def known_fields(kind: type[Record], value: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `value` that are fields of the record `kind`."""
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
        return Latency(**known_fields(Latency, value))


@dataclass(frozen=True)
class Speedup(Record):
    """How many times faster than the best float32, with a 95 % interval of interleaved runs."""

    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Speedup:
        """Inverse of `to_json`."""
        return Speedup(**known_fields(Speedup, value))


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
        return MetricValue(**known_fields(MetricValue, value))


@dataclass(frozen=True)
class Judgement(Record):
    """One gate's verdict on one slice (`slice` is None for all samples), as the judge wrote it.

    `measured`, `low`, `high`, `bound` and `threshold` are on the gate's own scale: the metric's change, its share of the
    reference's value, or its level. `low` and `high` are one-sided 1-`alpha` bounds, `bound` is the one that decides; `margin`
    is how much may be lost. `psi` is the share of samples that flipped. "reported" is a report-only gate: shown, never counted.
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
        return Judgement(**known_fields(Judgement, value))


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
        return OperatorTime(**known_fields(OperatorTime, value))


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
        return KeptFloat(**known_fields(KeptFloat, value))


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
        return Flip(**known_fields(Flip, value))


@dataclass(frozen=True)
class PassInfo(Record):
    """One pass of a variant: its text, seconds of wall time when it was carried out, and what it told."""

    text: str
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PassInfo:
        """Inverse of `to_json`."""
        return PassInfo(**known_fields(PassInfo, value))
