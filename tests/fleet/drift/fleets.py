"""Fleets whose devices count draws of known distributions in the bins of an artifact."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.drift.counts import Layout
from edgewright.fleet.protocol.window import ERROR_KINDS, LATENCY_BINS, Window
from scipy.stats import norm

MODEL, SHA256 = "digits", "ab" * 32


def quantile_bins(features: int, samples: int = 20_000, bins: int = 32, seed: int = 0) -> tuple[HistogramBins, ...]:
    """Bins of standard normal features at their quantiles, with a reference of so many draws."""
    generator = np.random.default_rng(seed)
    edges = norm.ppf(np.linspace(0, 1, bins + 1)[1:-1])
    shares = np.full(bins, 1 / bins)
    return tuple(
        HistogramBins(
            f"x{at}", "input", tuple(edges), tuple(map(int, generator.multinomial(samples, shares))), statistic="column 0"
        )
        for at in range(features)
    )


def layout(histograms: tuple[HistogramBins, ...]) -> Layout:
    return Layout(MODEL, SHA256, tuple(len(item.counts) for item in histograms))


def rows(
    histograms: tuple[HistogramBins, ...],
    devices: int,
    requests: int,
    generator: np.random.Generator,
    shifts: Mapping[int, Mapping[int, float]] | None = None,
    start: int = 0,
    errors: int = 0,
) -> np.ndarray:
    """Counts of one window by device, as `Layout.decode` gives them; `shifts` of a feature's mean, by device and feature."""
    shape = layout(histograms)
    found = np.zeros((devices, shape.columns), np.int64)
    found[:, 0], found[:, 1], found[:, 2] = start, start + 600, 1
    found[:, 3] = found[:, 4] = requests
    found[:, shape.latency.start + 20], found[:, shape.errors.start] = requests, errors
    found[:, [shape.latency.stop, *(at.start - 1 for at in shape.tensors)]] = [len(shape.lengths), *shape.lengths]
    for place, (item, at) in enumerate(zip(histograms, shape.tensors, strict=True)):
        edges = np.asarray(item.edges)
        for shift, who in _by_shift(devices, place, shifts or {}).items():
            shares = np.diff(np.concatenate([[0.0], norm.cdf(edges - shift), [1.0]]))
            found[who, at] = generator.multinomial(requests, shares, size=len(who))
    return found


def window(tensors: tuple[tuple[int, ...], ...], requests: int = 5, start: int = 0) -> Window:
    latency = (requests, *[0] * (LATENCY_BINS - 1))
    errors = (0,) * len(ERROR_KINDS)
    return Window(MODEL, SHA256, start, start + 600, 1, requests, requests, 0, errors, latency, tensors)


def _by_shift(devices: int, feature: int, shifts: Mapping[int, Mapping[int, float]]) -> dict[float, list[int]]:
    found: dict[float, list[int]] = {}
    for device in range(devices):
        found.setdefault(shifts.get(device, {}).get(feature, 0.0), []).append(device)
    return found
