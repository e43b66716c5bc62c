"""The state of a training on disk: replaced whole, checked when read, and written rarely enough to cost little."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...core.canonical import digest
from ...core.files import write_atomic

_EVERY_SECONDS = 20.0
_EPOCH_SECONDS = 5.0
_SPARING = 20  # writing takes at most a twentieth of the time
_DIGEST_LENGTH = 64


def pack(state: Any) -> bytes:
    """Tensors, numbers, texts, lists and dicts as bytes that begin with the SHA-256 of the rest."""
    held = io.BytesIO()
    torch.save(state, held)
    content = held.getvalue()
    return digest(content).encode() + content


def unpack(data: bytes) -> Any | None:
    """What was packed, on the CPU; None where the bytes are not as they were written."""
    content = data[_DIGEST_LENGTH:]
    if data[:_DIGEST_LENGTH] != digest(content).encode():
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class Checkpoint:
    """One file that a training goes on from; without a folder there is none, and every question is answered no."""

    def __init__(self, folder: Path | None) -> None:
        """Kept in `folder`, which is made when the first state is saved."""
        self._file = None if folder is None else folder / "checkpoint"
        self._written = time.monotonic()
        self._cost_seconds = 0.0

    def is_due(self, *, is_epoch_end: bool) -> bool:
        """Whether enough time has passed since the last state was saved."""
        waited = time.monotonic() - self._written
        least = max(_EPOCH_SECONDS if is_epoch_end else _EVERY_SECONDS, _SPARING * self._cost_seconds)
        return self._file is not None and waited >= least

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was saved; its `done` is the share of the training that is behind. Raises StoreError from the disk."""
        if self._file is None:
            return
        start = time.monotonic()
        write_atomic(self._file, pack(state))
        self._written = time.monotonic()
        self._cost_seconds = self._written - start

    def done(self) -> float:
        """The share of its training that the saved state has behind it; 0 where there is none."""
        saved = self.load()
        return 0.0 if saved is None else float(saved["done"])

    def load(self) -> Any | None:
        """The state that was saved; None where there is none, or where it is damaged."""
        if self._file is None or not self._file.is_file():
            return None
        return unpack(self._file.read_bytes())
