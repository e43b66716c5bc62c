"""Detectors on streams, beside River's, on single values and on windows."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.streams import Adwin, Bucket, PageHinkley
from hypothesis import given
from hypothesis import strategies as st
from river.drift import ADWIN
from river.drift import PageHinkley as RiversPageHinkley

WINDOWS = st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 50)), min_size=2, max_size=40)


def alarms(detector: object, values: np.ndarray) -> list[int]:
    return [number for number, value in enumerate(values) if detector.update(float(value))]  # type: ignore[attr-defined]


def rivers(detector: object, values: np.ndarray) -> list[int]:
    found = []
    for number, value in enumerate(values):
        detector.update(float(value))  # type: ignore[attr-defined]
        if detector.drift_detected:  # type: ignore[attr-defined]
            found.append(number)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_page_hinkley_is_rivers_on_single_values(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.concatenate([generator.normal(mean, 0.2, 400) for mean in (0.3, 0.5, 0.1)])
    assert alarms(PageHinkley(threshold=8), values) == rivers(RiversPageHinkley(threshold=8), values)


def test_adwin_is_as_quick_as_rivers_and_as_quiet() -> None:
    late = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        values = np.clip(np.concatenate([generator.normal(mean, 0.15, 500) for mean in (0.4, 0.6)]), 0, 1)
        ours, theirs = alarms(Adwin(), values), rivers(ADWIN(clock=1), values)
        assert min(ours) >= 500
        late.append((ours[0], theirs[0]))
    ours_late, theirs_late = np.mean(late, axis=0) - 500
    assert 0.8 * theirs_late <= ours_late <= 1.2 * theirs_late
    kept = Adwin()
    alarms(kept, values)
    whole = kept.total
    assert whole is not None
    assert whole.mean == pytest.approx(0.6, abs=0.02)
    assert sum(map(len, kept.rows)) <= 6 * len(kept.rows)


def test_adwin_sees_a_share_change_in_windows_of_requests() -> None:
    generator = np.random.default_rng(1)
    detector, found = Adwin(), []
    for number in range(200):
        rate = 0.1 if number < 100 else 0.2
        share = generator.binomial(500, rate) / 500
        if detector.update(share, 500, share * (1 - share)):
            found.append(number)
    assert 100 <= found[0] <= 104
    whole = detector.total
    assert whole is not None
    assert whole.mean == pytest.approx(0.2, abs=0.01)


@given(WINDOWS)
def test_buckets_add_up_to_the_variance_of_all_and_come_apart_again(windows: list[tuple[float, float]]) -> None:
    values, weights = map(np.array, zip(*windows, strict=True))
    whole = Bucket(windows[0][1], windows[0][0], 0.0)
    for value, weight in windows[1:]:
        whole = whole.joined(Bucket(weight, value, 0.0))
    mean = np.average(values, weights=weights)
    assert whole.mean == pytest.approx(mean)
    assert whole.spread == pytest.approx(np.sum(weights * (values - mean) ** 2), abs=1e-9)
    first = Bucket(windows[0][1], windows[0][0], 0.0)
    rest = whole.without(first)
    assert rest.mean == pytest.approx(np.average(values[1:], weights=weights[1:]), abs=1e-6)
    assert rest.joined(first).spread == pytest.approx(whole.spread, abs=1e-6)


def test_states_survive_json_and_windows_without_weight_change_nothing() -> None:
    first, second = PageHinkley(threshold=3), Adwin()
    for value in np.random.default_rng(2).random(50):
        first.update(value)
        second.update(value)
    before = asdict(second)
    assert not second.update(0.9, 0.0)
    assert not first.update(0.9, 0.0)
    assert asdict(second) == before
    again = PageHinkley(**json.loads(json.dumps(asdict(first))))
    assert again == first
    for detector in (first, second):
        with pytest.raises(DataError, match=r"\.$"):
            detector.update(float("nan"))
