"""Accuracy without labels: right where its assumption holds, refuted by labels where it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgewright.core.errors import DataError
from edgewright.stats.confidence_shift import Shift
from edgewright.stats.label_free import (
    Estimate,
    classes,
    confusion,
    contradiction,
    contradiction_log_e,
    estimate,
    unexplained,
    variance_of,
)

BINS = np.linspace(0.5, 1, 11)


def drawn(generator: np.random.Generator, size: int, tilt: float, loss: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Counts of confidence and of right answers; confidence is shifted by `tilt` (covariates), accuracy lowered by `loss`."""
    confidence = 0.5 + generator.beta(3 - tilt, 1 + tilt, size) / 2
    is_right = generator.random(size) < confidence**1.5 - loss  # over-confident, which the reference knows
    where = np.digitize(confidence, BINS[1:-1])
    return np.bincount(where, minlength=10), np.bincount(where, weights=is_right, minlength=10).astype(int)


@pytest.mark.parametrize(("tilt", "most"), [(0.0, 0.012), (1.0, 0.02), (1.8, 0.04)])
def test_under_covariate_shift_it_is_right_within_its_interval(tilt: float, most: float) -> None:
    """With a tilt of 1.8 two fifths of the requests lie in two bins that the reference has a dozen samples in."""
    generator, covered, errors = np.random.default_rng(1), [], []
    for _ in range(200):
        then, then_right = drawn(generator, 2000, 0.0)
        now, now_right = drawn(generator, 1000, tilt)
        found = estimate(now, then, then_right)
        assert found is not None
        true = now_right.sum() / now.sum()
        errors.append(found.accuracy - true)
        covered.append(found.low <= true <= found.high)
    assert np.mean(np.abs(errors)) < most
    assert np.mean(covered) >= 0.9


def test_the_value_is_the_reference_s_accuracy_weighted_by_todays_counts() -> None:
    found = estimate([5, 10, 85], [50, 100, 850], [30, 80, 840])
    assert found is not None
    assert found.accuracy == pytest.approx((5 * 0.6 + 10 * 0.8 + 85 * 840 / 850) / 100, abs=2e-3)
    assert found.samples == 100
    assert found.low < found.accuracy < found.high
    perfect = estimate([0, 100], [50, 50], [20, 50])
    assert perfect is not None
    assert perfect.accuracy > 0.99
    assert perfect.high == pytest.approx(1, abs=1e-3)
    assert perfect.low > 0.85
    assert estimate([0, 0], [5, 5], [5, 5]) is None
    assert estimate([5, 5], [0, 0], [0, 0]) is None


def test_few_samples_make_wide_intervals_and_bins_without_reference_borrow_from_the_rest() -> None:
    few, many = (estimate([size, size], [400, 400], [200, 390]) for size in (10, 10_000))
    small = estimate([10_000, 10_000], [40, 40], [20, 39])
    clustered = estimate([1000, 1000], [400, 400], [200, 390], deff=20)
    assert few is not None
    assert many is not None
    assert small is not None
    assert clustered is not None
    assert many.high - many.low < min(few.high - few.low, small.high - small.low, clustered.high - clustered.low)
    borrowed = estimate([0, 50, 50], [300, 2, 300], [150, 2, 270])
    assert borrowed is not None
    assert 0.7 < borrowed.accuracy <= 0.95


def test_concept_drift_is_not_seen_until_labels_refute_it() -> None:
    generator = np.random.default_rng(2)
    then, right = drawn(generator, 4000, 0.0)
    now, now_right = drawn(generator, 3000, 0.0, loss=0.12)
    found = estimate(now, then, right)
    assert found is not None
    true = now_right.sum() / now.sum()
    assert found.low > true + 0.05
    assert contradiction(found, round(200 * true), 200)
    assert not contradiction(found, round(200 * found.accuracy), 200)
    assert not contradiction(found, 0, 0)


