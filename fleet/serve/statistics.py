"""From a worker's counts to what the updater judges a generation by."""

from __future__ import annotations

from .generation import LATENCY_EDGES_MS, Statistics
from .tally import Counted


def statistics_of(counted: Counted, confidence: tuple[int, ...] = (), confidence_reference: tuple[int, ...] = ()) -> Statistics:
    """Statistics of one process. What a client sent wrongly is no error of the model's, and is not counted as one."""
    return Statistics(
        requests=counted.requests + counted.errors["runtime"] + counted.errors["internal"],
        errors=counted.errors["runtime"] + counted.errors["internal"],
        latency_edges_ms=LATENCY_EDGES_MS,
        latency_counts=counted.latency,
        confidence=confidence,
        confidence_reference=confidence_reference,
    )
