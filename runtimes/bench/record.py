"""What `edgewright bench` writes and `edgewright bench compare` reads: docs/schema/bench-1.json."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...core.errors import DataError
from ...core.manifest import MEASURED_ON, MeasuredOn
from .measurement import Measurement

SCHEMA = "edgewright-bench-1"
HERE, EMULATED = "here", "emulated"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Figure:
    """A metric on data: `value` with its two-sided interval [`low`, `high`] at `confidence`, over `n` samples.

    The bounds are None where a metric has none. `measured_on` says whose kernels gave the answers.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float
    n: int
    measured_on: MeasuredOn | None = None


@dataclass(frozen=True)
class BenchResult:
    """One file measured once: where, with which threads and batch, and what came of it.

    `name` is the model's (an artifact's own, else the file's stem), `sha256` and `bytes` are the file's, with the weights of an
    .xml. `measured_on` is what the latency is worth for the profile `profile`, None where it is worth nothing or none
    is named. `place` is "here", a device's name, or "emulated"; an emulation has no `measurement`. `accuracy` goes by metric.
    `operators`, `cost`, `rules`, `against` and `health` are JSON objects as docs/schema/bench-1.json has them, or None.
    """

    file: str
    name: str
    sha256: str
    bytes: int
    runtime: str
    measured_on: MeasuredOn | None
    place: str
    threads: int
    batch: int
    profile: str | None = None
    measurement: Measurement | None = None
    accuracy: Mapping[str, Figure] | None = None
    operators: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    rules: Mapping[str, Any] | None = None
    against: Mapping[str, Any] | None = None
    health: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object; what an optional member does not say is left out."""
        value: dict[str, Any] = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        if self.measurement is not None:
            value["measurement"] = self.measurement.to_json()
        if self.accuracy is not None:
            value["accuracy"] = {name: dataclasses.asdict(figure) for name, figure in self.accuracy.items()}
        return {name: item for name, item in value.items() if item is not None or name == "measured_on"}

    @staticmethod
    def from_json(value: Any) -> BenchResult:
        """Inverse of `to_json`; raises DataError."""
        kinds: dict[str, type | tuple[type, ...]] = {
            **dict.fromkeys(("file", "name", "sha256", "runtime", "place"), str),
            **dict.fromkeys(("bytes", "threads", "batch"), int),
        }
        optional: dict[str, type] = {
            "profile": str,
            **dict.fromkeys(("measurement", "accuracy", "operators", "cost", "rules", "against", "health"), dict),
        }
        given = _members(value, "a result", {*kinds, "measured_on"}, set(optional))
        for name, kind in {**kinds, **{name: kind for name, kind in optional.items() if name in given}}.items():
            if not isinstance(given[name], kind) or isinstance(given[name], bool):
                raise DataError(
                    f"the member {name!r} of a result is {str(given[name])[:40]!r}; measure again with this version."
                )
        given["measured_on"] = _measured_on(given["measured_on"])
        if "measurement" in given:
            given["measurement"] = Measurement.from_json(given["measurement"])
        if "accuracy" in given:
            given["accuracy"] = {str(name): _figure(item) for name, item in given["accuracy"].items()}
        return BenchResult(**given)


@dataclass(frozen=True)
class Spread:
    """How one figure of the same file, runtime, threads and batch differs between `n` results: its least, median and most."""

    name: str
    sha256: str
    runtime: str
    threads: int
    batch: int
    profile: str | None
    figure: str
    n: int
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class BenchReport:
    """All results of one command, and their spread where a file was measured in several places."""

    results: tuple[BenchResult, ...]
    spread: tuple[Spread, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """JSON object of the schema `edgewright-bench-1`."""
        return {
            "schema": SCHEMA,
            "results": [item.to_json() for item in self.results],
            "spread": [dataclasses.asdict(item) for item in self.spread],
        }

    @staticmethod
    def from_json(value: Any) -> BenchReport:
        """Inverse of `to_json`; raises DataError."""
        if not isinstance(value, Mapping) or value.get("schema") != SCHEMA:
            raise DataError(f"this is no report of `edgewright bench` (schema {SCHEMA!r}); give what its --json wrote.")
        given = _members(value, "a report", {"schema", "results", "spread"}, set())
        if not isinstance(given["results"], list) or not isinstance(given["spread"], list):
            raise DataError("results and spread of a report are lists; measure again with this version.")
        return BenchReport(
            tuple(BenchResult.from_json(item) for item in given["results"]), tuple(_spread(item) for item in given["spread"])
        )


def read_report(path: Path) -> BenchReport:
    """The report in a file; raises DataError."""
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise DataError(f"{path} has {len(data)} bytes, more than {_MAX_BYTES}; it is no report of `edgewright bench`.")
        return BenchReport.from_json(json.loads(data))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON; give what `edgewright bench --json` wrote.") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


FIGURES = ("p50_ms", "p90_ms", "p99_ms", "throughput", "cold_start_ms", "first_ms", "rss_growth_bytes")


def spread_of(results: Iterable[BenchResult]) -> tuple[Spread, ...]:
    """Spread of each figure over results of the same file, runtime, threads, batch and profile, where there are two or more."""
    groups: dict[tuple[Any, ...], list[Measurement]] = {}
    for item in results:
        if item.measurement is not None:
            key = (item.name, item.sha256, item.runtime, item.threads, item.batch, item.profile)
            groups.setdefault(key, []).append(item.measurement)
    return tuple(
        Spread(
            name=key[0],
            sha256=key[1],
            runtime=key[2],
            threads=key[3],
            batch=key[4],
            profile=key[5],
            figure=figure,
            n=len(values),
            low=values[0],
            middle=_middle(values),
            high=values[-1],
        )
        for key, found in groups.items()
        for figure in FIGURES
        if len(values := sorted(float(value) for one in found if (value := getattr(one, figure)) is not None)) > 1
    )


def _middle(values: Sequence[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _members(value: Any, what: str, needed: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not needed <= set(value) <= needed | optional:
        raise DataError(f"{what} has missing or unknown members; measure again with this version.")
    return dict(value)


def _measured_on(value: Any) -> MeasuredOn | None:
    if value is not None and value not in MEASURED_ON:
        raise DataError(f"measured_on is {str(value)[:40]!r}, not one of {', '.join(MEASURED_ON)} or null.")
    return cast(MeasuredOn | None, value)


def _record(value: Any, what: str, kind: type[Any], numbers: set[str]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    given = _members(value, what, {item.name for item in fields}, set())
    for name in numbers:
        item = given[name]
        if not isinstance(item, int | float) or isinstance(item, bool) or not math.isfinite(item):
            raise DataError(f"the member {name!r} of {what} is {str(item)[:40]!r}, which is no number; measure again.")
    return given


def _figure(value: Any) -> Figure:
    bounds = {name for name in ("low", "high") if not isinstance(value, Mapping) or value.get(name) is not None}
    given = _record(value, "an accuracy", Figure, {"value", "confidence", "n"} | bounds)
    return Figure(**{**given, "measured_on": _measured_on(given["measured_on"])})


def _spread(value: Any) -> Spread:
    return Spread(**_record(value, "a spread", Spread, {"threads", "batch", "n", "low", "middle", "high"}))
