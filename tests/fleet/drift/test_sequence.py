"""Where tests stand is kept as JSON and goes on from there; other rules or another reference begin anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.drift.compare import Others
from edgewright.fleet.drift.judge import Seen, Stand, judge
from edgewright.fleet.drift.scope import FLEET
from edgewright.fleet.drift.sequence import make_tests
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.drift.watched import watched_measures
from fleets import layout, quantile_bins, rows

BINS = quantile_bins(3)
NAMES = tuple(f"d{number}" for number in range(9))
RULES = Settings()
FIRST = layout(BINS).window(rows(BINS, 1, 1000, np.random.default_rng(0))[0])


def made(first=None, settings=RULES):
    measures = watched_measures(BINS, first)
    return make_tests(measures[:3], measures[3:], settings)


def after(tests, stand, shift, windows, seed=1, names=NAMES):
    generator, seen = np.random.default_rng(seed), None
    for _ in range(windows):
        shifts = {at: {1: shift} for at in range(len(names))}
        seen = Seen(layout(BINS), names, rows(BINS, len(names), 300, generator, shifts))
        judgement = judge(tests, seen, stand, lambda scope: Others(), dict, (), Settings(), 1)
        stand = judgement.stand
    return stand, judgement


def start(tests):
    return Stand(tests.start(), tests.start(0), ())


def read(tests, stand):
    """The standing after it was written and read."""
    told = json.loads(json.dumps([tests.to_json(stand.fleet), tests.to_json(stand.devices)]))
    return Stand(tests.from_json(told[0]), tests.from_json(told[1], len(stand.names)), stand.names)


def test_a_standing_that_was_kept_goes_on_as_if_nothing_had_been():
    tests = made()
    stand, _ = after(tests, start(tests), 0.3, 2)
    straight, kept = after(tests, stand, 0.3, 2)[1], after(tests, read(tests, stand), 0.3, 2)[1]
    assert straight.windows[FLEET][1] == kept.windows[FLEET][1]
    assert straight.windows[FLEET][1].measures[1].is_alarm


def test_devices_that_come_later_begin_at_the_start_and_the_others_go_on():
    tests = made()
    stand, _ = after(tests, start(tests), 0.0, 2, names=NAMES[:4])
    wider, _ = after(tests, stand, 0.0, 1, names=NAMES[2:])
    assert wider.names == NAMES
    times = wider.devices.states[0].time[:, 0]
    assert times.tolist() == [2.0, 2.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_latency_and_errors_begin_when_they_have_a_reference_and_the_rest_goes_on():
    before, now = made(), made(FIRST)
    stand, _ = after(before, start(before), 0.0, 2)
    found = now.from_json(before.to_json(stand.fleet))
    assert found.states[0].time.tolist() == stand.fleet.states[0].time.tolist()
    assert found.states[1].time.tolist() == [0.0, 0.0]


def test_other_rules_begin_anew():
    tests, other = made(), made(settings=replace(Settings(), delta=0.2))
    stand, _ = after(tests, start(tests), 0.3, 2)
    assert other.from_json(tests.to_json(stand.fleet)).states[0].time.tolist() == [0.0, 0.0, 0.0]


def test_a_test_that_starts_anew_needs_more_and_its_neighbours_stay():
    tests = made()
    stand, _ = after(tests, start(tests), 0.3, 2)
    anew = tests.anew(stand.fleet, "input x1[0]")
    assert anew.states[0].time.tolist() == [2.0, 0.0, 2.0]
    assert tests.log_e(anew)[1] == 0.0
    before, now = tests.bounds(stand.fleet), tests.bounds(anew)
    assert now[1] > before[1]
    assert (now[[0, 2]] == before[[0, 2]]).all()


def test_devices_that_join_one_after_another_spend_no_more_than_alpha():
    """Each alarms falsely with a chance of exp(-bound) at most, when it was the newest; the fleet's own bound spends all."""
    tests = made()
    stand = start(tests)
    whole = tests.bounds(stand.fleet)
    spent = sum(np.exp(whole - tests.bounds(stand.devices, count)) for count in range(1, 3001))
    assert (spent <= 1).all()
    assert (tests.bounds(stand.devices, 3000) > tests.bounds(stand.devices, 2999)).all()


def test_severity_is_by_the_lower_bound_and_by_reach():
    settings = Settings()
    assert [settings.severity(low, 1.0) for low in (0.04, 0.05, 0.1, 0.2)] == [None, "minor", "moderate", "severe"]
    assert [settings.severity(0.5, reach) for reach in (0.005, 0.05, 0.1)] == ["minor", "moderate", "severe"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 0},
        {"alpha": 0.0},
        {"minor": 0.3},
        {"deff": 0.5},
        {"delta": 1.0},
        {"service_delta": 0.5},
        {"quiet_windows": 0},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)
