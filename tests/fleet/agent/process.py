"""An agent in a process of its own, on a real disk, with a simulated outside: `python process.py FOLDER VERSIONS...`.

It publishes the versions given ("good:2", "failing:3") and runs with a short rhythm until it is killed or ended. It prints
which artifact begins to serve, and each transition of an update.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / ".namespace"), str(ROOT / "tests" / "fleet")]

from agent.world import DEVICE, Repository, Server, Serving, Source, artifact  # noqa: E402
from edgewright.fleet.agent.agent import Agent  # noqa: E402
from edgewright.fleet.agent.effects import Patience, Tools  # noqa: E402
from edgewright.fleet.agent.health import Policy  # noqa: E402
from edgewright.fleet.agent.lock import only_agent  # noqa: E402
from edgewright.fleet.agent.ports import Source as SourcePort  # noqa: E402
from edgewright.fleet.agent.reporter import Reporter, next_boot  # noqa: E402
from edgewright.fleet.agent.rhythm import Rhythm  # noqa: E402
from edgewright.fleet.disk import RealDisk  # noqa: E402
from edgewright.fleet.serve.generation import Generation  # noqa: E402
from edgewright.fleet.trust.source import RepositorySource  # noqa: E402
from trust.simulated_repository import SimulatedRepository  # noqa: E402


class Clock:
    """The machine's clock, waits a tenth as long."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 10)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class TalkingServing(Serving):
    """Says which artifact it begins to serve."""

    def publish(self, generation: Generation) -> None:
        super().publish(generation)
        say(f"serves {generation.sha256}")


def main(folder: Path, versions: list[str], signing: SimulatedRepository | None = None) -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    repository, server = Repository(), Server()
    for text in versions:
        word, version = text.split(":")
        repository.publish(artifact(int(version), word))
    with only_agent(folder):
        disk, clock = RealDisk(folder), Clock()
        serving = TalkingServing(disk, repository, folder.absolute())
        source: SourcePort = Source(disk, repository)
        if signing is not None:
            source = RepositorySource(disk, signing, clock, signing.first_root())
        reporter = Reporter("device-1", next_boot(disk), server, clock)
        say("begins")
        policy, patience = Policy(trial_s=0.05), Patience(base_s=0.01, look_s=0.01)
        tools = Tools(disk, source, serving, clock, reporter, policy, patience, random.Random())
        Agent(tools, server, DEVICE, Rhythm(poll_s=0.05, first_s=0.0)).run()
        assert not serving.alive, "workers are left over"
    say("ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
