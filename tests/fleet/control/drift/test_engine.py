"""What the engine finds of a fleet's telemetry, and that it finds it once."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from drift_world import World
from edgewright.core.errors import UsageError
from edgewright.fleet.control.audit import entries, verify
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.tables import ALERTS, AUDIT, DEVICES, DRIFT_STATES, DRIFT_WINDOWS
from edgewright.fleet.drift.scope import FLEET, Scope
from edgewright.fleet.drift.settings import Settings
from fleets import MODEL, SHA256, quantile_bins
from sqlalchemy import update


def told(world):
    return [
        (alert.measure, str(alert.scope), alert.state)
        for alert in world.drift.alerts(states=("open", "acknowledged", "closed"))
    ]


def test_a_fleet_that_sees_what_it_saw_at_compile_time_raises_nothing(world):
    for _ in range(8):
        world.hour()
    overview = world.drift.overview(MODEL)
    assert overview.alerts == ()
    (watched,) = overview.watched
    assert (watched.version, watched.profile, watched.why_not) == (3, "p", "")
    assert watched.newest.requests == 12 * 500
    assert watched.newest.judged.devices == 12
    # Latency and errors have a reference once the first day is over.
    first, last = world.drift.points(MODEL)[0], watched.newest
    assert len(first.judged.measures) == 3
    assert {item.measure for item in last.judged.measures} >= {"latency", "errors"}
    assert all(item.severity is None for item in last.judged.measures)


def test_a_changed_world_is_a_drift_of_the_fleet(world):
    world.hour()
    world.hour(world.everybody(0.8))
    assert told(world) == [("input x1[0]", "fleet", "open")]
    (alert,) = world.drift.alerts(MODEL)
    assert alert.severity == "severe"
    assert alert.evidence["compared"]["low"] > 0.2
    assert alert.evidence["in_a_row"] == {"minor": 1, "moderate": 1, "severe": 1}
    world.hour(world.everybody(0.8))
    (again,) = world.drift.alerts(MODEL)
    assert (again.id, again.windows, again.evidence["in_a_row"]["severe"]) == (alert.id, 2, 2)
    assert again.last_at > again.first_at


def test_one_broken_device_is_named_as_a_device(world):
    world.hour()
    world.hour({5: 2.0})
    assert told(world) == [("input x1[0]", f"device {world.devices[5]}", "open")]
    world.hour({5: 2.0})
    scope = Scope("device", world.devices[5])
    assert world.drift.scopes(MODEL) == [FLEET, scope]
    point = world.drift.points(MODEL, scope=scope)[-1]
    assert (point.requests, point.judged.devices) == (500, 1)


def test_devices_of_one_batch_are_named_as_that_batch(world):
    world.hour()
    world.hour(world.batch(1.5))
    assert told(world) == [("input x1[0]", "attribute batch = b2", "open")]
    (alert,) = world.drift.alerts()
    assert sorted(alert.evidence["devices"]) == sorted(world.devices[number] for number in (0, 4, 8))
    assert (alert.evidence["precision"], alert.evidence["recall"]) == (1.0, 1.0)


def test_what_drifts_everywhere_takes_in_what_drifted_in_one_device(world):
    world.hour()
    world.hour({5: 2.0})
    world.hour(world.everybody(2.0))
    assert told(world) == [
        ("input x1[0]", "fleet", "open"),
        ("input x1[0]", f"device {world.devices[5]}", "closed"),
    ]
    assert "fleet" in world.drift.alerts(states=("closed",))[0].evidence["closed"]


def test_an_alert_closes_after_a_day_without_drift_and_a_new_drift_opens_another(world):
    world.hour()
    world.hour(world.everybody(0.8))
    (alert,) = world.drift.alerts()
    world.drift.acknowledge(alert.id, "ann")
    for _ in range(5):
        world.hour()
    assert told(world)[0][2] == "acknowledged"
    world.hour()
    assert told(world) == [("input x1[0]", "fleet", "closed")]
    for _ in range(3):
        world.hour()
    assert len(told(world)) == 1
    world.hour(world.everybody(0.8))
    assert [state for *_, state in told(world)] == ["open", "closed"]
    with world.database.reading() as connection:
        actions = [item.action for item in entries(connection) if item.actor in ("drift engine", "ann")]
        assert verify(connection).broken is None
    assert actions == ["open-alert", "acknowledge-alert", "close-alert", "open-alert"]


def compared(world):
    """Of the fleet's windows the comparison of the feature that drifts."""
    return [next(it for it in point.judged.measures if it.measure == "input x1[0]") for point in world.drift.points(MODEL)]


