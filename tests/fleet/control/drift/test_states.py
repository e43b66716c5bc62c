"""Where tests stand, in rows of some devices each: what a window does not touch is not written, and old rows are split."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from drift_world import World
from edgewright.fleet.control.database import MEMORY, Database
from edgewright.fleet.control.drift.states import load
from edgewright.fleet.control.tables import DRIFT_STATES
from edgewright.fleet.drift.sequence import make_tests
from edgewright.fleet.drift.watched import watched_measures
from fleets import MODEL, SHA256, quantile_bins
from simulated import SimulatedClock
from sqlalchemy import delete, insert

DEVICES = 40


@pytest.fixture
def world():
    clock = SimulatedClock()
    with contextlib.closing(Database(MEMORY, clock)) as database:
        yield World(database, clock, DEVICES, quantile_bins(1))


def window(world: World, devices: list[int]) -> None:
    world.hour(feature=0, devices=devices)


def states(world: World) -> dict[str, dict[str, object]]:
    return {row["scope"]: row for row in world.rows(DRIFT_STATES) if row["scope"].startswith("devices")}


def test_a_window_writes_the_rows_of_the_devices_that_it_heard(world):
    window(world, list(range(DEVICES)))
    before = states(world)
    assert list(before) == ["devices/0", "devices/1", "devices/2"]
    names = json.loads(before["devices/1"]["data"])["names"]
    window(world, [world.devices.index(names[3])])
    after = states(world)
    assert [scope for scope in after if after[scope] != before[scope]] == ["devices/1"]


def test_a_row_of_all_devices_as_earlier_versions_wrote_it_is_split_and_nothing_is_lost(world):
    window(world, list(range(DEVICES)))
    tests = make_tests(watched_measures(world.histograms, None), (), world.settings)
    with world.database.reading() as connection:
        stand = load(connection, MODEL, SHA256).stand(tests)
    restarts = {"input x[0]": 2}
    whole = {"names": list(stand.names), "tests": {**tests.to_json(stand.devices), "restarts": restarts}}
    with world.database.transaction() as connection:
        connection.execute(delete(DRIFT_STATES).where(DRIFT_STATES.c.scope.like("devices/%")))
        connection.execute(insert(DRIFT_STATES).values(
            model=MODEL, sha256=SHA256, scope="devices", data=json.dumps(whole), through=0.0, updated_at=0.0,
        ))  # fmt: skip
    with world.database.reading() as connection:
        old = load(connection, MODEL, SHA256).stand(tests)
    assert old.names == stand.names
    assert old.devices.restarts == restarts
    np.testing.assert_array_equal(old.devices.states[0].money, stand.devices.states[0].money)
    window(world, [0])
    assert list(states(world)) == ["devices/0", "devices/1", "devices/2"]
    with world.database.reading() as connection:
        new = load(connection, MODEL, SHA256).stand(tests)
    assert (new.names, new.devices.restarts) == (stand.names, restarts)
    others = np.array([name != world.devices[0] for name in stand.names])
    np.testing.assert_array_equal(new.devices.states[0].money[others], stand.devices.states[0].money[others])
