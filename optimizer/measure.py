"""Latencies, their ratios and the times of layers, each measured once: found again in the step store, or in a given file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.canonical import digest_json, dumps
from ..core.code import code_digest
from ..core.errors import DataError
from ..core.store import StepStore
from ..device_profiles.detect import host_cpu
from ..runtimes import registry
from ..runtimes.bench.compare import RatioResult
from ..runtimes.bench.measurement import Measurement
from .prune.layer_table import Table

_TRIES = 3


class Measurements:
    """Figures by what they were taken of. What the file has wins over the store; what neither has is measured."""

    def __init__(self, store: StepStore, file: Path | None) -> None:
        """Read `file` if given; raises DataError when it is no file of measurements, or of another processor."""
        self._store = store
        self._given = _read(file) if file is not None else {}
        self.used: dict[str, Any] = {}

    def get(
        self, kind: str, digests: tuple[str, ...], threads: int, measure: Callable[[], Any], runtimes: tuple[str, ...]
    ) -> Any:
        """The figure `kind` ("latency", "ratio", ...) of the candidates or layers of these digests in `runtimes`; a JSON value.

        A figure that says of itself that the machine was disturbed is measured again, at most twice.
        """
        versions = [[name, registry.get(name).version()] for name in runtimes]
        name = f"{kind}:{':'.join(item[:16] for item in digests)}:{threads}:{digest_json(versions)[:8]}"
        if name in self._given:
            value = self._given[name]
        else:
            cpu, code = host_cpu(), code_digest()
            key = self._store.key("measure", name=name, digests=list(digests), cpu=[cpu.model, sorted(cpu.flags)], code=code)
            value = self._store.json_step(key, lambda: _undisturbed(measure))
        self.used[name] = value
        return value

    def to_bytes(self) -> bytes:
        """What `--measurements` reads: every figure that was used, and the processor that it was taken on."""
        return dumps({"measurements_version": 1, "cpu": _processor(), "figures": self.used})


def _undisturbed(measure: Callable[[], Any]) -> Any:
    value = measure()
    for _ in range(_TRIES - 1):
        if not (isinstance(value, dict) and value.get("is_disturbed")):
            break
        value = measure()
    return value


def _processor() -> dict[str, Any]:
    cpu = host_cpu()
    return {"model": cpu.model, "flags": digest_json(sorted(cpu.flags))}


def _ram(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _latency(value: Any) -> bool:
    found = Measurement.from_json(value)
    return found.median_ms > 0 and 0 < found.p50_ms <= found.p90_ms <= found.p99_ms


def _ratio(value: Any) -> bool:
    found = RatioResult.from_json(value)
    return 0 < found.low <= found.ratio <= found.high


def _layer(value: Any) -> bool:
    Table.from_figure(value)
    return True


def _operators(value: Any) -> bool:
    rows = [isinstance(name, str) and isinstance(kind, str) and time_us >= 0 for name, kind, time_us in value]
    return isinstance(value, list) and all(rows)


_FIGURES: Mapping[str, Callable[[Any], bool]] = {
    "latency": _latency,
    "layer": _layer,
    "operators": _operators,
    "ram": _ram,
    "ratio": _ratio,
}


def _check(file: Path, name: str, figure: Any) -> None:
    """Raise DataError for a figure that is none: what is released may hang on it."""
    try:
        is_figure = _is_finite(figure) and _FIGURES[name.partition(":")[0]](figure)
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        is_figure = False
    if not is_figure:
        raise DataError(f"{file}: the figure {name[:80]!r} cannot be used; give a measurements.json of an earlier compile.")


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_is_finite, parts))


def _read(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(file.read_bytes())
        if value["measurements_version"] == 1 and isinstance(value["figures"], dict):
            if value["cpu"] != _processor():
                named = str(value["cpu"]["model"])[:80]
                raise DataError(
                    f"the measurements {file} were taken on {named!r}, not on this machine's processor with its flags; "
                    "leave them out."
                )
            figures: dict[str, Any] = value["figures"]
            for name, figure in figures.items():
                _check(file, name, figure)
            return figures
    except OSError as error:
        raise DataError(f"cannot read the measurements {file}: {error.strerror or error}; check the path.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DataError(f"{file} holds no measurements of version 1; give a measurements.json of an earlier compile.")
