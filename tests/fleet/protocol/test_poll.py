"""Slots of polls: spread by names, found again after a poll that came early or late, read strictly."""

from __future__ import annotations

import math

import pytest
from edgewright.fleet.protocol.poll import PollSlot, next_slot, place_of, seconds_until
from hypothesis import example, given
from hypothesis import strategies as st

PLACES = st.floats(0, 1, exclude_max=True)
PERIODS = st.floats(1.0, 86400.0)
NOWS = st.floats(1.6e9, 2.2e9)


@given(PLACES, PERIODS, NOWS)
def test_the_next_slot_is_half_to_one_and_a_half_periods_away(place: float, period: float, now: float) -> None:
    wait = seconds_until(place, period, now)
    assert period / 2 <= wait <= period * 1.5
    off = (now + wait) / period - place
    assert abs(off - round(off)) * period < 1e-4


@given(PLACES, PERIODS, st.integers(0, 10**5), st.floats(-0.49, 0.49))
def test_who_asks_early_or_late_is_in_its_slot_with_the_next_poll(place: float, period: float, turn: int, off: float) -> None:
    slot = (turn + 1 + place) * period
    asked = slot + off * period
    assert asked + seconds_until(place, period, asked) == pytest.approx(slot + period, abs=1e-4)


def test_names_are_spread_evenly_over_the_period() -> None:
    counts = [0] * 100
    for number in range(20_000):
        counts[int(place_of(f"{number:032x}") * 100)] += 1
    # chi-squared with 99 degrees of freedom lies below 149 in 999 of 1000 cases
    assert sum((count - 200) ** 2 / 200 for count in counts) < 149


def test_the_place_of_a_name_stays_what_devices_and_servers_agree_on() -> None:
    assert place_of("0123456789abcdef0123456789abcdef") == pytest.approx(0.10828709, abs=1e-8)


@given(st.floats(-1e6, 1e6), PERIODS, st.floats(-1e6, 1e6))
@example(due=5.639547838164371e-17, period=1.0, now=1.0)  # the sum is rounded onto `now`
def test_a_slot_that_was_missed_comes_again_whole_periods_later(due: float, period: float, now: float) -> None:
    following = next_slot(due, period, now)
    assert following > now or following == due
    assert following <= max(due, now + period * (1 + 1e-9) + 1e-6)
    periods = (following - due) / period
    assert math.isclose(periods, round(periods), abs_tol=1e-6)


def test_a_slot_comes_through_the_headers() -> None:
    slot = PollSlot(297.345, 300.0)
    assert PollSlot.told(slot.headers()) == slot


@pytest.mark.parametrize(
    ("after", "period", "told"),
    [
        ("0", "300", PollSlot(1.0, 300.0)),
        ("999999999", "300", PollSlot(86400.0, 300.0)),
        ("10", "0.001", PollSlot(10.0, 1.0)),
        ("-5", "300", None),
        ("nan", "300", None),
        ("1e9", "300", None),
        ("10", "", None),
        ("١٠", "300", None),
        ("10, 20", "300", None),
        ("9" * 5000, "300", None),
    ],
)
def test_what_is_told_is_bounded_and_anything_else_is_nothing(after: str, period: str, told: PollSlot | None) -> None:
    assert PollSlot.told({"edgewright-poll-after": after, "edgewright-poll-period": period}) == told


def test_no_headers_tell_nothing() -> None:
    assert PollSlot.told({}) is None
