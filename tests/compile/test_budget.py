"""The budget of a compile: cut by weight, and only training counts against it."""

from __future__ import annotations

import time

import pytest
from edgewright.core.errors import UsageError
from edgewright.optimizer.purse import Purse


def test_parts_are_cut_by_weight_and_what_is_left_goes_on() -> None:
    purse = Purse("100s", [1.0, 3.0])
    with purse.part(1.0) as first:
        assert first is not None
        assert first.left_seconds() == pytest.approx(25.0, abs=0.5)
        assert first.whole_seconds == 100.0
    with purse.part(3.0) as second:
        assert second is not None
        assert second.left_seconds() == pytest.approx(100.0, abs=0.5)


def test_time_between_trainings_does_not_count() -> None:
    purse = Purse("10s", [1.0, 1.0])
    with purse.part(1.0):
        time.sleep(0.2)
    time.sleep(0.3)
    with purse.part(1.0) as last:
        assert last is not None
        assert 9.3 < last.left_seconds() <= 9.8


def test_a_training_that_fails_has_spent_its_time_too() -> None:
    purse = Purse("10s", [1.0, 1.0])
    with pytest.raises(RuntimeError), purse.part(1.0):
        time.sleep(0.2)
        raise RuntimeError
    with purse.part(1.0) as last:
        assert last is not None
        assert last.left_seconds() < 9.85


def test_without_a_budget_there_is_no_limit() -> None:
    with Purse(None, [1.0]).part(1.0) as part:
        assert part is None


def test_what_is_too_small_for_all_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"the budget '2s' is too small for 3 training\(s\); give at least 3 s, or fewer recipes"
    ):
        Purse("2s", [1.0, 5.0, 9.0])
