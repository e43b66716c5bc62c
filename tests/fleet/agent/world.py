"""The outside of an agent, simulated: a repository, a server and workers that behave as the artifact's first word says.

good: serves well. mute: its file cannot be loaded. wrong: its test vectors fail. failing: a third of its requests fail.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.core.canonical import digest
from edgewright.core.errors import NetworkError, RuntimeFailure, VerificationError
from edgewright.fleet.agent import slots
from edgewright.fleet.agent.agent import Agent
from edgewright.fleet.agent.choose import Device
from edgewright.fleet.agent.effects import Patience, Tools
from edgewright.fleet.agent.health import Policy
from edgewright.fleet.agent.ports import Source as SourcePort
from edgewright.fleet.agent.reporter import Reporter, next_boot
from edgewright.fleet.disk import Disk, ensure_folder
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.offer import CHUNK_BYTES, Chunks, Offer, beside, target_name
from edgewright.fleet.protocol.offered import Offered
from edgewright.fleet.protocol.poll import PollSlot
from edgewright.fleet.protocol.report import Answer, Report
from edgewright.fleet.serve.generation import Generation, Health, Statistics
from edgewright.fleet.trust.source import RepositorySource
from simulated import SimulatedClock
from trust.simulated_repository import SimulatedRepository

MODEL = "digits"
DEVICE = Device("x86_64", frozenset({"avx2", "fma"}), {"onnxruntime": "1.20"}, 4 << 30)
PIECE = 64


def artifact(version: int, word: str = "good") -> bytes:
    return f"{word} {version} ".encode() + bytes(range(256)) * 2


def offered(data: bytes, model: str = MODEL, **changes: object) -> Offered:
    version = int(data.split(b" ")[1])
    facts: dict[str, object] = {
        "model": model, "version": version, "profile": "x86-64-avx2", "arch": "x86_64", "isa": ("avx2",), "precision": "int8",
        "runtime": "onnxruntime", "runtime_version": "1.20", "size_bytes": len(data), "content_digest": digest(data), **changes,
    }  # fmt: skip
    offer = Offer(**facts)  # type: ignore[arg-type]
    return Offered(target_name(model, offer.profile, version), digest(data), len(data), offer)


@dataclass
class Repository:
    """What is signed, and the bytes that a mirror has for it."""

    signed: dict[str, Offered] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def publish(self, data: bytes, model: str = MODEL, **changes: object) -> Offered:
        made = offered(data, model, **changes)
        self.signed[made.sha256], self.contents[made.sha256] = made, data
        return made


def sign(repository: Repository, signing: SimulatedRepository) -> None:
    """Publish all of it in a repository with real signatures and chunk lists."""
    for sha256, item in repository.signed.items():
        data = repository.contents[sha256]
        pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        listed = signing.add(beside(item.name, "chunks"), b"".join(bytes.fromhex(digest(piece)) for piece in pieces))
        offer = replace(item.offer, chunks=Chunks(listed.path, listed.hashes["sha256"]))
        signing.add(item.name, data, custom=offer.to_json())
    signing.publish()


class Source:
    """Downloads in pieces, each of which may meet a fault; what is on the disk counts as soon as its digest is right."""

    def __init__(self, disk: Disk, repository: Repository) -> None:
        self._disk, self._repository = disk, repository
        self.faults: list[Exception] = []
        self.fetched: list[str] = []
        ensure_folder(disk, "downloads")

    def refresh(self) -> None:
        pass

    def offers(self) -> list[Offered]:
        return list(self._repository.signed.values())

    def fetch(self, offered: Offered, have: Mapping[str, str]) -> str:
        whole, part = f"downloads/{offered.sha256}", f"downloads/{offered.sha256}.part"
        for sha256, path in have.items():
            assert self._disk.size(path) is not None
            assert sha256 in self._repository.signed
        if self._disk.size(whole) is not None and digest(self._disk.read(whole)) == offered.sha256:
            self._disk.sync("downloads")
            return whole
        data = self._repository.contents[offered.sha256]
        self._disk.write(part, b"")
        for offset in range(0, len(data), PIECE):
            if self.faults:
                raise self.faults.pop(0)
            self._disk.write_range(part, offset, data[offset : offset + PIECE])
        self._disk.sync(part)
        if digest(self._disk.read(part)) != offered.sha256:
            self._disk.remove(part)
            raise VerificationError("the download is not what was signed.")
        self._disk.rename(part, whole)
        self._disk.sync("downloads")
        self.fetched.append(offered.sha256)
        return whole

    def forget(self, sha256: str) -> None:
        for ending in ("", ".part"):
            self._disk.remove(f"downloads/{sha256}{ending}")
        self._disk.sync("downloads")


@dataclass
class Server:
    """Assigns, hears reports, takes a deployment back in the states `aborts_in`; deaf while `is_away`."""

    wanted: dict[str, Wanted] = field(default_factory=lambda: {MODEL: Wanted(MODEL)})
    reports: list[Report] = field(default_factory=list)
    aborts_in: set[str] = field(default_factory=set)
    deaf_in: set[str] = field(default_factory=set)
    is_away: bool = False
    told_slot: PollSlot | None = None

    def assignment(self) -> Assignment:
        self._reach("")
        return Assignment(self.wanted)

    def poll_slot(self) -> PollSlot | None:
        return self.told_slot

    def report(self, report: Report) -> Answer:
        self._reach(report.state)
        self.reports.append(report)
        return Answer(report.state in self.aborts_in)

    def send_telemetry(self, frames: bytes) -> int:
        raise AssertionError("the agent sends telemetry through its own port")

    def _reach(self, state: str) -> None:
        if self.is_away or state in self.deaf_in:
            raise NetworkError("the server cannot be reached.")

    def results(self) -> list[str]:
        return [report.result for report in self.reports if report.result is not None]


class Serving:
    """Workers in memory; they open the file on the simulated disk and check its digest, as real ones do."""

    def __init__(self, disk: Disk, repository: Repository, root: Path = Path("/simulated")) -> None:
        self._disk, self._repository, self._root = disk, repository, root
        self._numbers = 0
        self._public: dict[str, Generation] = {}
        self.alive: dict[int, bytes] = {}
        self.published: list[str] = []
        self.broken: set[str] = set()  # cannot be loaded any more

    def start(self, model: str, artifact: Path, sha256: str) -> Generation:
        path = str(artifact.relative_to(self._root))
        data = self._disk.read(path) if self._disk.size(path) is not None else b""
        if digest(data) != sha256:
            raise VerificationError(f"{path} is not the artifact that the journal names.")
        if data.startswith(b"mute") or sha256 in self.broken:
            raise RuntimeFailure("the runtime cannot load the file.")
        self._numbers += 1
        self.alive[self._numbers] = data
        return Generation(model, self._numbers, sha256, 1000 + self._numbers)

    def check(self, generation: Generation) -> Health:
        wrong = self._data(generation).startswith(b"wrong")
        return Health(not wrong, "output 'y' is outside the tolerance" if wrong else "", 5)

    def publish(self, generation: Generation) -> None:
        self._data(generation)
        assert generation.sha256 in self._repository.signed, "an artifact serves that nobody signed"
        before = self._public.get(generation.model)
        self._public[generation.model] = generation
        self.published.append(generation.sha256)
        if before is not None:
            self.alive.pop(before.number, None)

    def stop(self, generation: Generation) -> None:
        self.alive.pop(generation.number, None)
        if self._public.get(generation.model) == generation:
            del self._public[generation.model]

    def running(self, model: str) -> Generation | None:
        return self._public.get(model)

    def statistics(self, generation: Generation) -> Statistics:
        failing = self._data(generation).startswith(b"failing")
        return Statistics(100, 33 if failing else 0, 0, (1.0, 10.0), (90, 10, 0))

    def _data(self, generation: Generation) -> bytes:
        if generation.number not in self.alive:
            raise RuntimeFailure("the worker is gone.")
        return self.alive[generation.number]


@dataclass
class World:
    """An agent and its outside on a disk."""

    disk: Disk
    repository: Repository = field(default_factory=Repository)
    server: Server = field(default_factory=Server)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    policy: Policy = field(default_factory=lambda: Policy(trial_s=10.0))
    signing: SimulatedRepository | None = None  # where artifacts are published with real signatures and verified by real code

    def __post_init__(self) -> None:
        self.source = Source(self.disk, self.repository)
        self.agent = self.restart()

    def restart(self) -> Agent:
        """The agent's process, and its workers with it, begin anew."""
        faults = self.source.faults
        self.source = Source(self.disk, self.repository)
        self.source.faults = faults
        self.serving = Serving(self.disk, self.repository)
        source: SourcePort = self.source
        if self.signing is not None:
            source = RepositorySource(self.disk, self.signing, self.clock, self.signing.first_root())
        reporter = Reporter("device-1", next_boot(self.disk), self.server, self.clock)
        patience = Patience(fetch_tries=4, ask_tries=3, base_s=1.0)
        tools = Tools(self.disk, source, self.serving, self.clock, reporter, self.policy, patience, random.Random(0))
        self.agent = Agent(tools, self.server, DEVICE)
        return self.agent

    def settle(self, polls: int = 1) -> None:
        """Poll, and go on until no update is on its way; again for each poll."""
        for _ in range(polls):
            self.agent.poll()
            for _ in range(200):
                wait = self.agent.step()
                if wait is None:
                    break
                self.clock.advance(wait)
            else:
                raise AssertionError("the update does not end")
        self.agent.poll()

    def running(self, model: str = MODEL) -> bytes | None:
        generation = self.serving.running(model)
        return None if generation is None else self.serving.alive[generation.number]

    def current(self, model: str = MODEL) -> bytes | None:
        """What starts after a power cut: the bytes behind the link."""
        slot = slots.current(self.disk, model)
        path = slots.artifact_path(model, slot) if slot is not None else ""
        return self.disk.read(path) if path and self.disk.size(path) is not None else None
