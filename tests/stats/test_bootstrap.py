import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.bootstrap import bca_bounds, indexed_statistic, mean_statistic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap


@pytest.mark.parametrize("name", ["exponential", "normal", "lognormal"])
def test_agrees_with_scipy(name):
    values = getattr(np.random.default_rng(3), name)(size=400)
    ours = bca_bounds(mean_statistic(values), np.ones(400), 0.05, seed=1)
    theirs = bootstrap(
        (values,), np.mean, confidence_level=0.90, method="BCa", n_resamples=10_000, rng=np.random.default_rng(2)
    )
    interval = theirs.confidence_interval
    width = interval.high - interval.low
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(interval.low, abs=0.05 * width)
    assert ours.high == pytest.approx(interval.high, abs=0.05 * width)
    assert ours.error == pytest.approx(theirs.standard_error, rel=0.05)


def test_agrees_with_scipy_on_a_paired_difference():
    rng = np.random.default_rng(5)
    a = rng.normal(size=300)
    b = a + 0.2 * rng.exponential(size=300)
    ours = bca_bounds(lambda w: np.sqrt(w @ b**2 / 300) - np.sqrt(w @ a**2 / 300), np.ones(300), 0.05, seed=0)

    def difference(x, y, axis):
        return np.sqrt(np.mean(y**2, axis=axis)) - np.sqrt(np.mean(x**2, axis=axis))

    theirs = bootstrap((a, b), difference, paired=True, confidence_level=0.90, n_resamples=10_000, rng=np.random.default_rng(1))
    interval = theirs.confidence_interval
    width = interval.high - interval.low
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=0.06 * width)


def test_counts_stand_for_repeated_rows():
    repeated = np.repeat([0.0, 1.0, 5.0], [120, 60, 20])
    rows = bca_bounds(mean_statistic([0.0, 1.0, 5.0]), [120, 60, 20], 0.05, seed=0)
    samples = bca_bounds(mean_statistic(repeated), np.ones(200), 0.05, seed=0)
    assert rows.units == samples.units == 200
    assert (rows.low, rows.high) == pytest.approx((samples.low, samples.high), abs=0.02)


def test_groups_widen_the_bounds_of_correlated_samples():
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 10
    values = rng.normal(size=40)[groups] + 0.1 * rng.normal(size=400)
    alone = bca_bounds(mean_statistic(values), np.ones(400), 0.05, seed=0)
    together = bca_bounds(mean_statistic(values), np.ones(400), 0.05, seed=0, groups=groups)
    assert together.units == 40
    assert together.error > 2.5 * alone.error
    assert together.low < alone.low < alone.high < together.high


def test_function_of_indices_gives_the_weighted_result():
    values = np.random.default_rng(0).normal(size=50)
    slow = bca_bounds(indexed_statistic(lambda at: float(values[at].mean()), 50), np.ones(50), 0.05, seed=4, resamples=500)
    fast = bca_bounds(mean_statistic(values), np.ones(50), 0.05, seed=4, resamples=500)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(20, 120))
def test_order_seed_and_level(seed, n):
    statistic = mean_statistic(np.random.default_rng(seed).exponential(size=n))
    bounds = {alpha: bca_bounds(statistic, np.ones(n), alpha, seed=seed, resamples=1000) for alpha in (0.05, 0.01, 1e-3, 1e-5)}
    assert bca_bounds(statistic, np.ones(n), 0.05, seed=seed, resamples=1000) == bounds[0.05]
    lows = [bound.low for bound in bounds.values()]
    highs = [bound.high for bound in bounds.values()]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    assert lows[0] <= bounds[0.05].estimate <= highs[0]


def test_negating_the_statistic_mirrors_the_bounds():
    values = np.random.default_rng(1).exponential(size=200)
    plus = bca_bounds(mean_statistic(values), np.ones(200), 0.05, seed=0)
    minus = bca_bounds(mean_statistic(-values), np.ones(200), 0.05, seed=0)
    assert (plus.low, plus.high) == pytest.approx((-minus.high, -minus.low), rel=2e-3)


def test_what_is_not_a_number_counts_against_both_ends():
    values = np.arange(100.0)

    def statistic(weights):
        mean = weights @ values / 100
        return np.where(weights[:, 0] == 0, np.nan, mean)

    bounds = bca_bounds(statistic, np.ones(100), 0.05, seed=0)
    assert bounds.low == -math.inf
    assert bounds.high == math.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: bca_bounds(mean_statistic([1.0]), [1], 0.05, seed=0),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, 1], 0.7, seed=0),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, 1], 0.05, seed=0, resamples=10),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, -1], 0.05, seed=0),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, 1.5], 0.05, seed=0),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, 1], 0.05, seed=0, groups=np.array([0])),
        lambda: bca_bounds(mean_statistic([1.0, 2.0]), [1, 1], 0.05, seed=0, groups=np.array([0, 0])),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(DataError):
        call()


def test_a_statistic_that_resampling_always_lowers_has_no_bounds():
    bounds = bca_bounds(lambda weights: (weights > 0).mean(axis=1), np.ones(100), 0.05, seed=0)
    assert bounds.estimate == 1
    assert (bounds.low, bounds.high) == (-math.inf, math.inf)
