"""What a measure's bins say of an estimate of accuracy: nothing by chance, and the truth where confidence misleads."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.confidence_shift import Shift, reach, shift, uncovered

THEN = np.full(20, 200.0)
VARIANCE = 0.09


def test_bins_that_differ_by_chance_correct_nothing_however_far_requests_moved() -> None:
    generator = np.random.default_rng(1)
    now = np.eye(20)[3] * 1000
    drawn = generator.normal(0, np.sqrt(200 * VARIANCE), (200, 20))
    corrected = [shift(now, THEN, more, VARIANCE).bias != 0 for more in drawn]
    assert np.mean(corrected) <= 0.1
    assert np.mean([shift(now, THEN, more, VARIANCE, measures=100).bias != 0 for more in drawn]) <= 0.01


def test_the_bias_is_that_of_the_bins_that_requests_moved_to() -> None:
    generator = np.random.default_rng(2)
    true = np.linspace(-0.2, 0.2, 20)
    more = 200 * true + generator.normal(0, np.sqrt(200 * VARIANCE), 20)
    assert shift(THEN, THEN, more, VARIANCE) == Shift(0.0, 0.0, 0.0)
    now = np.r_[np.zeros(15), np.full(5, 100.0)]
    found = shift(now, THEN, more, VARIANCE)
    assert found.bias == pytest.approx(true[15:].mean(), abs=0.02)
    assert 0 < found.error < 0.02
    assert shift(np.zeros(20), THEN, more, VARIANCE) == Shift(0.0, 0.0, 0.0)


def test_requests_where_the_reference_has_next_to_nothing_are_told() -> None:
    then = [0, 500, 500, 2]
    assert uncovered([0, 50, 50, 0], then) == 0
    assert uncovered([2, 49, 49, 0], then) == 0  # may be chance
    assert uncovered([300, 350, 350, 0], then) == pytest.approx(0.3, abs=0.06)
    assert uncovered([0, 0, 0, 0], then) == 0


def test_the_reach_is_the_share_of_the_reference_that_speaks_for_today() -> None:
    then = [250, 250, 250, 250]
    assert reach([2500] * 4, then) == pytest.approx(1)
    assert reach([5000, 5000, 0, 0], then) == pytest.approx(0.5, abs=1e-3)
    few = [reach(np.random.default_rng(seed).multinomial(6, [0.25] * 4), then) for seed in range(400)]
    assert np.median(few) > 0.9  # six requests lie unevenly by chance
    assert np.isnan(reach([1, 0, 0, 0], then))


def test_bins_must_fit() -> None:
    with pytest.raises(DataError, match="need the same bins"):
        shift([1, 2], [1, 2], [1, 2, 3], 0.1)
