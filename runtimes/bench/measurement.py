"""`Measurement`: what one measuring of a model file found, and how it was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import DataError

_ALWAYS = frozenset({"rss_growth_bytes"})


@dataclass(frozen=True)
class Measurement:
    """Latency in milliseconds of one batch, over five windows.

    `median_ms` is the median of the windows' medians `window_ms`, `spread` their range over it. `p50_ms`, `p90_ms`, `p99_ms`
    are over all runs, `p90_upper_ms` is the 99 % confidence upper bound of p90. `drift` is the change of a fixed kernel from
    before to after, `is_disturbed` says that it exceeds 3 %. `is_shortened` says that slow runs left windows of fewer than
    fifty. `rss_growth_bytes` is what loading and running added to the memory of a fresh process, or None.

    What comes after it is None where it was not measured, as in a compile. `throughput` is samples a second, one batch after
    the other: the median over the windows `window_throughput`. `window_p90_ms` and `window_p99_ms` are the windows' own
    quantiles, `window_runs` their runs. `cold_starts_ms` holds, for each fresh process, the time from its start to its first
    answer, `first_runs_ms` that of the first inference alone, `rss_growths_bytes` the growth of its memory; `cold_start_ms`,
    `first_ms` and `rss_growth_bytes` are their medians. `process_peak_bytes` is the most that such a process held, libraries
    included.
    """

    median_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p90_upper_ms: float | None
    spread: float
    window_ms: tuple[float, ...]
    runs: int
    warm_up_runs: int
    is_shortened: bool
    drift: float
    is_disturbed: bool
    threads: int
    runtime: str
    runtime_version: str
    cpu: str
    cpu_flags: tuple[str, ...]
    rss_growth_bytes: int | None = None
    throughput: float | None = None
    window_p90_ms: tuple[float, ...] | None = None
    window_p99_ms: tuple[float, ...] | None = None
    window_throughput: tuple[float, ...] | None = None
    window_runs: tuple[int, ...] | None = None
    cold_start_ms: float | None = None
    cold_starts_ms: tuple[float, ...] | None = None
    first_ms: float | None = None
    first_runs_ms: tuple[float, ...] | None = None
    rss_growths_bytes: tuple[int, ...] | None = None
    process_peak_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON object with a member a field; what was not measured and is optional is left out."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in dataclasses.fields(self)
            if field.name in _ALWAYS or field.default is dataclasses.MISSING or getattr(self, field.name) is not None
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Measurement:
        """Inverse of `to_json`; raises DataError when a member is missing, unknown or of another type."""
        fields = {field.name: field for field in dataclasses.fields(Measurement)}
        needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
        if not isinstance(value, Mapping) or not needed <= set(value) <= set(fields):
            raise DataError("a measurement has missing or unknown members; measure again with this version.")
        given: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        for name, item in given.items():
            if not _fits(str(fields[name].type), item):
                raise DataError(f"the member {name!r} of a measurement is {str(item)[:40]!r}; measure again with this version.")
        return Measurement(**given)


def _fits(kind: str, item: Any) -> bool:
    if item is None:
        return kind.endswith("| None")
    if kind.startswith("float"):
        return isinstance(item, int | float) and not isinstance(item, bool)
    if kind.startswith("tuple[float"):
        return isinstance(item, tuple) and all(isinstance(part, int | float) for part in item)
    if kind.startswith("tuple[int"):
        return isinstance(item, tuple) and all(isinstance(part, int) and not isinstance(part, bool) for part in item)
    if kind.startswith("tuple[str"):
        return isinstance(item, tuple) and all(isinstance(part, str) for part in item)
    wanted: type = {"int": int, "bool": bool, "str": str}[kind.split(" ", maxsplit=1)[0]]
    return isinstance(item, wanted) and (wanted is bool or not isinstance(item, bool))
