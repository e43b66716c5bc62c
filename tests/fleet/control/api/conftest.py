"""The whole application with a fleet in it, asked in this process, and a token of each role."""

from __future__ import annotations

import pytest
from control.api.fleet import Fleet
from simulated import SimulatedClock


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One for tests that try what must change nothing; it has the rollout 1."""
    with Fleet(str(tmp_path_factory.mktemp("shared") / "data"), SimulatedClock()) as found:
        found.rollout()
        yield found


@pytest.fixture
def fleet(tmp_path, clock):
    with Fleet(str(tmp_path / "data"), clock) as found:
        yield found
