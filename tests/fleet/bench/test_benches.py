"""What a device does with jobs: once, between updates, and never anything but what is signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from agent.world import DEVICE, Repository, Source, artifact
from agent.world import World as AgentWorld
from bench.outcomes import MEASUREMENT, job
from edgewright.core.errors import NetworkError
from edgewright.fleet.agent.agent import Agent
from edgewright.fleet.agent.bench.benches import Benches
from edgewright.fleet.agent.bench.sensors import Sensors
from edgewright.fleet.agent.ports import Around
from edgewright.fleet.protocol.bench_job import BenchJob, Outcome, Told
from edgewright.fleet.telemetry.upload import NotTaken
from simulated import SimulatedClock, SimulatedDisk

GOOD = {"measurement": MEASUREMENT.to_json()}


class Server:
    """Hands out its jobs until it heard of them."""

    def __init__(self) -> None:
        self.jobs: list[BenchJob] = []
        self.heard: list[Outcome] = []
        self.faults: list[Exception] = []
        self.asked = 0

    def bench_waiting(self) -> int | None:
        return self.jobs[0].run if self.jobs else None

    def bench(self, told: Told) -> BenchJob | None:
        Told.decode(told.encode())
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        if told.outcome is not None:
            self.heard.append(told.outcome)
            self.jobs = [item for item in self.jobs if item.run != told.outcome.run]
        return self.jobs[0] if self.jobs else None


class Measuring:
    pid = 7

    def __init__(self, order: str, seconds: int) -> None:
        self.order, self.left, self.is_stopped = json.loads(order), seconds, False
        self.says: Mapping[str, Any] = GOOD

    def told(self) -> Mapping[str, Any] | None:
        self.left -= 1
        return self.says if self.left < 0 else None

    def stop(self) -> None:
        self.is_stopped = True


class World:
    def __init__(self, root: Path) -> None:
        self.disk, self.clock, self.server, self.repository = SimulatedDisk(), SimulatedClock(), Server(), Repository()
        self.root, self.started, self.seconds = root, list[Measuring](), 3
        self.source = Source(self.disk, self.repository)
        self.offered = self.repository.publish(artifact(1))
        self.restart()

    def restart(self) -> None:
        """The agent begins anew."""
        self.benches = Benches(
            self.disk, self.server, self.source, self.clock, DEVICE, self._start, lambda: Sensors(self.clock, self.root)
        )

    def _start(self, order: str) -> Measuring:
        self.started.append(Measuring(order, self.seconds))
        return self.started[-1]

    def ask(self, run: int = 1, **changes: Any) -> None:
        self.server.jobs.append(job(run, self.offered.sha256, name=self.offered.name, **changes))

    def settle(self, around: Around | None = None) -> None:
        self.benches.poll(around or Around())
        for _ in range(50):
            wait = self.benches.step(around or Around())
            if wait is None:
                return
            self.clock.advance(wait)
        raise AssertionError("the measuring does not end")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_no_job_asks_nobody(world: World) -> None:
    world.settle()
    assert world.server.asked == 0


def test_jobs_are_done_one_after_the_other(world: World) -> None:
    world.ask(1, threads=2, windows=3)
    world.ask(2, batch=8)
    world.settle()
    assert [(item.run, item.end, item.measurement) for item in world.server.heard] == [
        (1, "measured", MEASUREMENT), (2, "measured", MEASUREMENT),
    ]  # fmt: skip
    first = world.started[0].order
    assert (first["sha256"], first["threads"], first["windows"]) == (world.offered.sha256, 2, 3)
    assert first["path"] == f"/simulated/downloads/{world.offered.sha256}"
    assert all(item.is_stopped for item in world.started)
    assert world.server.heard[0].health.during
    world.settle()
    assert world.disk.names("downloads") == []
    assert world.disk.names("bench") == []


def test_what_a_slot_holds_is_not_downloaded(world: World) -> None:
    world.ask()
    world.settle(Around(held={world.offered.sha256: "models/digits/slots/a/artifact.ewa"}, serving=2))
    assert world.source.fetched == []
    assert world.started[0].order["path"].endswith("slots/a/artifact.ewa")
    assert world.server.heard[0].serving == 2


def test_what_is_not_signed_or_does_not_fit_is_refused(world: World) -> None:
    world.server.jobs.append(job(1, "cd" * 32))
    world.server.jobs.append(job(2, world.offered.sha256, name="digits/other/1.ewa"))
    other = world.repository.publish(artifact(2), arch="riscv64")
    world.server.jobs.append(job(3, other.sha256, name=other.name))
    world.settle()
    assert [item.end for item in world.server.heard] == ["refused"] * 3
    assert "riscv64" in world.server.heard[2].why
    assert world.started == []


def test_a_hot_device_refuses(world: World) -> None:
    zone = world.root / "sys/class/thermal/thermal_zone0/temp"
    zone.parent.mkdir(parents=True)
    zone.write_text("91000\n")
    world.ask()
    world.settle()
    assert (world.server.heard[0].end, world.started) == ("refused", [])
    assert "91 degrees" in world.server.heard[0].why


def test_an_update_goes_first_and_disturbs(world: World) -> None:
    world.ask()
    world.benches.poll(Around(is_updating=True))
    for _ in range(5):
        assert world.benches.step(Around(is_updating=True)) is not None
    assert world.started == []
    world.benches.step(Around())
    world.benches.step(Around(is_updating=True))
    world.settle()
    assert world.server.heard[0].health.disturbed == ("an update was on its way",)


def test_a_cancelled_job_ends_at_the_next_poll(world: World) -> None:
    world.seconds = 10**6
    world.ask()
    world.benches.poll(Around())
    world.benches.step(Around())
    world.server.jobs.clear()
    world.settle()
    assert world.started[0].is_stopped
    assert world.server.heard == []
    assert world.disk.names("downloads") == []


def test_a_job_has_its_time(world: World) -> None:
    world.seconds = 10**6
    world.ask(deadline_s=20.0)
    world.settle()
    assert world.started[0].is_stopped
    assert (world.server.heard[0].end, world.server.heard[0].measurement) == ("failed", None)
    assert "20 s" in world.server.heard[0].why


def test_a_crash_is_told(world: World) -> None:
    world.ask()
    world.benches.poll(Around())
    world.benches.step(Around())
    world.started[0].says = {"error": "it ended with signal 9."}
    world.settle()
    assert (world.server.heard[0].end, world.server.heard[0].why) == ("failed", "it ended with signal 9.")


def test_an_outcome_waits_for_the_network_and_for_a_restart(world: World) -> None:
    world.ask()
    world.benches.poll(Around())
    world.server.faults = [NetworkError("away"), NetworkError("away")]
    with pytest.raises(NetworkError):
        world.settle()
    with pytest.raises(NetworkError):
        world.benches.poll(Around())
    world.restart()
    world.settle()
    assert [(item.run, item.end) for item in world.server.heard] == [(1, "measured")]
    assert len(world.started) == 1


def test_a_job_that_ends_the_agent_is_given_up(world: World) -> None:
    world.ask()
    for _ in range(3):
        world.benches.poll(Around())
        world.benches.step(Around())
        world.benches.stop()
        world.restart()
    world.settle()
    assert len(world.started) == 3
    assert world.server.heard[0].end == "failed"
    assert "3 times" in world.server.heard[0].why
    world.ask(2)
    world.settle()
    assert world.server.heard[1].end == "measured"


def test_figures_that_the_server_does_not_know_are_told_as_a_failure(world: World) -> None:
    world.ask()
    world.benches.poll(Around())
    world.server.faults = [NotTaken("unknown members.")]
    with pytest.raises(NotTaken):
        world.settle()
    world.settle()
    assert (world.server.heard[0].end, world.server.heard[0].measurement) == ("failed", None)


def test_a_damaged_outcome_is_measured_again(world: World) -> None:
    world.ask()
    world.benches.poll(Around())
    world.server.faults = [NetworkError("away")]
    with pytest.raises(NetworkError):
        world.settle()
    world.disk.write("bench/outcome.json", b"rotten")
    world.disk.write("bench/run.json", b"rotten")
    world.restart()
    world.settle()
    assert len(world.started) == 2
    assert [item.end for item in world.server.heard] == ["measured"]


class Loop:
    """`Measurings` that say what the agent's loop tells them."""

    def __init__(self) -> None:
        self.polled: list[Around] = []
        self.stepped: list[Around] = []
        self.is_stopped = False

    def poll(self, around: Around) -> None:
        self.polled.append(around)

    def step(self, around: Around) -> float | None:
        self.stepped.append(around)
        if len(self.stepped) == 2:
            raise RuntimeError("a mistake")
        return 1.5 if len(self.stepped) < 4 else None

    def stop(self) -> None:
        self.is_stopped = True


def test_the_loop_tells_measurings_of_updates_and_of_what_slots_hold() -> None:
    made = AgentWorld(SimulatedDisk())
    item = made.repository.publish(artifact(1))
    made.settle()
    loop = Loop()
    agent = Agent(made.agent._tools, made.server, DEVICE, measurings=loop)
    agent.run_once()
    assert loop.polled[0] == Around(False, {item.sha256: "models/digits/slots/a/artifact.ewa"}, 1)
    assert len(loop.stepped) == 4  # also after the mistake
    assert loop.is_stopped
    made.repository.publish(artifact(2))
    loop.polled.clear()
    agent.poll()
    assert loop.polled[0].is_updating
