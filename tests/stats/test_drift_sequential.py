"""The sequential drift test: its promise exactly and under simulation, what it sees and how soon, and its state."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.binned_tests import ks_test
from edgewright.stats.drift_power import design_effect, window_power, windows_to_alarm
from edgewright.stats.drift_sequential import FEW_SETS, FEW_STRENGTHS, DriftTest, drift_test, level, padded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

EVEN = np.full(8, 1 / 8)


def tilted(distance: float) -> np.ndarray:
    """Eight bins whose Kolmogorov-Smirnov distance to the even ones is `distance`, reached in the middle."""
    return EVEN + np.repeat([-distance, distance], 4) / 4


def played(test: DriftTest, generator: np.random.Generator, share: np.ndarray, windows: int, size: int) -> list[float]:
    state, found = test.start(), []
    for _ in range(windows):
        state = test.update(state, generator.multinomial(size, share, test.measures))
        found.append(float(test.log_e(state).max()))
    return found


@settings(max_examples=25)
@given(st.integers(5, 60), st.integers(5, 40), st.floats(0.0, 0.2), st.floats(1.0, 4.0), st.floats(0.0, 1.0))
def test_the_mean_wealth_is_at_most_one_for_each_rate_that_the_reference_allows(
    inside: int, outside: int, delta: float, deff: float, part: float
) -> None:
    """Two bins, one window of 12 clusters of `deff` equal requests: over all outcomes, at every rate that is allowed."""
    test = drift_test([[inside, outside]], 1e-3, delta=delta)
    clusters = 12
    # The allowed rates follow from the odds of the bets: gain = ln(r / p), loss = ln((1 - r) / (1 - p)), r = p + s (1 - p).
    highest = 0.01 / (np.exp(test.gain[0, 0, 0, 0]) - 1 + 0.01) if test.weight[0, 0].any() else 1.0
    lowest = 1 - 0.01 / (np.exp(test.loss[0, 1, 0, 0]) - 1 + 0.01) if test.weight[0, 1].any() else 0.0
    assert lowest <= inside / (inside + outside) <= highest
    rate = lowest + part * (highest - lowest)
    hits = np.arange(clusters + 1)
    counts = deff * np.stack([hits, clusters - hits], axis=-1)[:, None, :]
    state = test.update(test.start((clusters + 1,)), counts, deff)
    assert binom.pmf(hits, clusters, rate) @ np.exp(test.log_e(state)[:, 0]) <= 1 + 1e-6


def test_at_the_largest_distance_allowed_hardly_any_measure_ever_raises_an_alarm() -> None:
    """800 references of 400 samples, windows of 500 for 150 hours, all exactly at delta: less than the level, all together."""
    generator = np.random.default_rng(1)
    aim = level(0.1, 1)
    test = drift_test(generator.multinomial(400, EVEN, 800), aim.band, delta=0.05)
    state, most = test.start(), np.full(800, -np.inf)
    for _ in range(150):
        state = test.update(state, generator.multinomial(500, tilted(0.05), 800))
        most = np.maximum(most, test.log_e(state))
    assert np.mean(most >= aim.bound) <= 0.05


def test_a_finite_reference_is_not_rejected_in_the_end() -> None:
    """The same windows and reference, but taken as exact: each reference of 400 samples is rejected sooner or later."""
    generator = np.random.default_rng(2)
    reference = generator.multinomial(400, EVEN, 100)
    aim = level(0.05, 100)
    careful = played(drift_test(reference, aim.band, delta=0.0), generator, EVEN, 40, 20_000)
    blind = played(drift_test(reference * 10**6, aim.band, delta=0.0), generator, EVEN, 40, 20_000)
    assert max(careful) < aim.bound < max(blind)


def test_drift_is_seen_soon_also_when_it_begins_late() -> None:
    generator = np.random.default_rng(3)
    aim = level(0.05, 50)
    test = drift_test(generator.multinomial(5000, EVEN, 50), aim.band)
    state = test.start()
    for _ in range(300):
        state = test.update(state, generator.multinomial(1000, EVEN, 50))
    assert np.all(test.log_e(state) < 0)
    foretold = windows_to_alarm(test, np.broadcast_to(tilted(0.2), (50, 8)), 1000, aim.bound, after=300.0)
    assert 1 <= np.median(foretold) <= 3
    needed = np.zeros(50, dtype=int)
    for number in range(1, 6):
        state = test.update(state, generator.multinomial(1000, tilted(0.2), 50))
        needed[(needed == 0) & (test.log_e(state) >= aim.bound)] = number
    assert np.all(needed > 0)
    assert abs(np.median(needed) - np.median(foretold)) <= 1
    found = test.leading(state)
    assert np.mean(np.abs(found.edge - 4) <= 1) > 0.9
    assert not found.is_more.any()  # the lower half has become rarer


def test_windows_of_few_requests_add_up() -> None:
    generator = np.random.default_rng(4)
    aim = level(0.05, 10, scopes=10_000)
    test = drift_test(np.tile([2000] * 8, (10, 1)), aim.band, sets=FEW_SETS, strengths=FEW_STRENGTHS)
    state = test.start((3,))
    share = np.stack([EVEN, tilted(0.4), tilted(-0.4)])
    for _ in range(60):
        state = test.update(state, generator.multinomial(10, share[:, None, :], (3, 10)))
    assert (test.log_e(state) >= aim.bound).tolist() == [[False] * 10, [True] * 10, [True] * 10]
    assert test.leading(state).is_more[1:].tolist() == [[False] * 10, [True] * 10]


def test_classes_are_told_from_an_order() -> None:
    """Two classes in the middle swap shares: far in the largest change, little in the distance over an order."""
    generator = np.random.default_rng(5)
    base, swapped = np.array([0.2, 0.2, 0.1, 0.3, 0.2]), np.array([0.2, 0.2, 0.3, 0.1, 0.2])
    aim = level(0.05, 2)
    test = drift_test(np.stack([base, base]) * 10_000, aim.band, nominal=[True, False], delta=0.1)
    state = test.start()
    for _ in range(5):
        state = test.update(state, np.tile(generator.multinomial(2000, swapped), (2, 1)))
    assert test.log_e(state)[0] > aim.bound
    assert test.leading(state).edge[0] in {2, 3}
    assert test.leading(state).is_more[0] == (test.leading(state).edge[0] == 2)
    half = test.start()
    for _ in range(5):  # over an order 0.1 is just allowed where the classes' change of 0.1 is
        half = test.update(half, np.tile(generator.multinomial(2000, (base + swapped) / 2), (2, 1)))
    assert np.all(test.log_e(half) < aim.bound)


def test_narrower_measures_are_padded_and_empty_ones_never_tested() -> None:
    rows = [np.array([300, 400, 300]), np.array([500, 500]), np.array([0, 0, 0])]
    test = drift_test(padded(rows), 1e-3)
    alone = drift_test(rows[:1], 1e-3)
    window = padded([np.array([600, 200, 200]), np.array([0, 900]), np.array([5, 9, 2])])
    state, single = test.update(test.start(), window), alone.update(alone.start(), window[:1])
    assert test.log_e(state)[1] > 5
    assert test.log_e(state)[2] == pytest.approx(0.0, abs=1e-9)
    assert abs(test.log_e(state)[0] - alone.log_e(single)[0]) < 1.0  # a bet more, on what lies beyond the last bin
    assert padded([np.zeros((4, 3), dtype=np.int64), np.zeros((4, 5), dtype=np.int64)]).shape == (4, 2, 5)


def test_a_window_without_requests_changes_nothing_and_clusters_slow_the_test() -> None:
    test = drift_test([[500] * 8], 1e-3)
    state = test.update(test.start(), [np.rint(1000 * tilted(0.3))])
    still = test.update(state, np.zeros((1, 8)))
    assert np.array_equal(still.money, state.money)
    assert np.array_equal(still.time, state.time)
    slow = test.update(test.start(), [np.rint(1000 * tilted(0.3))], deff=5.0)
    assert test.update(test.start(), [1000 * tilted(0.3) / 5]).money == pytest.approx(slow.money, rel=1e-3)
    assert test.log_e(slow)[0] < test.log_e(state)[0]


def test_a_state_survives_json_and_belongs_to_its_test() -> None:
    generator = np.random.default_rng(6)
    reference = generator.multinomial(3000, EVEN, 4)
    test = drift_test(reference, 1e-3)
    state = test.update(test.start((2, 3)), generator.multinomial(100, EVEN, (2, 3, 4)))
    read = test.from_json(json.loads(json.dumps(test.to_json(state))))
    assert np.array_equal(read.money, state.money)
    assert np.array_equal(read.time, state.time)
    again = generator.multinomial(100, tilted(0.3), (2, 3, 4))
    assert np.array_equal(test.update(read, again).money, test.update(state, again).money)
    for other in (drift_test(reference + 1, 1e-3), drift_test(reference, 1e-3, delta=0.1)):
        with pytest.raises(DataError, match="another reference"):
            other.from_json(test.to_json(state))
    for broken in ({"money": "AAAA"}, {"money": "*"}, {"shape": [2]}, {"time": [math.nan] * 24}, {"time": "x"}):
        with pytest.raises(DataError, match=r"anew\.$"):
            test.from_json(test.to_json(state) | broken)
    for strange in ({}, None, []):
        with pytest.raises(DataError, match=r"anew\.$"):
            test.from_json(strange)


def test_levels_of_all_measures_scopes_and_restarts_add_up_to_less_than_alpha() -> None:
    one = level(0.05, 50, scopes=10_000)
    assert math.exp(-one.bound) * 50 * 10_000 + one.band * 50 <= 0.05
    spent = sum(
        level(0.05, 1, restarts=number).band + math.exp(-level(0.05, 1, restarts=number).bound) for number in range(2000)
    )
    assert 0.0499 < spent <= 0.05


def test_power_and_delay_say_what_simulation_says() -> None:
    generator = np.random.default_rng(7)
    reference, changed = np.full(8, 500), tilted(0.04)
    foretold = window_power(reference, changed, 1500, 0.05)
    seen = np.mean(ks_test(generator.multinomial(1500, changed, 400), generator.multinomial(4000, EVEN, 400)) <= 0.05)
    assert foretold - 0.07 <= seen <= foretold + 0.15
    assert window_power(reference, changed, 1500, 0.05, deff=3) < foretold < window_power(reference, changed, 6000, 0.05)
    test = drift_test([reference], 1e-3)
    assert windows_to_alarm(test, [tilted(0.05)], 1000, 8.0, most=50)[0] == 0  # allowed, so never


def test_the_design_effect_is_the_size_of_clusters_of_equal_requests() -> None:
    generator = np.random.default_rng(8)
    alone = generator.multinomial(40, EVEN, 2000)
    assert design_effect(alone) == pytest.approx(1.0, abs=0.1)
    assert design_effect(generator.multinomial(4, EVEN, 2000) * 10) == pytest.approx(10, rel=0.1)
    assert design_effect(alone[:1]) == 1.0
    assert design_effect([[5, 0], [9, 0]]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: level(0.0, 1),
        lambda: level(0.05, 0),
        lambda: drift_test([1, 2, 3], 0.01),
        lambda: drift_test([[1, -2]], 0.01),
        lambda: drift_test([[1, 2]], 0.0),
        lambda: drift_test([[1, 2]], 0.01, strengths=(1.0,)),
        lambda: drift_test([[1, 2]], 0.01).update(drift_test([[1, 2]], 0.01).start(), [[1, 2, 3]]),
        lambda: drift_test([[1, 2]], 0.01).update(drift_test([[1, 2]], 0.01).start(), [[1, 2]], deff=0.5),
        lambda: window_power([1, 2], [0.5, 0.5], 0, 0.05),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(wrong: object) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        wrong()  # type: ignore[operator]
