"""The loop: its rhythm, its end, its lock, and what it does when parts of the outside fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from agent.world import DEVICE, MODEL, World, artifact
from edgewright.core.canonical import digest
from edgewright.core.errors import AgentError, NetworkError, StoreError
from edgewright.fleet.agent.agent import Agent, Stopped
from edgewright.fleet.agent.lock import only_agent
from edgewright.fleet.agent.ports import Server
from edgewright.fleet.agent.reporter import next_boot
from edgewright.fleet.agent.rhythm import Rhythm
from simulated import SimulatedDisk

PROCESS = Path(__file__).parent / "process.py"


class Spool:
    """Telemetry that notes when it was sent."""

    def __init__(self) -> None:
        self.sent = 0
        self.is_away = False

    def send(self, server: Server) -> None:
        if self.is_away:
            raise NetworkError("the server cannot be reached.")
        self.sent += 1


def stop_after(world: World, seconds: float) -> None:
    """Let the simulated clock end the loop."""
    end = world.clock.monotonic() + seconds

    def look() -> None:
        if world.clock.monotonic() >= end:
            raise Stopped

    world.clock.during_sleep = look


def agent_of(world: World, rhythm: Rhythm, telemetry: Spool | None = None) -> Agent:
    return Agent(world.agent._tools, world.server, DEVICE, rhythm, telemetry)


def test_runs_updates_and_ends_its_workers() -> None:
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    stop_after(world, 7200)
    spool = Spool()
    agent_of(world, Rhythm(poll_s=300.0), spool).run()
    assert world.server.results() == ["SUCCESSFUL"]
    assert world.current() == artifact(1)
    assert world.serving.alive == {}
    assert 12 <= spool.sent <= 48


def test_telemetry_that_cannot_be_sent_holds_nothing_up() -> None:
    world, spool = World(SimulatedDisk()), Spool()
    world.repository.publish(artifact(1))
    spool.is_away = True
    stop_after(world, 1000)
    agent_of(world, Rhythm(poll_s=100.0), spool).run()
    assert world.server.results() == ["SUCCESSFUL"]


def test_sleeps_all_the_time_when_there_is_nothing_to_do() -> None:
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    world.settle()
    stop_after(world, 24 * 3600)
    agent_of(world, Rhythm(poll_s=600.0)).run()
    assert len(world.clock.slept) < 24 * 6 * 1.5
    assert sum(world.clock.slept) >= 24 * 3600


def test_an_outage_slows_polls_down_and_devices_come_back_apart() -> None:
    waits = []
    for _ in range(30):
        world = World(SimulatedDisk())
        world.server.is_away = True
        agent = agent_of(world, Rhythm(poll_s=300.0, longest_s=1800.0))
        agent._tools.chance.seed(len(waits))
        waits.append([agent.poll() for _ in range(8)])
    last = sorted(row[-1] for row in waits)
    assert last[-1] <= 1800.0
    assert max(row[0] for row in waits) <= 300.0
    assert last[20] - last[10] > 100.0
    assert sum(row[-1] for row in waits) > 2 * sum(row[0] for row in waits)


def test_first_polls_after_a_power_cut_of_a_whole_site_are_spread() -> None:
    first = set()
    for seed in range(10):
        world = World(SimulatedDisk())
        stop_after(world, 0.001)
        agent = agent_of(world, Rhythm(first_s=60.0))
        agent._tools.chance.seed(seed)
        agent.run()
        first.add(round(world.clock.slept[0]))
    assert len(first) > 6
    assert max(first) <= 60


def refuse_all(kind: str, path: str) -> None:
    raise StoreError("cannot write: Read-only file system; mount the file system writable.")


def test_each_start_has_a_name_of_its_own_and_reports_are_numbered() -> None:
    disk = SimulatedDisk()
    names = [next_boot(disk) for _ in range(3)]
    for damaged in ("boot.json", "boot.2.json"):
        disk.write(damaged, b"rotten")
        names.append(next_boot(disk))
    disk.capacity = sum(disk.size(path) or 0 for path in ("boot.json", "boot.2.json"))
    names += [next_boot(disk) for _ in range(3)]
    counts = [int(name.partition("-")[0]) for name in names]
    assert counts == sorted(set(counts))
    disk.refuse = refuse_all
    names += [next_boot(disk) for _ in range(2)]
    assert len(set(names)) == len(names) == 10
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    world.settle()
    assert [report.sequence for report in world.server.reports] == list(range(1, len(world.server.reports) + 1))


def test_one_agent_a_data_folder(tmp_path: Path) -> None:
    with only_agent(tmp_path), pytest.raises(AgentError, match="another agent"), only_agent(tmp_path):
        pass
    with only_agent(tmp_path):
        pass
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(AgentError, match="cannot use the data folder"), only_agent(file / "data"):
        pass


def start(folder: Path, *versions: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(PROCESS), str(folder), *versions], stdout=subprocess.PIPE, text=True)


def serves(child: subprocess.Popen[str], version: int, word: str = "good") -> bool:
    """Read until the child serves a version."""
    assert child.stdout is not None
    return any(line.split() == ["serves", digest(artifact(version, word))] for line in child.stdout)


def test_sigterm_ends_a_real_agent_cleanly(tmp_path: Path) -> None:
    child = start(tmp_path, "good:1")
    try:
        assert serves(child, 1)
        child.send_signal(signal.SIGTERM)
        rest, _ = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0
    assert rest.endswith("ended\n")


def test_a_killed_agent_serves_the_same_again(tmp_path: Path) -> None:
    link = tmp_path / "models" / MODEL / "current"
    child = start(tmp_path, "good:1")
    assert serves(child, 1)
    while not link.exists():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    child = start(tmp_path, "good:1", "good:2")
    try:
        assert serves(child, 1)
        assert serves(child, 2)
    finally:
        child.kill()
        child.communicate()


def test_the_updater_needs_no_numpy_and_no_runtime() -> None:
    code = (
        "import sys, edgewright.fleet.agent.agent, edgewright.fleet.agent.device\n"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch', 'pandas', 'tuf') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
