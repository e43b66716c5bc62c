"""Accuracy without labels, and when labels contradict it."""

from __future__ import annotations

import numpy as np
from edgewright.fleet.drift.accuracy import contradicted, estimated
from edgewright.fleet.drift.verdict import Compared, Estimated, Judged
from edgewright.fleet.drift.watched import Watched

GOOD = Estimated(0.9, 0.88, 0.92, 1000)


def test_the_accuracy_is_that_of_the_bins_weighted_by_todays_counts():
    confidence = Watched("confidence", "confidence", (0.5, 0.8), (1000, 1000, 2000), 0, (400, 800, 1900))
    plain = Watched("input x", "input", (0.0, 1.0), (5, 5, 5), 1)
    found = estimated([plain, confidence], [np.array([1, 1, 1]), np.array([500, 500, 0])], np.ones(2))
    assert found.count == 1000
    assert abs(found.accuracy - 0.6) < 1e-3
    assert 0.5 < found.low < 0.6 < found.high < 0.7
    wider = estimated([plain, confidence], [np.array([1, 1, 1]), np.array([500, 500, 0])], np.array([1.0, 20.0]))
    assert wider.low < found.low
    assert wider.high > found.high
    assert estimated([plain], [np.array([1, 1, 1])], np.ones(1)) is None
    assert estimated([confidence], [np.zeros(3, np.int64)], np.ones(1)) is None


SURPLUS = Watched("input x", "input", (0.0, 1.0), (0, 2000, 2000), 0, None, (0.0, 120.0, -120.0))
SURE = Watched("confidence", "confidence", (0.5, 0.8), (0, 0, 4000), 1, (0, 0, 3600))


def test_where_confidence_misleads_the_estimate_follows_what_compile_time_knew():
    still, moved = (
        estimated([SURPLUS, SURE], [np.array(at), np.array([0, 0, 1000])], np.ones(2)) for at in ([0, 500, 500], [0, 0, 1000])
    )
    assert abs(still.accuracy - 0.9) < 0.005
    assert abs(moved.accuracy - 0.84) < 0.01
    assert moved.low < 0.80
    assert moved.high > 0.88
    assert (still.doubt, moved.doubt) == ("", "")


def test_counts_alone_make_an_estimate_doubtful_where_the_reference_says_nothing():
    outside = estimated([SURPLUS, SURE], [np.array([400, 300, 300]), np.array([0, 0, 1000])], np.ones(2))
    assert "lie where the data of compile time had next to nothing (input x)" in outside.doubt
    assert outside.low < 0.6
    assert outside.high > 0.9
    misled = Watched("prediction", "prediction", (0.0, 1.0), (0, 3500, 500), 0, None, (0.0, 150.0, -150.0))
    wrong = estimated([misled, SURE], [np.array([0, 0, 1000]), np.array([0, 0, 1000])], np.ones(2))
    assert "confidence misled by" in wrong.doubt
    pooled = Watched("input x", "input", (0.0, 1.0), (0, 3900, 100), 0)
    far = estimated([pooled, SURE], [np.array([0, 0, 1000]), np.array([0, 0, 1000])], np.ones(2))
    assert "input x moved to where the data of compile time say little" in far.doubt
    near = estimated([pooled, SURE], [np.array([0, 900, 100]), np.array([0, 0, 1000])], np.ones(2))
    assert near.doubt == ""


def test_labels_that_agree_contradict_nothing_however_often_one_looks():
    generator = np.random.default_rng(3)
    wrong = 0
    for _ in range(40):
        windows = [(GOOD, int(generator.binomial(50, 0.9)), 50) for _ in range(20)]
        wrong += any(contradicted(windows[: end + 1]) is not None for end in range(20))
    assert wrong <= 5  # of 40, at 5 %


def test_labels_that_disagree_do_also_after_long_agreement():
    generator = np.random.default_rng(4)
    windows = [(GOOD, int(generator.binomial(50, 0.9)), 50) for _ in range(100)]
    assert contradicted(windows) is None
    after = [*windows, *((GOOD, 30, 50) for _ in range(2))]
    assert "30 were right" in contradicted(after)
    # Windows without labels say nothing, and long agreement lets the estimate be believed again.
    assert contradicted([*after, (GOOD, 0, 0)]) == contradicted(after)
    assert contradicted([*after, *((GOOD, 45, 50) for _ in range(40))]) is None


def test_what_was_judged_is_kept_as_json():
    compared = Compared("input x", "input", 10, 0.25, 0.2, 0.3, float("inf"), 0.01, 5.0, True, "severe", None, 0.1, None)
    told = Judged(3, (compared,), GOOD).to_json()
    assert told["measures"][0]["psi"] is None  # JSON knows no infinity
    assert Judged.from_json(told).measures[0].severity == "severe"
    assert Judged.from_json(Judged(3, (), None).to_json()) == Judged(3, (), None)
    assert Judged.from_json(told).accuracy == GOOD
