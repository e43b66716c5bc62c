"""What the measuring process is asked to do. The standard library only: the agent writes it."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.artifact_json import Fields, parse
from ....core.canonical import dumps


@dataclass(frozen=True)
class Order:
    """What to measure: the file at `path` if its digest is `sha256`."""

    path: str
    sha256: str
    threads: int
    batch: int
    windows: int

    def text(self) -> str:
        """JSON for the command line."""
        return dumps(self.__dict__).decode()

    @staticmethod
    def parse(text: str) -> Order:
        """Inverse of `text`; raises ArtifactError."""
        read = Fields(parse(text.encode(), "the order"), "the order")
        counts = (read.count(name) for name in ("threads", "batch", "windows"))
        return Order(read.text("path"), read.sha256("sha256"), *counts)
