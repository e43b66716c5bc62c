"""The agent of a real data folder, put together where parts of the folder are not usable."""

from __future__ import annotations

from pathlib import Path

from agent.world import MODEL
from edgewright.fleet.agent.agent import Agent
from edgewright.fleet.agent.assembly import Setup, assembled
from edgewright.fleet.disk import RealDisk
from simulated import SimulatedClock
from trust.simulated_repository import SimulatedRepository


def setup_at(folder: Path) -> Setup:
    root = folder / "root.json"
    root.write_bytes(SimulatedRepository(SimulatedClock()).first_root())
    return Setup(folder / "data", repository=str(folder), root=root, models=(MODEL,))


def polls(agent: Agent) -> None:
    agent.recover()
    agent.poll()
    assert agent.step() is None


def test_telemetry_that_cannot_begin_keeps_no_agent_from_starting_and_begins_later(tmp_path: Path) -> None:
    setup = setup_at(tmp_path)
    setup.folder.mkdir()
    (setup.folder / "telemetry").write_bytes(b"no folder")
    with assembled(setup) as agent:
        polls(agent)
        (setup.folder / "telemetry").unlink()
        polls(agent)
        assert RealDisk(setup.folder).names("telemetry") != []
