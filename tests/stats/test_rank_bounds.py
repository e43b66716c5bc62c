"""Bounds of a shift by ranks: against scipy's exact distributions, and how often they miss."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.rank_bounds import least_pairs, paired_shift, two_sample_shift
from scipy import stats


def test_paired_bounds_invert_the_signed_rank_test():
    values = np.random.default_rng(0).normal(1.0, 1.0, 14)
    found = paired_shift(values, 0.025)
    inside, outside = found.low + 1e-9, found.low - 1e-9
    p = [stats.wilcoxon(values - shift, alternative="greater", method="exact").pvalue for shift in (inside, outside)]
    assert p[0] > 0.025 >= p[1]
    assert found.low < found.estimate < found.high


def test_two_sample_bounds_invert_the_rank_sum_test():
    generator = np.random.default_rng(1)
    before, after = generator.normal(0, 1, 6), generator.normal(2, 1, 8)
    found = two_sample_shift(before, after, 0.05)
    inside, outside = found.low + 1e-9, found.low - 1e-9
    p = [stats.mannwhitneyu(after - s, before, alternative="greater", method="exact").pvalue for s in (inside, outside)]
    assert p[0] > 0.05 >= p[1]
    assert found.low < found.estimate < found.high


def test_an_outlier_moves_an_estimate_by_little():
    values = [0.01, 0.012, 0.009, 0.011, 0.01, 0.008, 0.013, 0.01]
    assert paired_shift([*values, 50.0], 0.02).estimate == pytest.approx(0.0105, abs=0.001)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_bounds_of_equal_things_miss_no_more_often_than_they_say(alpha):
    generator = np.random.default_rng(2)
    noise = generator.standard_t(2, (2000, 10))
    assert np.mean([paired_shift(row, alpha).low > 0 for row in noise]) <= alpha + 3 * math.sqrt(alpha / 2000)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_the_fewest_pairs_with_a_bound(alpha):
    n = least_pairs(alpha)
    values = np.arange(1.0, n + 1)
    assert math.isfinite(paired_shift(values, alpha).low)
    assert paired_shift(values[:-1], alpha).low == -math.inf
    assert paired_shift(values[:-1], alpha).high == math.inf


def test_chances_of_ranks_count_every_order():
    before, after = [1.0, 4.0], [2.0, 3.0, 5.0]
    orders = [sum(b < a for b in set(range(5)) - set(chosen) for a in chosen) for chosen in itertools.combinations(range(5), 3)]
    bounded = two_sample_shift(before, after, 0.11)
    assert orders.count(0) / len(orders) <= 0.11 < (orders.count(0) + orders.count(1)) / len(orders)
    assert (bounded.low, bounded.high) == (-2.0, 4.0)


@pytest.mark.parametrize(("values", "alpha"), [([], 0.05), ([math.nan], 0.05), ([1.0], 0.0), ([1.0], 0.5)])
def test_what_cannot_be_bounded_is_refused(values, alpha):
    with pytest.raises(DataError):
        paired_shift(values, alpha)
