"""A loop in a test: a real control plane and repository, a worker whose compiler writes tiny artifacts, a kill anywhere."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from commands import edgewright
from control_plane import Control
from edgewright.cli.keys import keyring, open_repository
from edgewright.cli.remote import Remote
from edgewright.cli.retrain_parts import ApiServer
from edgewright.core.canonical import digest_file
from edgewright.fleet.control import audit
from edgewright.fleet.control.people import People
from edgewright.fleet.control.retrain.engine import RetrainEngine
from edgewright.fleet.control.retrain.store import Retrainings
from edgewright.fleet.control.rollouts.engine import Engine
from edgewright.fleet.control.rollouts.store import Rollouts
from edgewright.fleet.control.tables import SAMPLES
from edgewright.fleet.disk import RealDisk
from edgewright.fleet.http import Http
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.retrain.settings import Settings
from edgewright.fleet.retrain.shelf import Shelf
from edgewright.fleet.retrain.worker import Worker
from edgewright.fleet.telemetry.sample_file import pack
from edgewright.fleet.trust.repository import listed
from edgewright.fleet.trust.source import RepositorySource, origin_at
from tiny_artifact import write_tiny

MODEL, PROFILE = "tiny", "x86-64-avx2"


class Killed(BaseException):
    """The process ends here."""


class Gun:
    """Ends the process before or after its n-th operation."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count = at, 0

    def guarding(self, target):
        return _Guarded(target, self)

    def step(self) -> None:
        self.count += 1
        if self.at is not None and self.count == self.at:
            raise Killed


class _Guarded:
    def __init__(self, target, gun):
        self._target, self._gun = target, gun

    def __getattr__(self, name):
        found = getattr(self._target, name)
        if not callable(found) or name == "beat":
            return found

        def call(*given, **named):
            self._gun.step()
            result = found(*given, **named)
            self._gun.step()
            return result

        return call


@dataclass(frozen=True)
class Made:
    details: dict
    files: dict = field(default_factory=dict)
    refusal: str | None = None


class TinyMaker:
    """Makes artifacts y = x W + offset; what it made follows from what it is given, as the compiler's does."""

    def __init__(self, refuses: str | None = None) -> None:
        self.refuses, self.calls = refuses, []

    def collect(self, folder, new, earlier, deployed):
        self.calls.append("collect")
        count = len(np.load(new)["y"]) if new.exists() else 0
        return self._made("collect", {"count": count, "deployed": sorted(deployed)})

    def train(self, folder, source):
        self.calls.append("train")
        out = folder / "source.onnx"
        out.write_bytes(source.read_bytes() + b"trained")
        return self._made("train", {"source": digest_file(out)}, {"source": out})

    def compile(self, folder, source, name, profiles):
        self.calls.append("compile")
        made = {profile: write_tiny(folder / f"{profile}.ewa", 5.0, source=digest_file(source)) for profile in profiles}
        return self._made("compile", {"artifacts": {key: digest_file(path) for key, path in made.items()}}, made)

    def judge(self, folder, artifacts, deployed):
        self.calls.append("gate")
        return self._made("gate", {"judged": sorted(artifacts)})

    def _made(self, step, details, files=None):
        return Made(details, files or {}, "the new one is no better." if step == self.refuses else None)


