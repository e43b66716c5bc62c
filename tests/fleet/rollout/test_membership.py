"""Who comes first: by chance, the same for ever, and exactly as many as the stage says."""

from __future__ import annotations

import math

import numpy as np
from edgewright.fleet.rollout.membership import in_order, joiners, place_of, size_of
from edgewright.fleet.rollout.plan import Stage
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sets(st.text("abcdef0123", min_size=1, max_size=8), max_size=60).map(sorted)


@given(NAMES, st.integers(1, 5), st.integers(0, 3))
def test_the_order_is_the_same_whatever_order_the_names_come_in(names: list[str], rollout: int, seed: int) -> None:
    assert in_order(rollout, seed, names) == in_order(rollout, seed, names[::-1])
    assert all(0 <= place_of(rollout, seed, name) < 1 for name in names)


@given(NAMES, st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(sorted))
def test_stages_by_share_take_exactly_their_share_and_nobody_twice(names: list[str], shares: list[int]) -> None:
    ordered, members = in_order(1, 0, names), []
    for share in shares:
        new = joiners(Stage(share / 100), ordered, members)
        assert not set(new) & set(members)
        members += new
        assert len(members) == math.ceil(share * len(names) / 100)


@given(NAMES, st.integers(1, 100))
def test_a_stage_by_count_takes_so_many_or_all(names: list[str], count: int) -> None:
    assert len(joiners(Stage(count=count), in_order(1, 0, names), [])) == min(count, len(names))


def test_a_canary_of_a_small_fleet_is_a_device_at_least() -> None:
    assert size_of(Stage(0.05), 3) == 1
    assert size_of(Stage(0.05), 0) == 0


def test_places_are_as_good_as_random_and_others_in_each_rollout() -> None:
    names = [f"device-{number}" for number in range(5000)]
    first = np.array([place_of(1, 0, name) for name in names])
    others = [np.array([place_of(*key, name) for name in names]) for key in ((2, 0), (1, 1))]
    counts = np.histogram(first, 20, (0, 1))[0]
    assert np.sum((counts - 250) ** 2 / 250) < 50  # chi square with 19 degrees of freedom
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.06
