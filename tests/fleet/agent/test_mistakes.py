"""What goes wrong without anybody having foreseen it, or for ever, ends neither the agent nor its models."""

from __future__ import annotations

import pytest
from agent.world import DEVICE, MODEL, Repository, World, artifact, sign
from edgewright.core.errors import AgentError, NetworkError
from edgewright.fleet.agent.agent import Agent, Stopped
from edgewright.fleet.agent.ports import Server
from edgewright.fleet.agent.rhythm import Rhythm
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.serve.generation import Generation
from simulated import SimulatedClock, SimulatedDisk
from trust.simulated_repository import SimulatedRepository


@pytest.fixture
def world() -> World:
    """A device that runs version 1."""
    made = World(SimulatedDisk())
    made.repository.publish(artifact(1))
    made.settle()
    made.server.reports.clear()
    return made


def mistake(*given: object, **named: object) -> object:
    raise RecursionError("maximum recursion depth exceeded")


class Mistaken:
    """Telemetry that fails as nobody thought it would."""

    def send(self, server: Server) -> None:
        mistake()


@pytest.mark.parametrize("part", ["assignment", "report", "refresh", "offers", "telemetry"])
def test_a_mistake_in_what_surrounds_the_loop_does_not_end_it(world: World, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(world.agent._tools, world.server, DEVICE, telemetry=Mistaken() if part == "telemetry" else None)
    agent.recover()
    world.agent = agent
    broken = world.server if part in ("assignment", "report") else world.source
    with monkeypatch.context() as patch:
        if part != "telemetry":
            patch.setattr(broken, part, mistake)
        world.settle(polls=2)
        assert world.running() == world.current() == artifact(1)
    world.repository.publish(artifact(2))
    world.settle(polls=2)
    assert world.running() == world.current() == artifact(2)


@pytest.mark.parametrize("part", ["fetch", "start", "check", "publish", "statistics"])
def test_a_mistake_in_an_effect_ends_the_update_and_not_the_agent(
    world: World, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.repository.publish(artifact(2))
    broken = world.source if part == "fetch" else world.serving
    with monkeypatch.context() as patch:
        patch.setattr(broken, part, mistake)
        world.settle()
    assert world.server.results()[0].startswith("FAILED")
    assert "RecursionError" in next(report.why for report in world.server.reports if report.result)
    world.settle(polls=2)
    assert world.running() == world.current() == artifact(2)


def test_a_mistake_in_a_step_lets_the_others_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.wanted["words"] = Wanted("words")
    world.repository.publish(artifact(2))
    world.repository.publish(artifact(5), "words")
    world.agent.poll()
    monkeypatch.setattr(world.agent.models[MODEL], "step", mistake)
    for _ in range(20):
        world.clock.advance(world.agent.step() or 0.0)
    assert world.running("words") == artifact(5)


def test_a_socket_that_cannot_be_opened_ends_the_update_and_keeps_one_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(generation: Generation) -> None:
        raise AgentError("cannot listen on port 80: Permission denied; choose another port.")

    world.repository.publish(artifact(2))
    with monkeypatch.context() as patch:
        patch.setattr(world.serving, "publish", refuse)
        world.settle()
        assert world.server.results() == ["FAILED_ROLLBACK_COMPLETE"]
        assert len(world.serving.alive) == 1
        agent = world.restart()
        patch.setattr(world.serving, "publish", refuse)
        agent.recover()
        agent.poll()
        assert world.serving.alive == {}
    world.settle()
    assert world.running() == artifact(2)


@pytest.mark.parametrize("is_first_refresh_lost", [False, True])
def test_a_restart_in_a_download_goes_on_before_the_first_poll(is_first_refresh_lost: bool) -> None:
    clock = SimulatedClock()
    repository, signing = Repository(), SimulatedRepository(clock)
    repository.publish(artifact(1))
    sign(repository, signing)
    world = World(SimulatedDisk(), repository, clock=clock, signing=signing)
    world.agent.poll()
    assert world.agent.models[MODEL].record.update is not None
    world.restart()
    agent = Agent(world.agent._tools, world.server, DEVICE, Rhythm(first_s=60.0))
    end = world.clock.monotonic() + 600.0
    source, lost = agent._tools.source, [is_first_refresh_lost]
    plain = source.refresh

    def refresh() -> None:
        if lost[0]:
            lost[0] = False
            raise NetworkError("the repository cannot be reached.")
        plain()

    def look() -> None:
        if world.clock.monotonic() >= end:
            raise Stopped

    source.refresh = refresh  # type: ignore[method-assign]
    world.clock.during_sleep = look
    agent.run()
    assert world.server.results() == ["SUCCESSFUL"]
    assert world.current() == artifact(1)


def test_the_server_is_asked_before_a_slow_mirror(world: World) -> None:
    order: list[str] = []
    asked, refreshed = world.server.assignment, world.source.refresh
    world.server.assignment = lambda: (order.append("server"), asked())[1]  # type: ignore[method-assign]
    world.source.refresh = lambda: (order.append("mirror"), refreshed())[1]  # type: ignore[func-returns-value, method-assign]
    world.agent.poll()
    assert order == ["server", "mirror"]


def test_names_that_nobody_signed_cost_no_space_and_are_told(world: World) -> None:
    assert isinstance(world.disk, SimulatedDisk)
    changes = len(world.disk.log)
    world.server.wanted |= {f"m{n}": Wanted(f"m{n}") for n in range(50)}
    world.settle()
    assert len(world.disk.log) == changes
    told = {report.model: report.why for report in world.server.reports}
    assert told["m7"] == "nothing is signed for this model"
    assert len(world.server.reports) == 50
    world.server.wanted = {f"n{n}": Wanted(f"n{n}") for n in range(50)}
    world.settle()
    assert len(world.agent._remarks) <= 51


def test_an_end_that_was_not_told_is_told_before_another(world: World) -> None:
    world.server.deaf_in = {"ArtifactCommit_Leave", "ArtifactFailure", "Idle"}
    new = world.repository.publish(artifact(2))
    world.settle()
    alien = world.repository.publish(artifact(3), arch="aarch64")
    world.server.wanted[MODEL] = Wanted(MODEL, alien.sha256)
    world.settle()
    world.server.deaf_in = set()
    world.settle(polls=2)
    ends = [(report.target, report.result) for report in world.server.reports if report.result]
    assert ends == [(new.sha256, "SUCCESSFUL"), (alien.sha256, "REJECTED")]


def test_what_is_wanted_again_is_not_withdrawn(world: World) -> None:
    first, second = world.repository.publish(artifact(2)), world.repository.publish(artifact(3))
    for wanted in (first, second, first):
        world.server.wanted[MODEL] = Wanted(MODEL, wanted.sha256)
        world.agent.poll()
    world.settle()
    assert world.server.results() == ["SUCCESSFUL"]
    assert world.running() == artifact(2)


def test_a_model_that_is_not_assigned_any_more_is_served_again_too(world: World) -> None:
    world.server.wanted.clear()
    generation = world.serving.running(MODEL)
    assert generation is not None
    world.serving.stop(generation)
    world.agent.poll()
    assert world.running() == artifact(1)


def test_a_mirror_that_comes_back_after_days_is_tried_then(world: World) -> None:
    world.repository.publish(artifact(2))
    world.source.faults = [NetworkError("reset.")] * 4 * 4
    world.settle(polls=20)
    assert world.server.results() == ["FAILED_NO_STATE_CHANGE"] * 4  # three at once, one after 8 polls
    assert world.running() == artifact(1)
    world.settle(polls=20)
    assert world.running() == artifact(2)