def test_labels_may_be_looked_at_window_after_window() -> None:
    generator = np.random.default_rng(3)
    bound, runs, last = math.log(1 / 0.05), 40, 12

    def refuted(accuracy: float, alike: int = 1, deff: float = 1.0) -> float:
        right = alike * generator.binomial(30 // alike, accuracy, (runs, last))
        windows = [[(0.88, 0.92, int(hits), 30) for hits in row] for row in right]
        return float(
            np.mean([any(contradiction_log_e(row[:end], deff) >= bound for end in range(3, last + 1, 3)) for row in windows])
        )

    assert refuted(0.92) <= 0.05
    assert refuted(0.88) <= 0.05
    assert refuted(0.88, alike=10, deff=10.0) <= 0.05
    assert refuted(0.88, alike=10) > 0.2  # what the design effect is there for
    assert refuted(0.75) >= 0.95
    assert contradiction_log_e([(0.88, 0.92, 0, 0)]) < -100


def test_what_labels_can_contradict_leaves_out_the_chance_of_which_requests_are_right() -> None:
    few, many = (estimate([size, size], [400, 400], [200, 390]) for size in (10, 10_000))
    assert few is not None
    assert many is not None
    assert (few.least, few.most) == (many.least, many.most)
    assert few.low < few.least < few.accuracy < few.most < few.high


def test_a_shift_moves_the_estimate_and_widens_its_interval_by_as_much_again() -> None:
    plain, moved, bare = (
        estimate([500, 500], [4000, 4000], [3000, 3900], moved=shift)
        for shift in (None, Shift(-0.08, 0.0, 0.0), Shift(0.0, 0.0, 0.3))
    )
    assert plain is not None
    assert moved is not None
    assert bare is not None
    assert moved.accuracy == pytest.approx(plain.accuracy - 0.08)
    assert moved.low < plain.accuracy - 0.16 + 0.01
    assert moved.high > plain.accuracy - 0.01
    assert bare.low == pytest.approx(0.7 * plain.low)
    assert bare.high == pytest.approx(0.7 * plain.high + 0.3)


def test_no_sample_explains_itself() -> None:
    generator = np.random.default_rng(5)
    place, right = np.arange(600) % 300, generator.random(600) < 0.5  # two samples a bin
    more = unexplained(place, right, 300)
    assert abs(np.mean(more[right])) == pytest.approx(0.5, abs=0.06)
    assert variance_of([100, 100], [50, 100]) == pytest.approx(0.14, abs=0.03)


def test_precision_recall_and_confusion_of_two_classes() -> None:
    then, right = np.array([[100, 200], [100, 200]]), np.array([[60, 190], [70, 180]])
    now = np.array([[50, 50], [20, 180]])
    table = confusion(now, then, right)
    hits = [50 * 0.6 + 50 * 0.95, 20 * 0.7 + 180 * 0.9]
    np.testing.assert_allclose(table, [[hits[0], 200 - hits[1]], [100 - hits[0], hits[1]]], atol=1.0)
    np.testing.assert_allclose(table.sum(axis=0), [100, 200])
    first, second = classes(table, now.sum(axis=1))
    assert first.precision == pytest.approx(hits[0] / 100, abs=0.01)
    assert first.recall == pytest.approx(hits[0] / (hits[0] + 200 - hits[1]), abs=0.01)
    assert second.f1 == pytest.approx(2 * hits[1] / (200 + hits[1] + 100 - hits[0]), abs=0.01)


def test_of_more_classes_the_truth_of_wrong_answers_comes_from_the_reference() -> None:
    then, right = np.full((3, 1), 100), np.array([[90], [80], [70]])
    now = np.array([[10], [20], [0]])
    unknown = classes(confusion(now, then, right), now.sum(axis=1))
    assert unknown[0].precision == pytest.approx(0.9, abs=0.01)
    assert unknown[0].recall is None
    assert unknown[2].precision is None
    table = confusion(now, then, right, mistakes=[[90, 20, 15], [0, 80, 15], [10, 0, 70]])
    np.testing.assert_allclose(table, [[9, 4, 0], [0, 16, 0], [1, 0, 0]], atol=0.2)
    assert classes(table, now.sum(axis=1))[0].recall == pytest.approx(9 / 13, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: estimate([1, 2], [1, 2, 3], [1, 2, 3]),
        lambda: estimate([1, 2], [3, 4], [4, 4]),
        lambda: estimate([1, 2], [3, 4], [3, 4], alpha=0.0),
        lambda: confusion([1, 2], [3, 4], [3, 4]),
        lambda: contradiction(Estimate(0.9, 0.8, 1.0, 5, 0.8, 1.0), 6, 5),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(wrong: object) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        wrong()  # type: ignore[operator]
