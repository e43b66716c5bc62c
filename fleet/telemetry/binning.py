"""From the tensors of a request to places in the bins of an artifact, all histograms at once.

Of inputs only finite numbers are counted: `missing` tells of the others. Of outputs, confidence and predictions NaN lies above.
Of a large tensor a random part is counted, as at compile time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calibration.confidence import Confidence
from ...calibration.statistic import Table
from ...core.manifest import HistogramBins
from ...core.statistic import CLASS, VALUES, Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 4096  # values of one tensor of one request that are counted, and samples of it
_COMPARED = 1 << 20  # at once

Arrays = Mapping[str, "NDArray[Any]"]


class Bins:
    """The bins of one histogram, as an array to search in."""

    def __init__(self, bins: HistogramBins) -> None:
        self.tensor = bins.tensor
        self.statistic = Statistic.parse(bins.statistic, bins.kind)
        self.edges = np.array(bins.edges, np.float64)
        self.size = len(bins.counts)

    def places(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Place of each value: 0 below the first edge, the last one above the last edge, where NaN lies too."""
        flat = values.reshape(-1).astype(np.float64)
        found = np.searchsorted(self.edges, flat, "right")
        found[flat == self.edges[-1]] -= 1  # the last bin holds both its edges
        return found

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Counts [edges + 1] of values: below the first edge, in each bin, above the last."""
        return np.bincount(self.places(values), minlength=self.size)


class Binning:
    """All histograms of an artifact. `sizes` are their numbers of counts, one more than edges."""

    def __init__(self, histograms: Sequence[HistogramBins], known_outputs: Arrays) -> None:
        """`known_outputs` [n, ...] are the model's: of test vectors, to tell probabilities from scores."""
        self.sizes = tuple(len(item.counts) for item in histograms)
        starts = np.cumsum((0, *self.sizes))
        self._counts = int(starts[-1])
        self._pooled: list[tuple[int, Bins, bool]] = []  # with where its counts start, and whether it is of an input
        self._tables: dict[tuple[str, bool], _Rows] = {}
        self._answers: dict[str, _Answers] = {}
        for start, item in zip(starts.tolist(), histograms, strict=False):
            bins, is_input = Bins(item), item.kind == "input"
            if item.kind in ("confidence", "prediction"):
                known = known_outputs.get(item.tensor)
                self._answers.setdefault(item.tensor, _Answers(known)).add(start, bins, item.kind == "prediction")
            elif bins.statistic.name == VALUES:
                self._pooled.append((start, bins, is_input))
            else:
                self._tables.setdefault((item.tensor, is_input), _Rows(is_input)).add(start, bins)
        self._draw = np.random.default_rng(0)

    def count(self, inputs: Arrays, outputs: Arrays) -> NDArray[np.int64]:
        """Counts [sum of sizes] of one request, histogram after histogram.

        Raises KeyError, ValueError, IndexError or TypeError for tensors that are not the artifact's.
        """
        found = []
        for start, bins, is_input in self._pooled:
            values = self._thinned((inputs if is_input else outputs)[bins.tensor].reshape(-1))
            found.append(start + bins.places(values[np.isfinite(values)] if is_input else values))
        for (tensor, is_input), rows in self._tables.items():
            found.append(rows.places(self._thinned((inputs if is_input else outputs)[tensor])))
        for tensor, answers in self._answers.items():
            found += answers.places(outputs[tensor])
        return np.bincount(np.concatenate(found), minlength=self._counts) if found else np.zeros(0, np.int64)

    def _thinned(self, array: NDArray[Any]) -> NDArray[Any]:
        return array if len(array) <= MOST else array[self._draw.integers(0, len(array), MOST)]


class _Edges:
    """Edges of several histograms side by side, to search many values at once."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.bins: list[Bins] = []
        self._padded = np.zeros((0, 0))
        self._last = np.zeros(0)
        self._sizes = self._starts = np.zeros(0, np.int64)

    def add(self, start: int, bins: Bins) -> None:
        """A histogram whose counts begin at `start`."""
        self.starts.append(start)
        self.bins.append(bins)
        edges = [item.edges for item in self.bins]
        widest = max(map(len, edges))
        self._padded = np.array([[*some, *[np.inf] * (widest - len(some))] for some in edges])
        self._last = np.array([some[-1] for some in edges])
        self._sizes = np.array([len(some) for some in edges])
        self._starts = np.array(self.starts)

    def places(self, values: NDArray[Any], which: NDArray[Any] | slice = slice(None)) -> NDArray[np.int64]:
        """Places among all counts of values [..., m], each in the histogram `which` says: NaN above the last edge."""
        places = (values[..., None] >= self._padded[which]).sum(axis=-1) - (values == self._last[which])
        sizes = self._sizes[which]
        found: NDArray[np.int64] = np.where(np.isnan(values), sizes, np.minimum(places, sizes)) + self._starts[which]
        return found

    @property
    def rows(self) -> int:
        """Samples that are searched at once."""
        return max(1, _COMPARED // max(self._padded.size, 1))


class _Rows:
    """Histograms of one tensor that count one number a sample."""

    def __init__(self, is_input: bool) -> None:
        self._is_input = is_input
        self._edges = _Edges()
        self._table = Table(())

    def add(self, start: int, bins: Bins) -> None:
        """A histogram whose counts begin at `start`."""
        self._edges.add(start, bins)
        self._table = Table([item.statistic for item in self._edges.bins])

    def places(self, array: NDArray[Any]) -> NDArray[np.int64]:
        """Places among all counts, of each histogram and each sample that it counts."""
        values, found = self._table.of(array), []
        for at in range(0, len(values), self._edges.rows):
            some = values[at : at + self._edges.rows]
            places = self._edges.places(some)
            found.append(places[np.isfinite(some)] if self._is_input else places.reshape(-1))
        return np.concatenate(found) if found else np.zeros(0, np.int64)


class _Answers:
    """Histograms of the confidence and the predictions in one output [n, classes]."""

    def __init__(self, known: NDArray[Any] | None) -> None:
        self._confidence = Confidence(known)
        self._of_confidence: list[tuple[int, Bins]] = []
        self._of_prediction: list[tuple[int, Bins]] = []
        self._by_class = _Edges()
        self._row_of = np.zeros(0, np.int64)  # of each class in `_by_class`, -1 where it has no histogram

    def add(self, start: int, bins: Bins, is_prediction: bool) -> None:
        """A histogram whose counts begin at `start`."""
        if bins.statistic.name == CLASS:
            self._by_class.add(start, bins)
            classes = [item.statistic.place or 0 for item in self._by_class.bins]
            self._row_of = np.full(max(classes) + 1, -1)
            self._row_of[classes] = range(len(classes))
        else:
            (self._of_prediction if is_prediction else self._of_confidence).append((start, bins))

    def places(self, scores: NDArray[Any]) -> list[NDArray[np.int64]]:
        """Places among all counts."""
        confidence = self._confidence.of(scores)
        is_known = ~np.isnan(confidence)
        predicted = scores.argmax(axis=1)
        found = [start + bins.places(np.where(is_known, predicted, np.nan)) for start, bins in self._of_prediction]
        found += [start + bins.places(confidence) for start, bins in self._of_confidence]
        if len(self._row_of):
            rows = np.where(predicted < len(self._row_of), self._row_of[np.minimum(predicted, len(self._row_of) - 1)], -1)
            chosen = is_known & (rows >= 0)
            found.append(self._by_class.places(confidence[chosen], rows[chosen]))
        return found
