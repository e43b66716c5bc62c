"""From a worker's counts to what the updater judges a generation by."""

from __future__ import annotations

from ..protocol.window import LATENCY_EDGES_MS
from .generation import Statistics
from .tally import Counted


def statistics_of(counted: Counted, confidence: tuple[int, ...] = (), confidence_reference: tuple[int, ...] = ()) -> Statistics:
    """Statistics of one process.

    A client that breaks the protocol says nothing of the model, and is not counted. One that asks in order for what the model
    does not have is an error: so shows a new version that the device's applications do not fit.
    """
    errors = sum(count for kind, count in counted.errors.items() if kind != "request")
    return Statistics(
        requests=counted.requests + errors,
        errors=errors,
        latency_edges_ms=LATENCY_EDGES_MS,
        latency_counts=counted.latency,
        confidence=confidence,
        confidence_reference=confidence_reference,
    )
