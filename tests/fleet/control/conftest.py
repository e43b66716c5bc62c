"""The control plane on each kind of database: what uses `where`, `database`, `store` or `control` runs on both."""

from __future__ import annotations

import contextlib

import pytest
from control.device import Device
from control.postgres import Postgres
from control_plane import Control
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store
from simulated import SimulatedClock


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture(scope="session")
def postgres():
    with contextlib.closing(Postgres()) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    if request.param == "sqlite":
        yield str(tmp_path / "data")
    else:
        with request.getfixturevalue("postgres").database() as address:
            yield address


@pytest.fixture
def database(where, clock):
    with contextlib.closing(Database(where, clock)) as found:
        yield found


@pytest.fixture
def store(database):
    return Store(database)


@pytest.fixture
def control(where):
    found = Control(where)
    yield found
    found.close()


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path / "device")


@pytest.fixture
def enrolled(control, device):
    device.enrol(control)
    return device
