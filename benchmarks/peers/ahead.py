"""In what a peer is ahead of the compiler, and whether a person has said why: benchmarks/results/peers_reasons.toml."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SMALLER = 0.99


def ahead(row: Mapping[str, Any]) -> dict[str, str]:
    """Where the peer is ahead, and by how much: "size", "metric", "time", or "made" where the compiler released nothing."""
    if "accuracy" not in row or row["against"] is None:
        return {}
    if row["compared"] is None:
        return {"made": "the compiler released no file"}
    beside, found = row["compared"], {}
    if beside.get("size", 1.0) < _SMALLER:
        found["size"] = f"{1 - beside['size']:.1%} smaller"
    metric = beside.get("metric")
    if metric is not None and metric["low"] > 0:
        found["metric"] = f"better by {metric['gain']:.4f} ({metric['low']:.4f} to {metric['high']:.4f})"
    time = beside.get("time")
    if time is not None and time["high"] < 1:
        found["time"] = f"{time['ratio']:.3f} of our time ({time['low']:.3f} to {time['high']:.3f})"
    return found


def reasons_of(path: Path) -> Mapping[str, str]:
    """A person's sentence by "MODEL / PEER / WHAT"."""
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


def missing_reasons(rows: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> list[str]:
    """The keys of rows in which a peer is ahead and nobody has said why."""
    return [key for row in rows for key in keys_of(row) if key not in reasons]


def keys_of(row: Mapping[str, Any]) -> list[str]:
    """A key for each thing in which the peer of the row is ahead."""
    return [f"{row['model']} / {row['peer']} / {what}" for what in row["ahead"]]
