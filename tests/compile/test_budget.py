"""The budget of a compile: cut by weight, and only training counts against it."""

from __future__ import annotations

import time

import pytest
from edgewright.core.errors import UsageError
from edgewright.optimizer.purse import Purse

FIRST, SECOND, INT8 = ("a", "0: finetune"), ("b", "0: finetune"), ("a", "int8")


def test_parts_are_cut_by_weight_and_what_is_left_goes_on() -> None:
    purse = Purse("100s", {FIRST: 1.0, SECOND: 3.0})
    with purse.part(FIRST) as first:
        assert first is not None
        assert first.left_seconds() == pytest.approx(25.0, abs=0.5)
        assert first.whole_seconds == 100.0
    with purse.part(SECOND) as second:
        assert second is not None
        assert second.left_seconds() == pytest.approx(100.0, abs=0.5)
        assert second.share_seconds == purse.share_seconds(SECOND) == 75.0


def test_what_needs_no_time_leaves_its_share_to_those_to_come() -> None:
    purse = Purse("100s", {FIRST: 5.0, INT8: 1.0, SECOND: 4.0})
    for _ in range(2):  # a training that is found twice had one share
        purse.give_back(FIRST)
    with purse.part(INT8) as found:
        assert found is not None
        assert found.left_seconds() == pytest.approx(20.0, abs=0.5)
        assert found.share_seconds == 10.0
    purse.give_back(INT8)
    with purse.part(SECOND) as last:
        assert last is not None
        assert last.left_seconds() == pytest.approx(100.0, abs=0.5)


def test_a_variant_that_breaks_leaves_all_its_shares() -> None:
    purse = Purse("100s", {FIRST: 5.0, INT8: 1.0, SECOND: 4.0, ("b", "int8"): 1.0})
    purse.give_back_all("a")
    with purse.part(SECOND) as found:
        assert found is not None
        assert found.left_seconds() == pytest.approx(80.0, abs=0.5)


def test_time_between_trainings_does_not_count() -> None:
    purse = Purse("10s", {FIRST: 1.0, SECOND: 1.0})
    with purse.part(FIRST):
        time.sleep(0.2)
    time.sleep(0.3)
    with purse.part(SECOND) as last:
        assert last is not None
        assert 9.3 < last.left_seconds() <= 9.8


def test_a_training_that_fails_has_spent_its_time_too() -> None:
    purse = Purse("10s", {FIRST: 1.0, SECOND: 1.0})
    with pytest.raises(RuntimeError), purse.part(FIRST):
        time.sleep(0.2)
        raise RuntimeError
    with purse.part(SECOND) as last:
        assert last is not None
        assert last.left_seconds() < 9.85


def test_without_a_budget_there_is_no_limit() -> None:
    purse = Purse(None, {FIRST: 1.0})
    assert purse.share_seconds(FIRST) is None
    with purse.part(FIRST) as part:
        assert part is None


def test_what_is_too_small_for_all_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"the budget '2s' is too small for 3 training\(s\); give at least 3 s, or fewer recipes"
    ):
        Purse("2s", {FIRST: 1.0, INT8: 5.0, SECOND: 9.0})
