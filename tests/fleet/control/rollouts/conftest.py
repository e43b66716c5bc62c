from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from edgewright.fleet.control.database import MEMORY, Database

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "trust")]

from rollout_world import NEW, OLD, Fleet
from simulated_repository import SimulatedRepository


@pytest.fixture
def repository(clock):
    """One that offers versions 1 and 2."""
    made = SimulatedRepository(clock)
    made.offer(OLD, 1)
    made.offer(NEW, 2)
    made.publish()
    return made


@pytest.fixture
def fleet(clock, repository):
    """On a database in memory, with 60 devices that run version 1."""
    with contextlib.closing(Database(MEMORY, clock)) as database:
        made = Fleet(database, clock, repository)
        made.enrol(60)
        yield made


@pytest.fixture
def small_fleet(database, clock, repository):
    """On each kind of database, with 6 devices that run version 1."""
    made = Fleet(database, clock, repository)
    made.enrol(6)
    return made
