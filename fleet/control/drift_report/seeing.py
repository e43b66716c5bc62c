"""What can be seen at all: the power of one window, the delay to an alarm; and changes within a stream, without a reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ....core.manifest import HistogramBins
from ....stats.drift_power import window_power, windows_to_alarm
from ....stats.drift_sequential import drift_test, level
from ....stats.streams import Adwin, PageHinkley
from ...drift.settings import Settings
from ...protocol.measures import measures
from ...protocol.window import LATENCY_EDGES_MS, Window
from .records import Change, Measure, Sight, Stream

Floats = NDArray[np.float64]
_ALPHA = 0.05
_MOST_WINDOWS = 200


def sights(found: Sequence[Measure], settings: Settings) -> list[Sight]:
    """Of each severity's least distance: how likely one window shows it, and how many windows an alarm takes, by the median.

    For the first measure of values with a reference, and as many requests a window as in the newest; requests are taken for
    independent. `windows` is None where the reference is too small to see such a distance, ever or in 200 windows.
    """
    measure = next((item for item in found if item.spread is not None and item.newest.kind in ("input", "confidence")), None)
    if measure is None or measure.spread is None or measure.newest.count == 0:
        return []
    reference, requests = np.array(measure.spread.reference, np.float64), float(measure.newest.count)
    aim = level(settings.alpha / 2, len(found))
    test = drift_test(reference[None], aim.band, delta=settings.delta)
    told = []
    for distance in (settings.minor, settings.moderate, settings.severe):
        moved = _moved(reference, distance)
        power = window_power(reference, moved, requests, _ALPHA / len(found))
        windows = int(windows_to_alarm(test, moved[None], requests, aim.bound, most=_MOST_WINDOWS)[0])
        told.append(Sight(measure=measure.newest.measure, distance=distance, requests=int(requests), power=power,
                          windows=windows or None))  # fmt: skip
    return told


def changes(windows: Sequence[tuple[int, Window]], histograms: Sequence[HistogramBins]) -> list[Change]:
    """When ADWIN and Page-Hinkley, with their usual settings, see the stream of windows (start, counts) change, oldest first.

    Of the share of errors, the latency (logarithms, from the first edge to the last as 0 to 1) and the mean confidence. They
    know no reference, and bound false alarms for one look at best: they say where to look, and open no alert.
    """
    found = []
    for name, stream in _streams(windows, histograms).items():
        adwin, page = Adwin(), PageHinkley()
        for start, mean, weight, variance in stream:
            if adwin.update(mean, weight, variance):
                found.append(Change(stream=name, start=start, by="ADWIN", value=_told(name, mean)))
            if page.update(mean, weight):
                found.append(Change(stream=name, start=start, by="Page-Hinkley", value=_told(name, mean)))
    return sorted(found, key=lambda item: (item.start, item.stream, item.by))


def _streams(
    windows: Sequence[tuple[int, Window]], histograms: Sequence[HistogramBins]
) -> dict[Stream, list[tuple[int, float, float, float]]]:
    """Start, mean, weight and variance of the windows, by what is looked at."""
    edges = np.log(LATENCY_EDGES_MS)
    latency = _centres((edges - edges[0]) / (edges[-1] - edges[0]))
    confidence = next((item for item in measures(histograms) if item.kind == "confidence" and item.of_class is None), None)
    found: dict[Stream, list[tuple[int, float, float, float]]] = {"errors": [], "latency": [], "confidence": []}
    for start, window in windows:
        found["errors"] += _summary(start, np.array([0.0, 1.0]), (window.requests, sum(window.errors)))
        found["latency"] += _summary(start, latency, window.latency)
        if confidence is not None:
            found["confidence"] += _summary(start, _centres(np.array(confidence.edges)), window.tensors[confidence.index])
    return found


def _summary(start: int, values: Floats, counts: Sequence[int]) -> Iterator[tuple[int, float, float, float]]:
    total = float(sum(counts))
    if total:
        share = np.asarray(counts, np.float64) / total
        mean = float(share @ values)
        yield start, mean, total, float(share @ (values - mean) ** 2)


def _centres(edges: Floats) -> Floats:
    """A value for each count: the middle of its bin, and the outer edges for what lies beyond them."""
    return np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])


def _told(name: str, mean: float) -> float:
    """The mean as a person reads it: latency in milliseconds."""
    first, last = (math.log(edge) for edge in (LATENCY_EDGES_MS[0], LATENCY_EDGES_MS[-1]))
    return math.exp(first + mean * (last - first)) if name == "latency" else mean


def _moved(reference: Floats, distance: float) -> Floats:
    """Shares [bins] at that Kolmogorov-Smirnov distance: what lies below the edge nearest to the median becomes more."""
    shares = reference / reference.sum()
    below = np.cumsum(shares)[:-1]
    edge = int(np.abs(below - 0.5).argmin())
    part = float(np.clip(below[edge], 1e-6, 1 - 1e-6))
    more = min(part + distance, 1.0)
    return np.concatenate([shares[: edge + 1] * more / part, shares[edge + 1 :] * (1 - more) / (1 - part)])