def test_an_alert_closes_a_day_after_the_drift_though_windows_are_too_small_to_lie_near_the_reference(world):
    world.hour()
    for _ in range(20):
        world.hour(world.everybody(1.0), requests=10)
    for _ in range(6):
        assert told(world) == [("input x1[0]", "fleet", "open")]
        world.hour(requests=10)
    assert told(world) == [("input x1[0]", "fleet", "closed")]
    after = compared(world)[-6:]
    assert all(item.is_alarm for item in after)  # the test still held what it had found
    assert sum(item.distance >= 0.05 for item in after) >= 4


def test_an_alert_stays_open_while_a_drift_goes_on_that_no_window_shows_by_itself(clock):
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 12, settings=Settings(first_windows=6, quiet_windows=3))
        world.hour()
        for _ in range(40):
            world.hour(world.everybody(0.4), requests=5)
        (alert,) = world.drift.alerts()
        assert told(world) == [("input x1[0]", "fleet", "open")]
        since = [point.start >= alert.first_at for point in world.drift.points(MODEL)].count(True)
        unsure = [item.low < 0.05 for item in compared(world)[-since:]]
    assert any(all(unsure[at : at + 3]) for at in range(since - 2))  # as many in a row as would have closed it


def test_an_alert_of_a_device_that_is_gone_closes_and_counts_no_windows_in_a_row(clock):
    settings = Settings(first_windows=1, quiet_windows=1)
    with contextlib.closing(Database(MEMORY, clock)) as database:
        world = World(database, clock, 10, quantile_bins(1), settings)
        world.hour(feature=0)
        world.hour({5: 2.0, 7: 2.0}, feature=0)
        assert len(world.drift.alerts()) == 2
        with database.transaction() as connection:
            gone = update(DEVICES).where(DEVICES.c.device == world.devices[7]).values(revoked_at=clock.now())
            connection.execute(gone)
        present = [number for number in range(10) if number not in (5, 7)]
        world.hour(feature=0, devices=present)
        (alert,) = world.drift.alerts()
        assert alert.scope == Scope("device", world.devices[5])
        assert set(alert.evidence["in_a_row"].values()) == {0}
        for _ in range(5):
            world.hour(feature=0, devices=present)
        assert len(world.drift.alerts()) == 1
        world.hour(feature=0, devices=present)
        assert sorted(item.evidence["closed"] for item in world.drift.alerts(states=("closed",))) == [
            "its device was revoked.",
            "nothing was heard from there in 7 windows in a row.",
        ]


def test_an_acknowledgement_is_kept_and_of_an_open_alert_only(world):
    world.hour(world.everybody(2.0))
    (alert,) = world.drift.alerts()
    assert world.drift.acknowledge(alert.id, "ann").acknowledged_by == "ann"
    assert world.drift.acknowledge(alert.id, "bob").acknowledged_by == "ann"
    world.hour(world.everybody(2.0))
    assert world.drift.alert(alert.id).state == "acknowledged"
    with pytest.raises(UsageError, match="there is no alert 99"):
        world.drift.acknowledge(99, "ann")


def test_a_second_look_and_a_second_server_change_nothing(small_world):
    world = small_world
    world.hour()
    world.hour(world.everybody(2.0))
    before = [world.rows(table) for table in (ALERTS, DRIFT_WINDOWS, DRIFT_STATES, AUDIT)]
    world.engine.tick()
    world.new_engine().tick()
    assert [world.rows(table) for table in (ALERTS, DRIFT_WINDOWS, DRIFT_STATES, AUDIT)] == before
    world.hour(world.everybody(2.0))
    assert [len(world.rows(table)) for table in (ALERTS, DRIFT_WINDOWS)] == [1, 3]


