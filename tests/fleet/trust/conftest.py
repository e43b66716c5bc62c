"""Lets the tests of trust share the helpers beside them, and gives them a repository and devices."""

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.append(str(Path(__file__).parent))

from edgewright.fleet.trust.source import RepositorySource
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import Device, SimulatedRepository


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def repository(clock: SimulatedClock) -> SimulatedRepository:
    """One that offers version 1 of a model of 200,000 bytes."""
    made = SimulatedRepository(clock)
    made.offer(Random(1).randbytes(200_000))
    made.publish()
    return made


@pytest.fixture
def device(repository: SimulatedRepository, clock: SimulatedClock) -> Device:
    """Makes devices of the repository, each with a disk of its own or the `disk` given."""

    def make(disk: SimulatedDisk | None = None, origin: object = None, **more: object) -> RepositorySource:
        return RepositorySource(
            disk or SimulatedDisk(), origin or repository, clock, repository.first_root(), jitter=Random(1), **more
        )

    return make
