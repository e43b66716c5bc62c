from __future__ import annotations

import contextlib

import pytest
from control.device import Device
from control_plane import Control
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store
from simulated import SimulatedClock


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def database(tmp_path, clock):
    with contextlib.closing(Database(str(tmp_path / "data"), clock)) as found:
        yield found


@pytest.fixture
def store(database):
    return Store(database)


@pytest.fixture
def control(tmp_path):
    found = Control(tmp_path / "control")
    yield found
    found.close()


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path / "device")


@pytest.fixture
def enrolled(control, device):
    device.enrol(control)
    return device
