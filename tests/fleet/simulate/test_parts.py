"""The parts of a simulated fleet: virtual time, and the telemetry of what a version does."""

from __future__ import annotations

import random

from edgewright.fleet.protocol.bins import decode_bins
from edgewright.fleet.protocol.offer import Offer
from edgewright.fleet.protocol.window import Window
from edgewright.fleet.rollout.guard import mean_confidence, value_of
from edgewright.fleet.simulate.artifacts import BINS, OFFERS
from edgewright.fleet.simulate.timeline import Timeline
from edgewright.fleet.simulate.traffic import Habit, window


def test_happenings_come_in_the_order_of_their_time_and_then_as_they_were_put_in():
    timeline, seen = Timeline(100.0), []

    def note(name):
        return lambda: seen.append((name, timeline.now(), timeline.monotonic()))

    timeline.after(5.0, note("late"))
    timeline.after(1.0, note("one"))
    timeline.after(1.0, note("two"))
    timeline.after(1.0, lambda: timeline.after(0.0, note("three")))
    while timeline.step(until=104.0):
        pass
    assert seen == [("one", 101.0, 1.0), ("two", 101.0, 1.0), ("three", 101.0, 1.0)]
    assert timeline.now() == 104.0
    assert timeline.step(until=200.0)
    assert seen[-1] == ("late", 105.0, 5.0)
    assert not timeline.step(until=200.0)


def test_windows_show_the_guards_what_is_true_of_a_version():
    draw, habit = random.Random(0), Habit(1.0, 16, 0.0)
    old, good, slow, unsure = (window(draw, habit, "ab" * 32, (0, 3600), way) for way in (None, None, "slow", "unsure"))
    bins = decode_bins(BINS)
    for one in (old, good, slow, unsure):
        assert Window.decode(one.encode()) == one
        assert sum(one.latency) == one.requests == sum(one.tensors[0])
    assert value_of("slow", old, good) < 0.2
    assert value_of("slow", old, slow) > 0.7
    assert mean_confidence(old, bins) - mean_confidence(unsure, bins) > 0.2


def test_the_offers_are_ones_that_a_repository_could_sign():
    for item in OFFERS:
        assert Offer.from_json(item.offer.to_json()) == item.offer
    assert len({item.sha256 for item in OFFERS}) == len(OFFERS)
