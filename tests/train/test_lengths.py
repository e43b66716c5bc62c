"""The plans of a training under budgets: which of them another share goes on with, and when a new one is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgewright.core.store import StepStore
from edgewright.optimizer.train.lengths import Lengths


def _lengths(folder: Path, done: dict[int, float], whole: int = 1000) -> Lengths:
    return Lengths(StepStore(folder), {"model": "m"}, whole, lambda epochs: done.get(epochs, 0.0))


@pytest.mark.parametrize(
    ("share", "done", "stands"),
    [
        (100.0, 0.0, True),  # the same request, killed at its beginning
        (190.0, 0.0, True),
        (200.0, 1.0, False),  # room for a course of twice the length
        (60.0, 0.5, True),  # it gets to the end
        (60.0, 0.2, False),  # it would be cut, and a plan of its own gets further
        (10.0, 0.5, True),  # further than a plan of its own would get
        (10.0, 0.05, False),
        (1.0, 1.0, True),
    ],
)
def test_a_plan_stands_where_going_on_is_no_worse(tmp_path: Path, share: float, done: float, stands: bool) -> None:
    lengths = _lengths(tmp_path, {50: done})
    assert lengths.standing(100.0) is None
    assert lengths.planned(50.9, 100.0) == 50
    assert lengths.standing(share) == (50 if stands else None)


def test_no_plan_is_longer_than_the_schedule(tmp_path: Path) -> None:
    lengths = _lengths(tmp_path, {}, whole=7)
    assert lengths.planned(50.0, 10.0) == 7
    assert lengths.standing(1e6) == 7


def test_a_new_plan_is_made_by_the_room_that_is_measured(tmp_path: Path) -> None:
    lengths = _lengths(tmp_path, {50: 0.4})
    assert lengths.planned(0.9, 1.0) is None
    assert lengths.planned(50.0, 100.0) == 50
    assert lengths.planned(30.0, 300.0) == 50  # slower than it was: the share has room to end what is there
    assert lengths.standing(310.0) == 50
    assert lengths.planned(210.0, 900.0) == 210
    assert lengths.standing(100.0) == 50
    assert lengths.standing(900.0) == 210


def test_without_a_store_every_plan_is_new() -> None:
    lengths = Lengths(None, {}, 1000, lambda _: 1.0)
    assert [lengths.planned(room, 1.0) for room in (50.0, 40.0)] == [50, 40]
    assert lengths.standing(1.0) is None
