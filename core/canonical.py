"""Canonical JSON (RFC 8785's rules for what we store: sorted keys, no white space, finite numbers) and SHA-256 digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_CHUNK_BYTES = 1 << 20


def dumps(value: Any) -> bytes:
    """Canonical JSON of `value` as UTF-8 bytes; raises ValueError on NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """Dataclasses as dicts, sets sorted, tuples as lists: what is equal is the same JSON in every process.

    The text of a set is not: its order goes by hashes that each process salts anew.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def digest(data: bytes | memoryview) -> str:
    """SHA-256 of `data` as lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return digest(dumps(value))


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            state.update(piece)
    return state.hexdigest()
