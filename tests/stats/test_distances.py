"""Distances of binned samples: beside SciPy's, at their limits, and their intervals under simulation."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.distances import (
    hellinger,
    interval,
    jensen_shannon,
    ks,
    largest_change,
    psi,
    shares,
    total_variation,
    wasserstein,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

COUNTS = arrays.arrays(np.int64, 8, elements=st.integers(0, 50)).filter(lambda drawn: drawn.sum() > 0)
ALL = (ks, largest_change, total_variation, hellinger, jensen_shannon, psi)


@given(COUNTS, COUNTS)
def test_what_scipy_computes_is_the_same(now: np.ndarray, then: np.ndarray) -> None:
    values = np.repeat(np.arange(8), now), np.repeat(np.arange(8), then)
    assert ks(now, then) == pytest.approx(ks_2samp(*values).statistic)
    assert jensen_shannon(now, then) == pytest.approx(jensenshannon(now, then), abs=1e-7)


@given(COUNTS, COUNTS, COUNTS)
def test_all_are_symmetric_bounded_and_ordered_and_most_obey_the_triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    for distance in ALL:
        assert distance(a, a) == pytest.approx(0, abs=1e-7)
        assert distance(a, b) == pytest.approx(float(distance(b, a)))
    for metric in (ks, largest_change, total_variation, hellinger, jensen_shannon):
        assert metric(a, c) <= metric(a, b) + metric(b, c) + 1e-9
    assert largest_change(a, b) <= total_variation(a, b) + 1e-12
    assert ks(a, b) <= total_variation(a, b) + 1e-12
    assert hellinger(a, b) ** 2 <= total_variation(a, b) + 1e-12 <= np.sqrt(2) * hellinger(a, b) + 1e-6


@given(COUNTS, COUNTS)
def test_wasserstein_is_that_of_values_spread_in_their_bins(now: np.ndarray, then: np.ndarray) -> None:
    edges = np.array([0.0, 1.0, 1.5, 4.0, 4.1, 7.0, 9.0])
    inside = [np.linspace(low, high, 402)[1:-1] for low, high in pairwise(edges)]
    values = np.concatenate([[edges[0]], *inside, [edges[-1]]])
    weights = [np.concatenate([[part[0]], np.repeat(part[1:-1] / 400, 400), [part[-1]]]) for part in (now, then)]
    assert wasserstein(now, then, edges) == pytest.approx(wasserstein_distance(values, values, *weights), abs=0.02)


def test_disjoint_samples_are_as_far_apart_as_can_be() -> None:
    left, right = [5, 0, 0], [0, 0, 9]
    assert ks(left, right) == total_variation(left, right) == hellinger(left, right) == largest_change(left, right) == 1
    assert jensen_shannon(left, right) == pytest.approx(np.sqrt(np.log(2)))
    assert wasserstein(left, right, [2.0, 5.0]) == pytest.approx(3.0)
    assert np.isfinite(psi(left, right))


def test_leading_axes_broadcast_and_empty_rows_have_no_distance() -> None:
    now = np.array([[[1, 2, 3], [0, 0, 0]], [[3, 2, 1], [1, 1, 1]]])
    for distance in ALL:
        found = distance(now, [1, 1, 1])
        assert found.shape == (2, 2)
        assert np.isnan(found[0, 1])
        assert found[1, 1] == pytest.approx(0)
        assert found[1, 0] == pytest.approx(float(distance([3, 2, 1], [1, 1, 1])))
    assert np.isnan(wasserstein(now, [1, 1, 1], [0.0, 1.0])).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("distance", [ks, total_variation, hellinger, psi], ids=lambda function: function.__name__)
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_an_interval_holds_the_true_distance_about_as_often_as_it_says(distance: object, shift: float) -> None:
    generator = np.random.default_rng(3)
    base = np.full(16, 1 / 16)
    changed = base + shift * np.linspace(-1, 1, 16) / 16
    now, then = generator.multinomial(1500, changed, 200), generator.multinomial(4000, base, 200)
    low, high = interval(distance, now, then, 0.1, seed=1, resamples=120)  # type: ignore[arg-type]
    true = float(distance(changed, base))  # type: ignore[operator]
    assert np.mean(low <= true + 1e-12) >= 0.88
    assert np.mean(high >= true - 1e-12) >= 0.88
    assert np.all(low <= distance(now, then) + 1e-12)  # type: ignore[operator]
    if shift == 0.5:
        assert np.mean(low) > 0.7 * true


def test_an_interval_of_clustered_requests_is_wider() -> None:
    now, then = [300, 400, 300], [3000, 3000, 4000]
    low, high = interval(ks, now, then, seed=1)
    wide_low, wide_high = interval(ks, now, then, seed=1, deff=10)
    assert wide_low < low < high < wide_high
    assert [float(end) for end in interval(ks, now, then, seed=1)] == [float(low), float(high)]
    assert np.all(np.isnan(interval(ks, [0, 0, 0], then, seed=1)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: shares([1, -1]),
        lambda: shares([np.nan, 1.0]),
        lambda: shares(3),
        lambda: wasserstein([1, 2, 3], [1, 2, 3], [0.0, 1.0, 2.0]),
        lambda: interval(ks, [1, 2], [1, 2], 0.0, seed=1),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(wrong: object) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        wrong()  # type: ignore[operator]


EVIDENTLY = os.environ.get("EDGEWRIGHT_EVIDENTLY", "")
_THEIRS = """
import json, sys
import numpy as np, pandas as pd
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon
from evidently.legacy.calculations.stattests.hellinger_distance import _hellinger_distance
from evidently.legacy.core import ColumnType
found = []
for pair in json.load(sys.stdin):
    then, now = (pd.Series(np.repeat([f"c{i}" for i in range(len(part))], part)) for part in pair)
    tests = (_psi, _jensenshannon, _hellinger_distance)
    found.append([float(test(then.copy(), now.copy(), ColumnType.Categorical, 0.1)[0]) for test in tests])
print(json.dumps(found))
"""


@pytest.mark.skipif(not EVIDENTLY, reason="EDGEWRIGHT_EVIDENTLY names no Python with Evidently (it needs pandas below 3)")
def test_evidently_computes_the_same() -> None:
    pairs = [([500, 300, 200, 100], [200, 300, 450, 50]), ([5, 900, 40, 55], [200, 300, 450, 50])]
    told = subprocess.run([EVIDENTLY, "-c", _THEIRS], input=json.dumps(pairs), capture_output=True, text=True, check=True)
    ours = [[float(distance(now, then)) for distance in (psi, jensen_shannon, hellinger)] for then, now in pairs]
    np.testing.assert_allclose(json.loads(told.stdout), ours, rtol=1e-6)
