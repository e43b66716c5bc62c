"""The whole application with a fleet in it, asked in this process, and a token of each role."""

from __future__ import annotations

import contextlib

import pytest
from control.api.fleet import Fleet
from simulated import SimulatedClock


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request, tmp_path_factory):
    """One on each database for tests that try what must change nothing; it has the rollout 1."""
    with contextlib.ExitStack() as stack:
        where = str(tmp_path_factory.mktemp("shared") / "data")
        if request.param == "postgresql":
            where = stack.enter_context(request.getfixturevalue("postgres").database())
        found = stack.enter_context(Fleet(where, SimulatedClock()))
        found.rollout()
        yield found


@pytest.fixture
def fleet(tmp_path, clock):
    with Fleet(str(tmp_path / "data"), clock) as found:
        yield found
