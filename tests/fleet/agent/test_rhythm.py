"""The pace of one device's polls: its slot when it was told one, chance until then."""

from __future__ import annotations

import itertools
import random

import pytest
from agent.world import DEVICE, World, artifact
from edgewright.core.errors import NetworkError
from edgewright.fleet.agent.agent import Agent, Stopped
from edgewright.fleet.agent.rhythm import Pace, Rhythm
from edgewright.fleet.protocol.poll import PollSlot
from simulated import SimulatedDisk


@pytest.fixture
def pace() -> Pace:
    return Pace(Rhythm(poll_s=100.0), random.Random(1))


def test_a_device_waits_for_its_slot_whatever_the_poll_took(pace: Pace) -> None:
    pace.told(PollSlot(310.0, 300.0), now=1000.0)
    assert pace.wait(1025.0, is_well=True) == 285.0


def test_a_device_keeps_its_slot_through_polls_that_fail(pace: Pace) -> None:
    pace.told(PollSlot(310.0, 300.0), now=0.0)
    now, polls = 0.0, []
    for took in (5.0, 30.0, 0.1, 2.0, 299.0):
        now += took
        now += pace.wait(now, is_well=False)
        polls.append(now)
    assert polls == pytest.approx([310.0, 610.0, 910.0, 1210.0, 1510.0])


def test_a_poll_that_takes_longer_than_a_period_makes_up_for_nothing(pace: Pace) -> None:
    pace.told(PollSlot(300.0, 300.0), now=0.0)
    pace.wait(0.0, is_well=True)
    assert pace.wait(1000.0, is_well=False) == 200.0


def test_without_a_slot_failures_slow_polls_down(pace: Pace) -> None:
    waits = [pace.wait(0.0, is_well=False) for _ in range(200)]
    assert max(waits[:1]) <= 100.0
    assert max(waits) > 1000.0
    pace.told(PollSlot(300.0, 300.0), now=0.0)
    assert pace.wait(0.0, is_well=True) == 300.0
    pace.told(None, now=0.0)
    assert pace.wait(0.0, is_well=True) <= 200.0


def test_the_agent_polls_in_its_slot_through_an_outage_and_goes_on_with_updates_meanwhile() -> None:
    world = World(SimulatedDisk())
    world.server.told_slot = PollSlot(300.0, 300.0)
    asked: list[float] = []
    plain = world.server.assignment

    def assignment() -> object:
        asked.append(world.clock.monotonic())
        if 1000.0 < world.clock.monotonic() < 1900.0:
            raise NetworkError("the server cannot be reached.")
        return plain()

    world.server.assignment = assignment  # type: ignore[method-assign, assignment]
    published = False

    def look() -> None:
        nonlocal published
        if not published and world.clock.monotonic() > 400.0:
            world.repository.publish(artifact(1))
            published = True
        if world.clock.monotonic() > 3100.0:
            raise Stopped

    world.clock.during_sleep = look
    Agent(world.agent._tools, world.server, DEVICE, Rhythm(first_s=10.0)).run()
    steps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert asked[0] <= 10.0
    assert steps == pytest.approx([300.0] * 10)
    assert world.server.results() == ["SUCCESSFUL"]
    (done,) = [report.at for report in world.server.reports if report.result is not None]
    assert done - 1_800_000_000.0 < asked[2] + 60.0
