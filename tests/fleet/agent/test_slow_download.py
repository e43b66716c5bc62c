"""A download that takes its time: polls, deadlines and withdrawals go on meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from agent.world import MODEL, World, artifact
from edgewright.core.canonical import digest
from edgewright.core.errors import UnfinishedError
from edgewright.fleet.agent.agent import Agent
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.offered import Offered
from simulated import SimulatedDisk

SLICES = 50


def slow_world() -> World:
    """A world whose source needs `SLICES` calls of half a minute for an artifact."""
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    plain, left = world.source.fetch, [SLICES]

    def fetch(offered: Offered, have: Mapping[str, str]) -> str:
        world.clock.advance(30.0)
        left[0] -= 1
        if left[0] > 0:
            raise UnfinishedError("more of it is to come; ask again.")
        return plain(offered, have)

    world.source.fetch = fetch  # type: ignore[method-assign]
    return world


def steps(agent: Agent) -> int:
    """Steps until no update is on its way."""
    count = 0
    while (wait := agent.step()) is not None:
        count += 1
        agent._tools.clock.sleep(wait)
    return count


def test_a_slice_is_no_failure() -> None:
    """More slices than there are tries, and the loop has its turn after each of them."""
    world = slow_world()
    world.agent.poll()
    assert steps(world.agent) > SLICES
    assert world.server.results() == ["SUCCESSFUL"]
    assert world.running() == artifact(1)


@pytest.mark.parametrize("why", ["deadline", "withdrawn"])
def test_what_ends_an_update_ends_it_between_two_slices(why: str) -> None:
    world = slow_world()
    world.repository.publish(artifact(2), arch="another")
    first, second = (digest(artifact(version)) for version in (1, 2))
    world.server.wanted = {MODEL: Wanted(MODEL, first, deadline_s=100.0 if why == "deadline" else None)}
    world.agent.poll()
    for _ in range(3):
        assert world.agent.step() == 0.0
    if why == "withdrawn":
        world.server.wanted = {MODEL: Wanted(MODEL, second)}
        world.agent.poll()
    assert steps(world.agent) < 10
    assert world.server.results() == ["FAILED_NO_STATE_CHANGE"]
