"""Whoever counts inputs and outputs of the requests that were answered: telemetry, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..protocol.window import ErrorKind

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Observer(Protocol):
    """Is told of every request after its answer was made; returns at once and never raises. It keeps the arrays no longer than
    it needs to count them."""

    def offer(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], latency_s: float) -> None:
        """A request that was answered."""

    def fail(self, kind: ErrorKind) -> None:
        """A request that failed."""
