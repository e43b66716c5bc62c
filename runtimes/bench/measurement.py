"""`Measurement`: what one measuring of a model file found, and how it was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import DataError


@dataclass(frozen=True)
class Measurement:
    """Latency in milliseconds of one batch, over five windows.

    `median_ms` is the median of the windows' medians `window_ms`, `spread` their range over it. `p50_ms`, `p90_ms`, `p99_ms`
    are over all runs, `p90_upper_ms` is the 99 % confidence upper bound of p90. `drift` is the change of a fixed kernel from
    before to after, `is_disturbed` says that it exceeds 3 %. `is_shortened` says that slow runs left windows of fewer than
    fifty. `rss_growth_bytes` is what loading and running added to the memory of a fresh process, or None.
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

    def to_json(self) -> dict[str, Any]:
        """JSON object with a member a field."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in dataclasses.fields(self)
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
    if kind.startswith("tuple[str"):
        return isinstance(item, tuple) and all(isinstance(part, str) for part in item)
    wanted: type = {"int": int, "bool": bool, "str": str}[kind.split(" ", maxsplit=1)[0]]
    return isinstance(item, wanted) and (wanted is bool or not isinstance(item, bool))
