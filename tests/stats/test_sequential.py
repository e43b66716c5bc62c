"""E-processes: what they promise holds under simulation and exactly, and the arrays are the same tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.sequential import MeanTest, RateTest, at_least, at_most, fewest_without_failure, log_bound
from edgewright.stats.sequential_arrays import first_reach, mean_paths, rate_paths
from hypothesis import given
from hypothesis import strategies as st

RUNS = 4000
RATES = st.floats(0.001, 0.8)


def stopped_within(test: RateTest, rate: float, alpha: float, trials: int, upwards: bool) -> list[float]:
    """Exact probability that the bound was reached, after each trial, by walking over all numbers of failures."""
    alive = {0: 1.0}
    found, total = [], 0.0
    for count in range(1, trials + 1):
        ahead: dict[int, float] = {}
        for bad, mass in alive.items():
            ahead[bad] = ahead.get(bad, 0.0) + mass * (1 - rate)
            ahead[bad + 1] = ahead.get(bad + 1, 0.0) + mass * rate
        alive = {}
        for bad, mass in ahead.items():
            if test.log_e(bad, count) >= log_bound(alpha):
                total += mass
            else:
                alive[bad] = mass
        found.append(total)
    return found


def median(shares: list[float]) -> int:
    return next(count for count, share in enumerate(shares, 1) if share >= 0.5 - 1e-12)


@given(RATES, RATES)
def test_the_mean_wealth_never_exceeds_one_while_the_rate_is_allowed(allowed: float, share: float) -> None:
    test, rate = at_most(allowed), allowed * share
    for up, down in test.log_ratios:
        assert rate * math.exp(up) + (1 - rate) * math.exp(down) <= 1 + 1e-9


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_the_mean_wealth_never_exceeds_one_while_the_rate_is_unacceptable(
    unacceptable: float, hoped: float, more: float
) -> None:
    test = at_least(unacceptable, unacceptable * hoped)
    rate = unacceptable + more * (1 - unacceptable)
    for up, down in test.log_ratios:
        assert rate * math.exp(up) + (1 - rate) * math.exp(down) <= 1 + 1e-9


@given(st.floats(0.005, 0.5), st.lists(st.booleans(), min_size=1, max_size=60))
def test_more_failures_never_lower_the_wealth_and_the_arrays_agree(allowed: float, failures: list[bool]) -> None:
    for test, sign in ((at_most(allowed), 1.0), (at_least(min(0.9, allowed * 2), allowed), -1.0)):
        path = test.path(failures)
        np.testing.assert_allclose(rate_paths(test, [failures])[0], path, atol=1e-9)
        worse = [True, *failures[1:]]
        assert sign * test.path(worse)[-1] >= sign * path[-1] - 1e-9
        assert path[-1] == pytest.approx(test.log_e(sum(failures), len(failures)))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(-0.9, 0.9))
def test_the_wealth_of_bets_is_the_same_in_arrays_and_in_any_order(values: list[float], null: float) -> None:
    test = MeanTest(null, -1.0)
    path = test.path(values)
    np.testing.assert_allclose(mean_paths(test, [values])[0], path, atol=1e-7)
    assert test.path(values[::-1])[-1] == pytest.approx(path[-1], abs=1e-7)


def test_a_canary_is_aborted_as_soon_as_the_targets_say_and_hardly_ever_falsely() -> None:
    test = at_most(0.03)
    assert stopped_within(test, 0.03, 0.05, 500, True)[-1] < 0.04
    for alpha in (0.05, 0.04):  # of one stage, and of the first of several
        medians = [median(stopped_within(test, rate, alpha, 150, True)) for rate in (0.10, 0.20, 0.50)]
        assert medians[0] <= 70
        assert medians[1] <= 15
        assert medians[2] <= 3


def test_an_unacceptable_version_is_hardly_ever_proven() -> None:
    test = at_least(0.10, 0.03)
    assert stopped_within(test, 0.10, 0.05, 500, False)[-1] <= 0.05
    assert median(stopped_within(test, 0.03, 0.05, 200, False)) <= 60


def test_the_fewest_devices_that_can_prove_something() -> None:
    test = at_least(0.10, 0.03)
    count = fewest_without_failure(test, 0.05)
    assert test.log_e(0, count) >= math.log(20) > test.log_e(0, count - 1)
    assert count == 34


@pytest.mark.parametrize("spread", [0.02, 0.3, 1.0])
def test_bets_on_a_mean_that_holds_are_lost(spread: float) -> None:
    """Values of -spread and +spread around a mean of exactly the null, the hardest there are."""
    values = np.random.default_rng(5).choice([-spread, spread], (RUNS, 300))
    share = np.mean(first_reach(mean_paths(MeanTest(0.01, -1.0), values + 0.01 * (1 - spread)), log_bound(0.05)) > 0)
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_bets_on_rare_large_values_that_hold_are_lost() -> None:
    values = (np.random.default_rng(6).random((RUNS, 300)) < 0.15).astype(float)
    share = np.mean(first_reach(mean_paths(MeanTest(0.15, 0.0), values), log_bound(0.05)) > 0)
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_bets_find_a_mean_that_is_too_high_soon() -> None:
    drawn = np.random.default_rng(7).beta(2, 8, (RUNS, 200))
    slow = first_reach(mean_paths(MeanTest(0.15, 0.0), np.clip(drawn + 0.5, 0, 1)), log_bound(0.05))
    assert np.median(slow) <= 5
    errors = first_reach(mean_paths(MeanTest(0.01, -1.0), drawn + 0.1), log_bound(0.05))
    assert np.median(errors) <= 20


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: at_most(0.0),
        lambda: at_most(1.0),
        lambda: at_least(0.1, 0.1),
        lambda: at_least(0.1, 0.0),
        lambda: log_bound(0.0),
        lambda: MeanTest(0.0, 0.0),
        lambda: MeanTest(0.0, -1.0).path([-1.5]),
        lambda: MeanTest(0.0, -1.0).path([math.nan]),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(wrong: object) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        wrong()  # type: ignore[operator]
