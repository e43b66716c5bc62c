from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / "rollouts"), str(Path(__file__).parents[2] / "trust")]

from rollout_world import NEW, OLD, Fleet
from simulated_repository import SimulatedRepository


@pytest.fixture
def fleet(database, clock):
    """On each kind of database: 6 devices that run version 1, 2 of which take canaries; version 2 is not signed yet."""
    repository = SimulatedRepository(clock)
    repository.offer(OLD, 1)
    repository.publish()
    made = Fleet(database, clock, repository)
    made.enrol(4)
    made.enrol(2, canary="yes")
    made.tick()
    made.new = NEW
    return made
