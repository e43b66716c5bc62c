"""A device and the control plane's store with a network between them that loses, doubles, delays and reorders messages."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from agent.world import MODEL, World, artifact
from edgewright.core.errors import NetworkError
from edgewright.fleet.control.store import Store
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Answer, Report
from simulated import SimulatedDisk

_WORDS = ("good", "good", "good", "wrong", "failing", "mute")


@dataclass
class Network:
    """The server behind a network with faults; what it delivers goes through the wire's own bytes."""

    store: Store
    device: str
    draw: random.Random
    fault: float = 0.0
    late: list[Report] = field(default_factory=list)

    def assignment(self) -> Assignment:
        """Ask."""
        self._lose("the request")
        found = Assignment.decode(self.store.assignment(self.device).encode())
        self._lose("the answer")
        return found

    def poll_slot(self) -> None:
        """The test polls when it wants to."""

    def report(self, report: Report) -> Answer:
        """Tell; a report may come now, again, later, or never."""
        mine = replace(Report.decode(report.encode()), device=self.device)
        if self.draw.random() < self.fault:
            self.late.append(mine)  # on its way still, while the device thinks that it is lost
            raise NetworkError("the request is lost.")
        answer = Answer(self.store.take(mine))
        if self.draw.random() < self.fault:
            self.late.append(mine)
        self._deliver(0.3)
        self._lose("the answer")
        return answer

    def heal(self) -> None:
        """No more faults; what was on its way comes now, in any order."""
        self.fault = 0.0
        self.draw.shuffle(self.late)
        self._deliver(1.0)

    def _deliver(self, share: float) -> None:
        waiting, self.late = self.late, []
        for report in waiting:
            if self.draw.random() < share:
                self.store.take(report)
            else:
                self.late.append(report)

    def _lose(self, what: str) -> None:
        if self.draw.random() < self.fault:
            raise NetworkError(f"{what} is lost.")


def scenario(store: Store, seed: int) -> str | None:
    """What is wrong in the end, or None."""
    draw = random.Random(seed)
    device = store.enrol(Enrolment(store.make_token(1e9, "test"), draw.randbytes(32)))
    network = Network(store, device, draw, fault=draw.choice((0.05, 0.2, 0.5)))
    world = World(SimulatedDisk(), server=network)  # type: ignore[arg-type]
    store.assign(device, Wanted(MODEL), "test")
    for version in range(1, draw.randint(2, 6)):
        world.repository.publish(artifact(version, draw.choice(_WORDS)))
        chance = draw.random()
        if chance < 0.3:
            store.assign(device, Wanted(MODEL, draw.choice(list(world.repository.signed))), "test")
        elif chance < 0.5:
            store.assign(device, Wanted(MODEL), "test")
        elif chance < 0.6:
            store.abort(device, MODEL, "test")
        _live(world, draw)
    network.heal()
    world.agent.poll()
    world.settle()
    said = store.devices(device)[0]["models"].get(MODEL, {}).get("said")
    runs = world.serving.running(MODEL)
    truth, belief = None if runs is None else runs.sha256, None if said is None else said["running"]
    return None if truth == belief else f"seed {seed}: the device runs {truth}, the server believes {belief}"


def _live(world: World, draw: random.Random) -> None:
    """Some polls and steps; now and then the process is killed in the midst of an update."""
    for _ in range(draw.randint(1, 3)):
        world.agent.poll()
        for _ in range(draw.randint(0, 60)):
            wait = world.agent.step()
            if wait is None:
                break
            world.clock.advance(wait)
        if draw.random() < 0.3:
            world.restart().recover()
