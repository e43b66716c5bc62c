"""Tests of one window: sizes that hold, SciPy's values where SciPy has them, the exact test's power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.binned_tests import bridge_tail, chi2_test, g_test, ks_test
from edgewright.stats.multiple import benjamini_hochberg, holm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control, ks_2samp, kstwobign, norm

RUNS = 600


@pytest.mark.parametrize("test", [ks_test, chi2_test, g_test], ids=lambda function: function.__name__)
@pytest.mark.parametrize(("size", "other"), [(200, 1000), (2000, 2000)])
def test_false_alarms_are_as_many_as_the_level_says(test: object, size: int, other: int) -> None:
    generator = np.random.default_rng(1)
    base = np.arange(1, 13) / np.arange(1, 13).sum()
    p = test(generator.multinomial(size, base, RUNS), generator.multinomial(other, base, RUNS))  # type: ignore[operator]
    for level in (0.1, 0.05, 0.01):
        assert abs(np.mean(p <= level) - level) <= 3.5 * math.sqrt(level * (1 - level) / RUNS) + 0.1 * level


def test_a_bridge_looked_at_once_is_normal_and_looked_at_always_is_kolmogorovs() -> None:
    assert bridge_tail(0.8, [0.3]) == pytest.approx(2 * norm.sf(0.8 / math.sqrt(0.21)), abs=1e-9)
    assert bridge_tail(1.2, np.arange(1, 4000) / 4000) == pytest.approx(kstwobign.sf(1.2))
    assert bridge_tail(1.2, np.arange(1, 256) / 256) == pytest.approx(kstwobign.sf(1.2 + 0.5826 / 16), rel=0.01)
    assert bridge_tail(1.2, np.arange(1, 16) / 16) < bridge_tail(1.2, np.arange(1, 32) / 32) < kstwobign.sf(1.2)
    assert bridge_tail([0.0, 9.0], [[0.2, 0.2, 0.6], [0.5, 1.0, 1.0]]) == pytest.approx([1.0, 0.0], abs=1e-60)


@given(st.lists(st.floats(0.02, 1), min_size=1, max_size=6), st.floats(0.3, 2))
def test_a_bridges_chance_lies_between_its_best_moments_and_the_sum_of_all(gaps: list[float], far: float) -> None:
    times = np.cumsum(gaps) / (sum(gaps) + 0.5)
    each = 2 * norm.sf(far / np.sqrt(times * (1 - times)))
    assert each.max() - 1e-6 <= bridge_tail(far, times) <= each.sum() + 1e-6


@pytest.mark.parametrize("size", [2000, 20000])
def test_thirty_two_bins_at_quantiles_see_what_the_exact_test_sees(size: int) -> None:
    generator = np.random.default_rng(size)
    shift = 2.2 / math.sqrt(size / 2)
    exact = binned = 0
    for _ in range(150 if size < 10_000 else 60):
        then, now = generator.normal(size=size), generator.normal(shift, 1, size)
        edges = np.quantile(then, np.arange(1, 32) / 32)
        counts = [np.bincount(np.searchsorted(edges, part, side="right"), minlength=32) for part in (now, then)]
        exact += ks_2samp(now, then, method="asymp").pvalue <= 0.05
        binned += ks_test(*counts) <= 0.05
    assert exact >= 20
    assert binned >= 0.9 * exact  # of few runs; benchmarks/drift_power.py has the figure


def test_chi_square_and_g_are_scipys_where_no_bin_is_pooled() -> None:
    now, then = [30, 50, 20, 60], [300, 450, 260, 500]
    assert chi2_test(now, then) == pytest.approx(chi2_contingency([now, then], correction=False).pvalue)
    assert g_test(now, then) == pytest.approx(chi2_contingency([now, then], correction=False, lambda_="log-likelihood").pvalue)


def test_small_bins_are_pooled_with_their_neighbours() -> None:
    now, then = [30, 1, 0, 2, 60, 1], [300, 8, 3, 40, 500, 9]
    merged = [[30, 3, 61], [300, 51, 509]]
    assert chi2_test(now, then) == pytest.approx(chi2_contingency(merged, correction=False).pvalue)
    assert chi2_test([3, 0], [40, 1]) == 1.0


def test_clusters_count_as_what_they_are_worth_and_empty_rows_are_not_tested() -> None:
    now, then = np.array([[300, 400, 300], [0, 0, 0]]), np.array([3000, 3000, 4000])
    for test in (ks_test, chi2_test, g_test):
        p, worth = test(now, then), test(now, then, deff=10)
        assert np.isnan(p[1])
        assert p[0] < 1e-6 < worth[0] < 1
        assert test(now[0] // 10, then) == pytest.approx(worth[0])
        with pytest.raises(DataError, match=r"\.$"):
            test(now, then, deff=0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_values_are_what_their_definitions_say(p: list[float]) -> None:
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected, order = set(), np.argsort(p, kind="stable")
        for step, index in enumerate(order):  # step down: stop at the first that is too large
            if p[index] * (len(p) - step) > level:
                break
            rejected.add(int(index))
        assert {index for index, value in enumerate(adjusted) if value <= level} == rejected
    assert np.all(adjusted >= benjamini_hochberg(p) - 1e-12)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p, method="bh"))


def test_what_was_not_tested_is_not_counted() -> None:
    p = [[0.01, np.nan, 0.04], [np.nan, np.nan, 0.2]]
    np.testing.assert_allclose(holm(p), [[0.02, np.nan, 0.04], [np.nan, np.nan, 0.2]])
    np.testing.assert_allclose(benjamini_hochberg(p), [[0.02, np.nan, 0.04], [np.nan, np.nan, 0.2]])
    with pytest.raises(DataError, match=r"\.$"):
        holm([0.5, 1.5])
