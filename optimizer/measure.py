"""Latencies and their ratios, each measured once: found again in the step store, or in a file that the user gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.canonical import dumps
from ..core.errors import DataError
from ..core.store import StepStore
from ..device_profiles.detect import host_cpu


class Measurements:
    """Figures by what they were taken of. What the file has wins over the store; what neither has is measured."""

    def __init__(self, store: StepStore, file: Path | None) -> None:
        """Read `file` if given; raises DataError when it is no file of measurements."""
        self._store = store
        self._given = _read(file) if file is not None else {}
        self.used: dict[str, Any] = {}

    def get(self, kind: str, digests: tuple[str, ...], threads: int, measure: Callable[[], Any]) -> Any:
        """The figure `kind` ("latency", "ratio", ...) of the candidates with these digests; a JSON value."""
        name = f"{kind}:{':'.join(item[:16] for item in digests)}:{threads}"
        if name in self._given:
            value = self._given[name]
        else:
            key = self._store.key("measure", name=name, digests=list(digests), cpu=host_cpu().model)
            value = self._store.json_step(key, measure)
        self.used[name] = value
        return value

    def to_bytes(self) -> bytes:
        """What `--measurements` reads: every figure that was used."""
        return dumps({"measurements_version": 1, "figures": self.used})


def _read(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(file.read_bytes())
        if value["measurements_version"] == 1 and isinstance(value["figures"], dict):
            figures: dict[str, Any] = value["figures"]
            return figures
    except OSError as error:
        raise DataError(f"cannot read the measurements {file}: {error.strerror or error}; check the path.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DataError(f"{file} holds no measurements of version 1; give a measurements.json of an earlier compile.")
