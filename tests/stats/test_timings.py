import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.quantiles import quantile_upper_bound
from edgewright.stats.ratio import ratio_interval
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom


def test_ratio_of_disturbed_rounds_is_found():
    rng = np.random.default_rng(0)
    reference = 10 * (1 + 0.3 * rng.random(40))
    interval = ratio_interval(reference * 0.8 * (1 + 0.01 * rng.normal(size=40)), reference)
    assert interval.low <= interval.ratio <= interval.high
    assert interval.low < 0.8 < interval.high


@given(st.lists(st.floats(0.1, 100), min_size=5, max_size=30), st.floats(0.1, 10))
def test_a_constant_factor_is_certain(times, factor):
    interval = ratio_interval(np.array(times) * factor, times, 0.9, 1)
    assert interval.ratio == pytest.approx(factor)
    assert interval.low <= interval.ratio * (1 + 1e-9)
    assert interval.high >= interval.ratio * (1 - 1e-9)


def test_runs_of_a_round_count_as_their_median_and_seeds_repeat():
    rng = np.random.default_rng(2)
    candidate, reference = rng.uniform(1, 2, (9, 51)), rng.uniform(1, 2, (9, 51))
    assert ratio_interval(candidate, reference, 0.9, 3) == ratio_interval(
        np.median(candidate, axis=1), np.median(reference, axis=1), 0.9, 3
    )
    wide, narrow = ratio_interval(candidate, reference, 0.99), ratio_interval(candidate, reference, 0.5)
    assert wide.low <= narrow.low <= narrow.high <= wide.high


@pytest.mark.parametrize(
    ("candidate", "reference", "confidence"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 0.9),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], 0.9),
        ([1, 2, 3, 4, np.nan], [1, 2, 3, 4, 5], 0.9),
        ([1, 2, 3, 4, 0], [1, 2, 3, 4, 5], 0.9),
        ([], [], 0.9),
        (np.ones((5, 2, 2)), np.ones((5, 2, 2)), 0.9),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 1.0),
    ],
)
def test_bad_timings_are_refused(candidate, reference, confidence):
    with pytest.raises(DataError):
        ratio_interval(candidate, reference, confidence)


def test_p90_needs_44_values():
    assert quantile_upper_bound(np.arange(43)) is None
    assert quantile_upper_bound(np.arange(44)) == 43
    assert quantile_upper_bound([]) is None


@given(st.integers(44, 3000))
def test_the_bound_is_the_lowest_order_statistic_that_is_sure_enough(n):
    rank = int(quantile_upper_bound(np.arange(n))) + 1
    # The rank-th smallest lies above the true p90 unless rank or more values lie below it.
    assert binom.cdf(rank - 1, n, 0.9) >= 0.99 - 1e-12
    assert rank == 1 or binom.cdf(rank - 2, n, 0.9) < 0.99 + 1e-12


@pytest.mark.parametrize("arguments", [([1, np.inf],), ([1.0], 1.0), ([1.0], 0.9, 0.0)])
def test_bad_quantiles_are_refused(arguments):
    with pytest.raises(DataError):
        quantile_upper_bound(*arguments)
