"""Whatever the network does, the server believes in the end what the device runs."""

from __future__ import annotations

import contextlib

import pytest
from control.faults import scenario
from edgewright.fleet.control.store import Store
from simulated import SimulatedClock


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store(tmp_path, SimulatedClock())) as found:
        yield found


def test_the_server_believes_what_the_device_runs(store):
    assert [scenario(store, seed) for seed in range(30)] == [None] * 30
