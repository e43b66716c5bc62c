"""Confidence in the artifact's own bins, against scipy's softmax."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgewright.fleet.serve.confidence import ConfidenceCounts
from edgewright.fleet.serve.model import LoadedModel
from scipy.special import softmax


@pytest.fixture
def counts(build: Callable[..., Path]) -> ConfidenceCounts:
    return ConfidenceCounts(LoadedModel(build(1.0)))


def test_it_counts_the_largest_share_of_each_sample(counts: ConfidenceCounts) -> None:
    scores = np.random.default_rng(0).normal(0, 1.5, (500, 3)).astype(np.float32)
    for part in np.split(scores, 50):
        counts.offer({}, {"y": part}, 0.0)
    values = softmax(scores.astype(np.float64), axis=1).max(axis=1)
    inside = np.histogram(values, (0.4, 0.6, 0.8, 1.0))[0]
    assert counts.counts == (int((values < 0.4).sum()), *inside.tolist(), 0)
    assert min(counts.counts[:-1]) > 0
    assert counts.reference == (2, 3, 4, 5, 0)


def test_certainty_lies_in_the_last_bin_and_nonsense_above_it(counts: ConfidenceCounts) -> None:
    counts.offer({}, {"y": np.array([[0, 0, 1000], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)}, 0.0)
    assert counts.counts == (0, 0, 0, 1, 2)
