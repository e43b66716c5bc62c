"""Accuracy of a deployed model: estimated from confidence, counted where labels come, withdrawn where they contradict it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from drift_world import World
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.drift.gauges import withdrawn_estimates
from edgewright.fleet.control.labels import Outcome, push
from edgewright.fleet.control.metrics import Counts, text
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.control.retrain.triggers import seen
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.retrain.policy import Policy, cause
from fleets import MODEL, SHA256, quantile_bins

# As confident as a standard normal variable is large: right in 60 % of the lower half, in 100 % of the upper.
(PLAIN,) = quantile_bins(1)
CORRECT = tuple(int(0.6 * count) if at < 16 else count for at, count in enumerate(PLAIN.counts))
CONFIDENCE = HistogramBins("y", "confidence", PLAIN.edges, PLAIN.counts, correct=CORRECT)


@pytest.fixture
def world(clock):
    with contextlib.closing(Database(MEMORY, clock)) as database:
        yield World(database, clock, 4, (CONFIDENCE,), Settings())


def push_labels(world, right, wrong):
    """Labels of answers of this hour."""
    at = world.clock.now()
    rows = [
        Outcome(world.devices[0], at + number / 1000, 1, 1 if number < right else 0, SHA256) for number in range(right + wrong)
    ]
    push(world.database, MODEL, rows, "ann")


def metrics(world):
    polls = Polls(world.database, world.store)
    with world.database.reading() as connection:
        return text(connection, polls, Counts())


def test_less_confidence_is_less_accuracy_and_labels_that_agree_leave_the_estimate(world):
    world.hour(feature=0)
    push_labels(world, 30, 20)
    world.hour(dict.fromkeys(range(4), -1.0), feature=0)
    view = world.drift.accuracy(MODEL)
    before, now = (point.estimate for point in view.points)
    assert before.accuracy == pytest.approx(0.8, abs=0.02)
    # The lower half of a normal variable lies below 0, and so do 84 % of one that is 1 lower.
    assert now.accuracy == pytest.approx(0.84 * 0.6 + 0.16, abs=0.02)
    assert now.low < 0.84 * 0.6 + 0.16 < now.high
    assert (view.points[1].right, view.points[1].labelled) == (30, 50)
    assert view.withdrawn is None
    told = metrics(world)
    assert f'edgewright_accuracy_estimate{{model="digits",version="3"}} {round(now.accuracy, 6)}\n' in told
    assert 'edgewright_accuracy_estimate_low{model="digits",version="3"}' in told
    (watched,) = world.drift.overview(MODEL).watched
    assert watched.accuracy == view


def test_labels_that_contradict_the_estimate_withdraw_it(world):
    world.hour(feature=0)
    push_labels(world, 20, 60)
    world.hour(feature=0)
    view = world.drift.accuracy(MODEL)
    assert view.newest.estimate.accuracy == pytest.approx(0.8, abs=0.02)
    assert "of the newest window's 80 labelled answers 20 were right" in view.withdrawn
    assert "edgewright_accuracy_estimate{" not in metrics(world)


def test_labels_of_an_hour_belong_to_its_last_window_where_windows_are_shorter(clock):
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 2, (CONFIDENCE,), Settings(window_s=600))
        for _ in range(3):
            world.send(feature=0)
            clock.advance(600)
        push_labels(world, 8, 2)
        world.engine.tick()
        labelled = [point.labelled for point in world.drift.accuracy(MODEL).points]
    assert labelled == [0, 0, 10]


def test_a_model_without_labels_at_compile_time_has_no_estimate(clock):
    plain = HistogramBins("y", "confidence", PLAIN.edges, PLAIN.counts)
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 2, (plain,))
        world.hour(feature=0)
        view = world.drift.accuracy(MODEL)
    assert np.shape(view.points) == (1,)
    assert view.newest is None
    assert view.withdrawn is None


def fires(world, text):
    policy = Policy.parse(text)
    return cause(policy, seen(world.database, MODEL, policy)) is not None


def test_labels_that_come_days_late_withdraw_the_estimate_everywhere_and_reach_policies(world):
    for _ in range(2):
        world.hour(dict.fromkeys(range(4), -1.0), feature=0)
    at = world.clock.now() - 3600
    world.clock.advance(3 * 86_400)
    world.hour(dict.fromkeys(range(4), -1.0), feature=0)
    assert fires(world, "on: accuracy_estimate < 0.9 for 3 windows")
    assert not fires(world, "on: accuracy < 0.9")
    rows = [Outcome(world.devices[0], at + number / 1000, 1, 1 if number < 20 else 0, SHA256) for number in range(80)]
    push(world.database, MODEL, rows, "ann")
    why = world.drift.accuracy(MODEL).withdrawn
    with world.database.reading() as connection:
        assert withdrawn_estimates(connection) == {MODEL: why}
    assert why is not None
    assert "edgewright_accuracy_estimate{" not in metrics(world)
    assert fires(world, "on: accuracy < 0.9")
    assert not fires(world, "on: accuracy < 0.9 for 2 windows")
    assert not fires(world, "on: accuracy_estimate < 0.9")
    world.clock.advance(10 * 86_400)
    world.hour(feature=0)
    assert fires(world, "on: accuracy < 0.9")  # no newer labels say otherwise


def test_a_policy_counts_windows_of_any_length(clock):
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 2, (CONFIDENCE,), Settings(window_s=2 * 86_400))
        for _ in range(8):
            world.send(dict.fromkeys(range(2), -1.0), feature=0)
            clock.advance(2 * 86_400)
        world.engine.tick()
        assert fires(world, "on: accuracy_estimate < 0.9 for 8 windows")
        assert not fires(world, "on: accuracy_estimate < 0.9 for 9 windows")
