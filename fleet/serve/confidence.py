"""Counts of confidence in the bins that the artifact carries: what a trial holds against the histogram of compile time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calibration.confidence import Confidence
from ...core.statistic import VALUES
from ..protocol.window import ErrorKind
from ..telemetry.binning import Bins
from .model import LoadedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ConfidenceCounts:
    """An `Observer` of one model, empty where its artifact has no bins of confidence. Counts since the start, in no window."""

    def __init__(self, model: LoadedModel) -> None:
        """Start at zero."""
        found = next(
            (item for item in model.manifest.histograms if item.kind == "confidence" and item.statistic == VALUES), None
        )
        self.reference: tuple[int, ...] = () if found is None else found.counts
        self._bins = None if found is None else Bins(found)
        self._confidence = Confidence(None if found is None else model.vectors.outputs.get(found.tensor))
        self._counts = np.zeros(len(self.reference), np.int64)
        self._lock = threading.Lock()

    @property
    def counts(self) -> tuple[int, ...]:
        """Counts below the first edge, in each bin, and above the last edge."""
        with self._lock:
            return tuple(map(int, self._counts))

    def offer(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], latency_s: float) -> None:
        """Count the samples of an answered request."""
        del inputs, latency_s
        if self._bins is None or outputs[self._bins.tensor].ndim != 2:
            return
        counts = self._bins.count(self._confidence.of(outputs[self._bins.tensor]))
        with self._lock:
            self._counts += counts

    def fail(self, kind: ErrorKind) -> None:
        """A failed request has no confidence."""