def test_hours_that_were_missed_are_judged_one_by_one(world):
    world.hour()
    for _ in range(3):
        world.send(world.everybody(0.8))
        world.clock.advance(3600)
    world.clock.advance(50 * 3600)  # in which nobody sends
    world.send()
    world.clock.advance(3600)
    world.engine.tick()
    starts = [point.start for point in world.drift.points(MODEL)]
    assert len(starts) == 5
    assert [b - a for a, b in pairwise(starts)] == [3600, 3600, 3600, 51 * 3600]
    (alert,) = world.drift.alerts()
    assert (alert.windows, alert.evidence["quiet"]) == (3, 1)


def test_windows_of_other_bins_are_passed_over(world):
    from edgewright.fleet.protocol.window import Batch
    from fleets import window

    odd = window(((1, 2, 3),), start=int(world.clock.now()))
    world.store.take_windows(world.devices[0], Batch("1-odd", ((1, odd.encode()),)))
    world.hour(devices=range(1, 12))
    (point,) = world.drift.points(MODEL)
    assert point.judged.devices == 11


@pytest.mark.parametrize("count", [2**50, 2**61])
def test_a_device_that_counts_what_no_device_can_is_passed_over_and_the_others_are_judged(world, count):
    from dataclasses import replace

    from edgewright.fleet.protocol.window import Batch
    from fleets import layout, rows

    odd = layout(world.histograms).window(rows(world.histograms, 1, 10, world.generator, start=int(world.clock.now()))[0])
    odd = replace(odd, latency=(*odd.latency[:-1], count))
    world.store.take_windows(world.devices[0], Batch("1-odd", ((1, odd.encode()),)))
    for _ in range(8):  # the first six are what latency is compared with from then on
        world.hour(devices=range(1, 12))
    points = world.drift.points(MODEL)
    assert [point.judged.devices for point in points] == [11] * 8
    assert told(world) == []


def test_an_artifact_whose_counts_together_are_too_many_is_left_out_for_that_hour(world, monkeypatch):
    from edgewright.fleet.drift import counts

    monkeypatch.setattr(counts, "_MOST_COUNT", 11.5 * world.clock.now())  # the largest sum of twelve is that of their times
    world.hour()
    assert world.drift.points(MODEL) == []
    monkeypatch.undo()
    world.hour()
    assert len(world.drift.points(MODEL)) == 1


def test_an_hour_is_compared_with_the_one_before_and_the_same_of_yesterday(world):
    for number in range(26):
        world.hour(world.everybody(0.8) if number == 24 else None)
    judged = [
        next(item for item in point.judged.measures if item.measure == "input x1[0]") for point in world.drift.points(MODEL)
    ]
    assert (judged[0].last, judged[0].day) == (None, None)
    assert judged[24].last > 0.2
    assert judged[24].day > 0.2
    assert judged[25].last > 0.2
    assert judged[25].day < 0.05
    assert judged[25].distance < 0.05


def test_counts_of_a_window_are_shown_beside_the_reference(world):
    world.hour()
    world.hour(world.everybody(0.8))
    (found,) = [item for item in world.drift.histograms(MODEL) if item.measure == "input x1[0]"]
    assert sum(found.counts) == 2 * 12 * 500
    assert found.reference == world.histograms[1].counts
    assert len(found.counts) == len(found.edges) + 1
    trends = world.drift.measures(MODEL, sha256=SHA256)
    assert trends[0].measure == "input x1[0]"
    assert [round(item.distance, 1) for _, item in trends[0].points] == [0.0, 0.3]


def test_errors_that_rise_above_those_of_the_first_day_are_a_drift_of_the_fleet(world):
    for _ in range(6):
        world.hour(errors=5)
    world.hour(errors=400)
    assert told(world) == [("errors", "fleet", "open")]
    (alert,) = world.drift.alerts()
    assert alert.evidence["compared"]["distance"] == pytest.approx(400 / 900 - 5 / 505, abs=0.01)
    (found,) = [item for item in world.drift.histograms(MODEL, since_s=3700) if item.measure == "errors"]
    assert found.counts == (12 * 500, 12 * 400)
    assert found.reference == (6 * 12 * 500, 6 * 12 * 5)
