"""What is watched of an artifact: the measures of its bins, and beside them latency and errors, which every window has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.manifest import HistogramBins
from ..protocol.measures import measures
from ..protocol.window import LATENCY_EDGES_MS, Window
from .counts import Counts, Layout

LATENCY, ERRORS = "latency", "errors"


@dataclass(frozen=True)
class Watched:
    """A measure with its reference: counts [below, each bin, above], one more than `edges`.

    `tensor` is its place in a window's tensors, None for latency (in milliseconds) and errors (requests that were answered,
    and those that were not). `correct` are the reference's samples by bin that were right, and `surplus` by how
    many more these were than their confidence promised, where that is known.
    """

    name: str
    kind: str
    edges: tuple[float, ...]
    reference: tuple[int, ...]
    tensor: int | None = None
    correct: tuple[int, ...] | None = None
    surplus: tuple[float, ...] | None = None

    def of_window(self, window: Window) -> tuple[int, ...]:
        """The measure's counts in a window."""
        if self.tensor is not None:
            return window.tensors[self.tensor]
        return window.latency if self.kind == LATENCY else (window.requests, sum(window.errors))

    def of_rows(self, rows: Counts, layout: Layout) -> Counts:
        """The measure's counts, int64 [..., bins], in rows [..., columns] of a layout."""
        if self.tensor is not None:
            return rows[..., layout.tensors[self.tensor]]
        if self.kind == LATENCY:
            return rows[..., layout.latency]
        return np.stack([rows[..., layout.requests], rows[..., layout.errors].sum(axis=-1)], axis=-1)


def watched_measures(histograms: Sequence[HistogramBins], first: Window | None) -> tuple[Watched, ...]:
    """Measures of an artifact's bins in their order, those of confidence by class left out, since all of them are in one.

    With the `first` windows that devices sent, merged, latency and errors are compared with these: no bins say what they are on
    a device. A measure without counts in its reference is none.
    """
    found = [
        Watched(item.name, item.kind, item.edges, item.counts, item.index, item.correct, item.surplus)
        for item in measures(histograms)
        if any(item.counts) and item.of_class is None
    ]
    if first is not None and first.requests:
        found.append(Watched(LATENCY, LATENCY, LATENCY_EDGES_MS, first.latency))
        found.append(Watched(ERRORS, ERRORS, (0.5,), (first.requests, sum(first.errors))))
    return tuple(found)
