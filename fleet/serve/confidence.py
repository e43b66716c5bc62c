"""Counts of confidence in the bins that the artifact carries: what a trial holds against the histogram of compile time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .model import LoadedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-2


class ConfidenceCounts:
    """An `Observer` of one model, empty where its artifact has no bins of confidence.

    Confidence is the largest probability of a sample: as the model gives it, or by softmax of its scores. Which of the two
    is told by the outputs of the test vectors.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Start at zero."""
        bins = next((item for item in model.manifest.histograms if item.kind == "confidence"), None)
        self.reference: tuple[int, ...] = () if bins is None else bins.counts
        self._tensor = None if bins is None else bins.tensor
        self._edges = np.array(() if bins is None else bins.edges, np.float64)
        self._counts = np.zeros(len(self.reference), np.int64)
        self._lock = threading.Lock()
        expected = None if self._tensor is None else model.vectors.outputs.get(self._tensor)
        self._is_probability = expected is not None and bool(
            expected.min() >= 0 and np.allclose(expected.sum(axis=-1), 1, atol=_SUM_TOLERANCE)
        )

    @property
    def counts(self) -> tuple[int, ...]:
        """Counts below the first edge, in each bin, and above the last edge; what is NaN lies above."""
        with self._lock:
            return tuple(map(int, self._counts))

    def offer(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], latency_s: float) -> None:
        """Count the samples of an answered request."""
        del inputs, latency_s
        if self._tensor is None or outputs[self._tensor].ndim != 2:
            return
        scores = outputs[self._tensor].astype(np.float64)
        largest = scores.max(axis=1)
        if not self._is_probability:
            with np.errstate(invalid="ignore", over="ignore"):
                largest = 1 / np.exp(scores - largest[:, None]).sum(axis=1)
        places = np.searchsorted(self._edges, largest, "right")
        places[largest == self._edges[-1]] -= 1  # the last bin holds both its edges
        with self._lock:
            np.add.at(self._counts, places, 1)

    def fail(self, kind: str) -> None:
        """A failed request has no confidence."""