class Loop:
    """One model whose version 1 runs on four devices, one of which takes canaries; ten labelled samples."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.repo = folder, folder / "repo"
        edgewright("repo", "init", self.repo)
        self.source = folder / "source.onnx"
        self.source.write_bytes(b"the first source")
        first = write_tiny(folder / "1.ewa", 1.0, source=digest_file(self.source))
        edgewright("publish", first, "--repo", self.repo)
        self.first = digest_file(first)
        root = self.repo / "metadata" / "1.root.json"
        self.control = Control(folder / "control", root=root)
        self.database, self.store = self.control.database, self.control.store
        disk = RealDisk(folder / "control")
        origin = origin_at(str(self.repo), Http(self.control.clock))
        self.artifacts = RepositorySource(disk, origin, self.control.clock, root.read_bytes(), is_canary=True)
        self.retrainings = Retrainings(self.database)
        self.token = People(self.database).make("worker", "operator", 1.0, "test")
        self._sequence = itertools.count(1)
        self.devices = [self._enrol(number) for number in range(4)]
        for device in self.devices:
            self.says(device, self.first)
        self.engine().tick()
        self._send_samples(10)

    def close(self) -> None:
        self.control.close()

    def engine(self) -> Engine:
        return Engine(Rollouts(self.database), self.artifacts, refresh_s=0.0)

    def worker(self, maker=None, gun: Gun | None = None, **changes) -> Worker:
        """A worker as a process that starts now has it."""
        gun = gun or Gun()
        repository = open_repository(str(self.repo))
        keys = self.repo.with_name("repo.keys")
        offline = keyring(repository, [keys]) if changes.pop("signs", False) else None
        shelf = Shelf(repository, keyring(repository, [keys / "online"]), offline, lambda old, new: [])
        settings = Settings(
            MODEL, self.source, "unused.npz",
            canary={"observe_s": 0.0, "when_undecided": "promote"},
            fleet={"observe_s": 0.0, "stages": ["all"], "when_undecided": "promote"},
        )  # fmt: skip
        server = ApiServer(Remote(self.control.url, self.token))
        return Worker(
            settings, self.folder / changes.pop("work", "work"), changes.pop("name", "w"),
            gun.guarding(server), gun.guarding(maker or TinyMaker()), gun.guarding(shelf), **changes,
        )  # fmt: skip

    def says(self, device: str, running: str) -> None:
        number = next(self._sequence)
        self.store.take(
            Report(device, "00000001-a", number, MODEL, running, None, "Idle", "SUCCESSFUL", "", self.control.clock.now())
        )

    def run(self, rollout: int, sha256: str) -> None:
        """Let the members of a rollout run what they were assigned, until it is completed."""
        for _ in range(4):
            self.engine().tick()
            with self.database.reading() as connection:
                rows = connection.exec_driver_sql("SELECT device FROM assignments WHERE rollout = ?", (rollout,)).scalars()
                assigned = list(rows)
            for device in assigned:
                self.says(device, sha256)
            self.control.clock.ahead_s += 1.0
        RetrainEngine(self.database).tick()

    def runs_another(self, version: int) -> str:
        """What a person publishes of the same source as that version, and all devices run from now on; its digest."""
        made = write_tiny(self.folder / f"{version}.ewa", 9.0, source=digest_file(self.source))
        edgewright("publish", made, "--repo", self.repo)
        self.engine().tick()
        for device in self.devices:
            self.says(device, digest_file(made))
        return digest_file(made)

    def published(self) -> list:
        return [item for item in listed(open_repository(str(self.repo)).load()) if item.offer.version > 1]

    def actions(self) -> list[str]:
        with self.database.reading() as connection:
            assert audit.verify(connection).broken is None
            return [entry.action for entry in audit.entries(connection, limit=1000) if entry.subject.startswith("retraining ")]

    def _enrol(self, number: int) -> str:
        facts = {"arch": "x86_64", "profile": PROFILE, **({"canary": "yes"} if number == 0 else {})}
        return self.store.enrol(Enrolment(self.store.make_token(60.0, "test"), bytes([number]) * 32, facts))

    def _send_samples(self, count: int) -> None:
        with self.database.transaction() as connection:
            for number in range(count):
                data = pack({"input.x": np.full((1, 4), number, np.float32)}, {"number": number})
                values = {
                    "id": f"{number:064x}", "device": self.devices[0], "model": MODEL, "sha256": self.first, "at": 0.0,
                    "received_at": 0.0, "reasons": json.dumps(["random"]), "confidence": 0.5, "predicted": 0,
                    "bytes": len(data), "data": data, "label": str(number % 3), "labelled_at": 0.0, "labelled_by": "ann",
                }  # fmt: skip
                connection.execute(SAMPLES.insert().values(**values))
