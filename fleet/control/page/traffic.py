"""Counts of requests as rows: merged windows with the latencies that their bins tell."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.window import LATENCY_EDGES_MS, Window
from ...rollout.guard import Bins, mean_confidence
from .views import Traffic
from .words import NONE, number


def latency_quantile(counts: Sequence[int], share: float) -> float | None:
    """Milliseconds within which `share` of the requests were answered: the upper edge of their bin.

    Infinite where they lie beyond the last edge, None where there are no requests.
    """
    total, seen = sum(counts), 0
    if total == 0:
        return None
    for edge, count in zip(LATENCY_EDGES_MS, counts, strict=False):
        seen += count
        if seen >= share * total:
            return edge
    return float("inf")


def latency_text(milliseconds: float | None) -> str:
    """ "1.33", "> 10,000", or a dash."""
    if milliseconds is None:
        return NONE
    return number(milliseconds) if milliseconds < float("inf") else f"> {number(LATENCY_EDGES_MS[-1])}"


def traffic_of(name: str, window: Window, devices: int, updated_at: float | None, bins: Bins | None = None) -> Traffic:
    """The row of one artifact's requests; with its `bins` the confidence of its answers is known."""
    p50, p90, p99 = (latency_text(latency_quantile(window.latency, share)) for share in (0.5, 0.9, 0.99))
    confidence = mean_confidence(window, bins)
    return Traffic(name, window.sha256, devices, window.requests, sum(window.errors), p50, p90, p99, updated_at, confidence)
