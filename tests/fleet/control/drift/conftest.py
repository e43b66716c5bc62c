from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from edgewright.fleet.control.database import MEMORY, Database

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "drift")]

from drift_world import World
from edgewright.fleet.drift.settings import Settings

DAY = Settings(first_windows=6, quiet_windows=6)


@pytest.fixture
def world(clock):
    """Twelve devices on a database in memory; an alert closes after six quiet hours, which are a day here."""
    with contextlib.closing(Database(MEMORY, clock)) as database:
        yield World(database, clock, 12, settings=DAY)


@pytest.fixture
def small_world(database, clock):
    """Four devices on each kind of database."""
    return World(database, clock, 4, settings=DAY)
