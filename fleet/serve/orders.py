"""What a worker is started with. The standard library only: the supervisor writes it, the worker reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..telemetry.live import WINDOW_S


@dataclass(frozen=True)
class Orders:
    """Which artifact to serve, and how.

    `sha256` is the digest that the file must have. `channel` and `private` are handles of sockets that the worker inherits:
    its channel to the supervisor, and the listening socket that it serves before it is public. `threads` None are the
    artifact's own; `batch` above 1 puts up to so many samples of different requests together, waiting `wait_ms` for them.
    `telemetry` is the folder for windows of counts of `window_s` seconds, None for none; `sampling` the fields of a `Sampling`,
    None where nobody agreed to keep examples.
    """

    model: str
    artifact: str
    sha256: str
    channel: int
    private: int
    threads: int | None = None
    batch: int = 1
    wait_ms: float = 0.0
    telemetry: str | None = None
    sampling: Mapping[str, Any] | None = None
    window_s: float = WINDOW_S

    def text(self) -> str:
        """The orders as the argument of a process."""
        return json.dumps(asdict(self))

    @staticmethod
    def parse(text: str) -> Orders:
        """Inverse of `text`; it comes from a supervisor of this very package."""
        return Orders(**json.loads(text))
