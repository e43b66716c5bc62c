"""Power cuts and kills at every moment of an update, and what must hold afterwards.

A scenario is run once on a simulated disk that logs every change. Then, for every prefix of the log, the agent is started on
each disk that may be found after a power cut (see `simulated.power_cuts`), and `check` looks at what it makes of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.world import MODEL, Repository, Server, World, artifact, sign
from edgewright.core.canonical import digest
from edgewright.core.errors import NetworkError
from edgewright.fleet.agent.journal import Journal
from edgewright.fleet.agent.slots import SLOTS, artifact_path, current
from edgewright.fleet.protocol.assignment import Wanted
from simulated import Op, SimulatedDisk, after_kill, power_cuts
from trust.simulated_repository import SimulatedRepository


@dataclass(frozen=True)
class Recorded:
    """A scenario that was run: the log of the disk, where the update began in it and where it was committed, and its end.

    `versions` may run when all has settled. `had_one_at` is the length of the log from which on a model was committed.
    """

    name: str
    log: tuple[Op, ...]
    begins_at: int
    had_one_at: int
    repository: Repository
    wanted: dict[str, Wanted]
    versions: tuple[bytes, ...]
    signing: SimulatedRepository | None = None


Prepare = Callable[[World], None]


def _good(world: World) -> None:
    world.repository.publish(artifact(2))


def _signed(world: World) -> None:
    """With the code that verifies signatures and downloads in chunks of 64 KiB; version 1 is signed too."""
    world.repository.publish(artifact(2) + random.Random(0).randbytes(70_000))
    world.signing = SimulatedRepository(world.clock)
    sign(world.repository, world.signing)
    world.restart().recover()


def _wrong(world: World) -> None:
    world.repository.publish(artifact(2, "wrong"))


def _failing(world: World) -> None:
    world.repository.publish(artifact(2, "failing"))


def _mute(world: World) -> None:
    world.repository.publish(artifact(2, "mute"))


def _third(world: World) -> None:
    """Both slots are in use when the update begins."""
    world.repository.publish(artifact(2))
    world.settle()
    world.repository.publish(artifact(3))


def _back(world: World) -> None:
    """Back to the version in the other slot, by assignment."""
    old = next(iter(world.repository.signed.values()))
    world.repository.publish(artifact(2))
    world.settle()
    world.server.wanted[MODEL] = Wanted(MODEL, old.sha256)


def _taken_back(world: World) -> None:
    world.repository.publish(artifact(2))
    world.server.aborts_in = {"ArtifactCommit"}


def _outage(world: World) -> None:
    world.repository.publish(artifact(2))
    world.source.faults = [NetworkError("reset.")] * 2


def _files(world: World) -> list[str]:
    folders = [f"models/{MODEL}", *(f"models/{MODEL}/slots/{slot}" for slot in SLOTS), "downloads", "."]
    paths = [f"{folder}/{name}" for folder in folders for name in world.disk.names(folder)]
    return [path for path in paths if world.disk.read_link(path) is None and world.disk.size(path) is not None]


def _full(world: World) -> None:
    """A disk that fills while the payload is downloaded."""
    assert isinstance(world.disk, SimulatedDisk)
    world.repository.publish(artifact(2) + bytes(1_500))
    world.disk.capacity = sum(map(len, map(world.disk.read, _files(world)))) + 1_000


# Name -> what is done before the update, and the versions of which one may run at its end.
SCENARIOS: dict[str, tuple[Prepare, tuple[bytes, ...]]] = {
    "good": (_good, (artifact(2),)),
    "signed": (_signed, (artifact(2) + random.Random(0).randbytes(70_000),)),
    "third": (_third, (artifact(3),)),
    "back": (_back, (artifact(1),)),
    "wrong": (_wrong, (artifact(1),)),
    "failing": (_failing, (artifact(1),)),
    "mute": (_mute, (artifact(1),)),
    "taken back": (_taken_back, (artifact(1), artifact(2))),
    "outage": (_outage, (artifact(2),)),
    "full": (_full, (artifact(2) + bytes(1_500),)),
}


def first() -> Recorded:
    """The first version of a model on an empty disk."""
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    return _recorded("first", world, 0, (artifact(1),))


def record(name: str) -> Recorded:
    """Run a scenario on a device that runs version 1."""
    prepare, versions = SCENARIOS[name]
    world = World(SimulatedDisk())
    world.repository.publish(artifact(1))
    world.settle()
    prepare(world)
    assert isinstance(world.disk, SimulatedDisk)
    return _recorded(name, world, len(world.disk.log), versions)


def _recorded(name: str, world: World, begins_at: int, versions: tuple[bytes, ...]) -> Recorded:
    disk = world.disk
    assert isinstance(disk, SimulatedDisk)
    had_one_at = 0 if begins_at else None
    world.agent.poll()
    while (wait := world.agent.step()) is not None:
        world.clock.advance(wait)
        update = world.agent.models[MODEL].record.update
        if had_one_at is None and update is not None and update.progress.state == "ArtifactCommit_Leave":
            had_one_at = len(disk.log)
    assert had_one_at is not None
    log = tuple(disk.log)
    return Recorded(name, log, begins_at, had_one_at, world.repository, dict(world.server.wanted), versions, world.signing)


def cuts(recorded: Recorded, source: random.Random, each: int, share: float = 1.0) -> Iterator[tuple[int, SimulatedDisk]]:
    """Up to `each` disks for every prefix, or for a share of the prefixes: its length, and what may be found."""
    for length in range(recorded.begins_at, len(recorded.log) + 1):
        if source.random() < share:
            for disk in power_cuts(recorded.log[:length], source, each):
                yield length, disk


def cuts_after_kills(recorded: Recorded, source: random.Random, count: int) -> Iterator[tuple[int, SimulatedDisk]]:
    """The agent is killed, started again, and then the power is cut: what may be found."""
    for _ in range(count):
        killed_at = source.randint(recorded.begins_at, len(recorded.log))
        world = _world(after_kill(recorded.log[:killed_at]), recorded)
        world.agent.recover()
        _some_steps(world, source)
        assert isinstance(world.disk, SimulatedDisk)
        cut_at = source.randint(killed_at, len(world.disk.log))
        yield killed_at, next(iter(power_cuts(world.disk.log[:cut_at], source, 1)))
        yield killed_at, source.choice(list(power_cuts(world.disk.log[:cut_at], source, 16)))


def cuts_after_cuts(recorded: Recorded, source: random.Random, count: int) -> Iterator[tuple[int, SimulatedDisk]]:
    """The power is cut in the recovery from a power cut."""
    for _ in range(count):
        length = source.randint(recorded.begins_at, len(recorded.log))
        base = source.choice(list(power_cuts(recorded.log[:length], source, 16)))
        world = _world(base.copy(), recorded)
        world.agent.recover()
        _some_steps(world, source)
        assert isinstance(world.disk, SimulatedDisk)
        cut_at = source.randint(0, len(world.disk.log))
        yield length, source.choice(list(power_cuts(world.disk.log[:cut_at], source, 16, base)))


def _some_steps(world: World, source: random.Random) -> None:
    world.agent.poll()
    for _ in range(source.randint(0, 9)):
        world.clock.advance(world.agent.step() or 0.0)


def _world(disk: SimulatedDisk, recorded: Recorded) -> World:
    return World(disk, recorded.repository, Server(dict(recorded.wanted)), signing=recorded.signing)


def check(recorded: Recorded, length: int, disk: SimulatedDisk) -> None:
    """What must hold of a disk that was found: raises AssertionError.

    At once: a device that had a model starts a verified one, and nothing else ever serves. In the end: the update is over,
    the right version runs and will start again, what was told was true, and nothing is left over. Then a restart changes
    nothing.
    """
    had_one = length >= recorded.had_one_at
    signed = recorded.repository.signed
    slot = current(disk, MODEL)
    if had_one:
        assert slot is not None, "no slot is current"
    if slot is not None:
        path, known = artifact_path(MODEL, slot), Journal(disk.copy(), MODEL).record.slots.get(slot)
        sha256 = digest(disk.read(path)) if disk.size(path) is not None else None
        assert sha256 in signed, "the current slot is not verified"
        assert known is not None, "the journal does not know the current slot"
        assert known.sha256 == sha256, "the journal names another artifact in the current slot"
    world = _world(disk, recorded)
    world.agent.recover()
    assert world.running() is not None or not had_one, "nothing serves after the restart"
    world.settle(polls=4)
    model = world.agent.models[MODEL]
    assert model.record.update is None, "the update does not end"
    assert model.record.untold is None, "its end was not told"
    assert world.running() in recorded.versions, "another version runs than should"
    assert world.current() == world.running(), "another version starts than runs"
    assert len(world.serving.alive) == 1, "workers are left over"
    assert all(told.running == told.target for told in world.server.reports if told.result == "SUCCESSFUL"), "a lie was told"
    assert not disk.names("downloads"), "downloads are left over"
    told, runs = len(world.server.results()), world.running()
    world.restart().recover()
    assert world.running() == runs
    world.settle(polls=2)
    assert (world.running(), len(world.server.results())) == (runs, told), "a restart is not quiet"
    assert world.agent.models[MODEL].record == model.record, "a restart is not quiet"
