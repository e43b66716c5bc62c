import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.paired import (
    _tango,
    loss_bounds,
    normal_quantile,
    proportion_bounds,
    share_bounds,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest


@st.composite
def counts(draw, least=2, most=400):
    n = draw(st.integers(least, most))
    lost = draw(st.integers(0, n))
    return lost, draw(st.integers(0, n - lost)), n


def by_likelihood(lost, won, n, delta):
    """Tango's statistic with the constrained maximum of the likelihood found numerically instead of by his formula."""

    def loss(won_share):
        rest = 1 - 2 * won_share - delta
        terms = ((lost, won_share + delta), (won, won_share), (n - lost - won, rest))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    share = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (lost - won - n * delta) / math.sqrt(n * (2 * share + delta * (1 - delta)))


@pytest.mark.parametrize(("lost", "won", "n"), [(7, 1, 21), (12, 3, 100), (1, 5, 40), (20, 20, 150), (30, 2, 1000)])
def test_bounds_are_the_roots_of_an_independent_score_test(lost, won, n):
    z = float(normal_quantile(0.05))
    low, high = loss_bounds(lost, won, n, 0.05)
    middle = (lost - won) / n
    assert high == pytest.approx(brentq(lambda d: by_likelihood(lost, won, n, d) + z, middle, 0.9), abs=1e-6)
    assert low == pytest.approx(brentq(lambda d: by_likelihood(lost, won, n, d) - z, -0.9, middle), abs=1e-6)


def test_published_intervals():
    # Airway hyper-responsiveness before and after transplantation, as reported by Fagerland, Lydersen and Laake (2014).
    assert loss_bounds(1, 7, 21, 0.025) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert share_bounds(1, 7, 1, 21, 0.025) == pytest.approx((0.065, 0.907), abs=5e-4)


@given(st.integers(1, 5000), st.sampled_from([0.05, 0.04, 0.01, 0.0005]))
def test_without_flips_the_bound_has_a_closed_form(n, alpha):
    square = float(normal_quantile(alpha)) ** 2
    low, high = loss_bounds(0, 0, n, alpha)
    assert high == pytest.approx(square / (n + square), abs=1e-9)
    assert low == pytest.approx(-high, abs=1e-9)


@given(counts())
def test_swapping_the_models_mirrors_the_bounds(case):
    lost, won, n = case
    low, high = loss_bounds(lost, won, n, 0.05)
    other_low, other_high = loss_bounds(won, lost, n, 0.05)
    assert (low, high) == pytest.approx((-other_high, -other_low), abs=1e-9)
    assert -1 <= low <= (lost - won) / n <= high <= 1


@given(counts(), st.integers(2, 20))
def test_more_samples_of_the_same_kind_tighten_the_bound(case, factor):
    lost, won, n = case
    assert loss_bounds(lost * factor, won * factor, n * factor, 0.05)[1] <= loss_bounds(lost, won, n, 0.05)[1] + 1e-9


@given(counts(least=3))
def test_one_more_loss_raises_the_bound_and_a_stricter_level_widens_it(case):
    lost, won, n = case
    assume(lost + won < n)
    high = loss_bounds(lost, won, n, 0.05)[1]
    assert loss_bounds(lost + 1, won, n, 0.05)[1] >= high - 1e-9
    assert loss_bounds(lost, won, n, 0.01)[1] >= high - 1e-9


@given(counts(), st.floats(-0.9, 0.9), st.floats(0.001, 0.05))
def test_the_statistic_falls_with_the_loss(case, loss, step):
    lost, won, n = (np.asarray(part, dtype=float) for part in case)
    assert _tango(lost, won, n, np.asarray(loss)) >= _tango(lost, won, n, np.asarray(loss + step)) - 1e-7


def test_thousands_are_bounded_in_one_call():
    lost = np.arange(5000) % 40
    high = loss_bounds(lost, 3, 1000, 0.05)[1]
    assert high.shape == (5000,)
    assert high[17] == pytest.approx(float(loss_bounds(17, 3, 1000, 0.05)[1]))


@given(counts(least=5), st.integers(0, 400))
def test_the_share_lies_between_its_bounds(case, both):
    lost, won, n = case
    both = min(both, n - lost - won)
    assume(both + lost > 0)
    low, high = share_bounds(both, lost, won, n, 0.05)
    assert 0 <= low <= (both + won) / (both + lost) * (1 + 1e-6) + 1e-9
    assert high >= (both + won) / (both + lost) * (1 - 1e-6)


@settings(max_examples=30)
@given(st.integers(20, 300), st.data())
def test_share_bounds_are_roots_of_a_constrained_likelihood(n, data):
    lost, won = data.draw(st.integers(1, n // 5)), data.draw(st.integers(1, n // 5))
    both = data.draw(st.integers(n // 4, n - lost - won))
    low = float(share_bounds(both, lost, won, n, 0.05)[0])

    def likelihood(p_lost):
        p_both = ((both + lost + won) / n - (1 + low) * p_lost) / low
        p_won = (p_lost - (1 - low) * (both + lost + won) / n) / low
        if min(p_both, p_won, p_lost) <= 0:
            return 1e9 + abs(p_lost)
        return -(both * math.log(p_both) + lost * math.log(p_lost) + won * math.log(p_won))

    mass = (both + lost + won) / n
    ends = max(0.0, (1 - low) * mass), mass / (1 + low)
    p_lost = minimize_scalar(likelihood, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
    p_won = (p_lost - (1 - low) * mass) / low
    statistic = (both + won - low * (both + lost)) / math.sqrt(n * low * (p_lost + p_won))
    assert statistic == pytest.approx(float(normal_quantile(0.05)), abs=1e-3)


@given(st.integers(1, 300), st.data())
def test_exact_bounds_agree_with_scipy(n, data):
    k = data.draw(st.integers(0, n))
    expected = binomtest(k, n).proportion_ci(0.90, "exact")
    assert proportion_bounds(k, n, 0.05) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: loss_bounds(1, 1, 0, 0.05),
        lambda: loss_bounds(-1, 1, 10, 0.05),
        lambda: loss_bounds(6, 5, 10, 0.05),
        lambda: loss_bounds(1, 1, 10, 0.5),
        lambda: loss_bounds(1, 1, 10, 0.0),
        lambda: share_bounds(0, 0, 1, 10, 0.05),
        lambda: share_bounds(9, 1, 1, 10, 0.05),
        lambda: proportion_bounds(11, 10, 0.05),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(DataError):
        call()


@pytest.mark.parametrize("n", [268, 300, 304, 400, 1000])
def test_size_at_the_first_looks_level_at_the_worst_flip_rate(n):
    """Exact chance, over all outcomes, that the bound lies inside one point when every flip is a loss of one point."""
    lost = np.arange(0, 200)
    accepted = loss_bounds(lost, 0, n, 0.04)[1] < 0.01
    chances = [
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) * 0.01**k * 0.99 ** (n - k) for k in lost
    ]
    assert np.dot(chances, accepted) <= 0.05
