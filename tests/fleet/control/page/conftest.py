from __future__ import annotations

import contextlib

import pytest
from control.page.fleet import Fleet
from edgewright.fleet.control.database import MEMORY, Database
from simulated import SimulatedClock


@pytest.fixture
def fleet():
    """An empty fleet; its clock stands at a known time."""
    with contextlib.closing(Database(MEMORY, SimulatedClock())) as database:
        yield Fleet(database)
