"""A fleet in a test: devices that say what they run, a signed repository, and the engine between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from edgewright.fleet.control.audit import verify
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.rollouts.engine import Engine
from edgewright.fleet.control.rollouts.store import Rollouts
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ASSIGNMENTS, MEMBERS
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, LATENCY_EDGES_MS, Batch, Window
from edgewright.fleet.rollout.plan import Plan, Stage
from edgewright.fleet.trust.source import RepositorySource
from simulated import SimulatedClock, SimulatedDisk
from simulated_repository import SimulatedRepository
from sqlalchemy import select

OLD, NEW = b"the first version" * 9, b"the second version" * 9
SHA = {1: hashlib.sha256(OLD).hexdigest(), 2: hashlib.sha256(NEW).hexdigest()}
PLAN = Plan("digits", 2, stages=(Stage(count=40), Stage()), observe_s=600.0, silent_s=7200.0)
Row = Mapping[str, Any]


class Fleet:
    """Devices by number; all run version 1, as they were told, unless a test says otherwise."""

    def __init__(self, database: Database, clock: SimulatedClock, repository: SimulatedRepository) -> None:
        self.database, self.clock, self.repository = database, clock, repository
        self.store, self.rollouts = Store(database), Rollouts(database)
        self.source = RepositorySource(
            SimulatedDisk(), repository, clock, repository.first_root(), jitter=Random(1), is_canary=True
        )
        self.engine = self.new_engine()
        self.devices: list[str] = []
        self._sequence = 0

    def new_engine(self) -> Engine:
        return Engine(self.rollouts, self.source)

    def enrol(self, count: int, runs: int | None = 1, **facts: str) -> list[str]:
        made = []
        for _ in range(count):
            key = hashlib.sha256(str(len(self.devices)).encode()).digest()
            told = {"arch": "aarch64", "profile": "pi", **facts}
            secret = self.store.make_token(60.0, "ann")
            made.append(self.store.enrol(Enrolment(secret, key, {name: text for name, text in told.items() if text})))
            self.devices.append(made[-1])
            if runs is not None:
                self.say(made[-1], running=SHA[runs])
        return made

    def say(self, device: str, state: str = "Idle", **more: Any) -> None:
        self._sequence += 1
        fields: dict[str, Any] = {"running": None, "target": None, "result": None, "why": "", **more}
        self.store.take(Report(device, "00000001-a", self._sequence, "digits", state=state, at=self.clock.now(), **fields))

    def runs(self, devices: Iterable[str], version: int = 2) -> None:
        for device in devices:
            self.say(device, running=SHA[version])

    def fails(self, devices: Iterable[str], why: str = "the test vectors failed") -> None:
        for device in devices:
            self.say(device, "ArtifactFailure", running=SHA[1], target=SHA[2], result="FAILED_ROLLBACK_COMPLETE", why=why)

    def counts(self, device: str, version: int, ms: float, requests: int = 200, errors: int = 0) -> None:
        latency = [0] * LATENCY_BINS
        latency[next(place for place, edge in enumerate(LATENCY_EDGES_MS) if ms <= edge)] = requests
        window = Window("digits", SHA[version], 0, 600, 1, requests, requests, 0, (0, 0, errors, 0), tuple(latency), ())
        self.store.take_windows(device, Batch(f"s{version}", ((1, window.encode()),)))

    def tick(self, after_s: float = 0.0) -> float:
        self.clock.advance(after_s)
        return self.engine.tick()

    def create(self, plan: Plan = PLAN) -> int:
        number = self.rollouts.create(plan, "ann")
        self.tick()
        return number

    # What is known

    def rollout(self, number: int = 1) -> Any:
        return self.rollouts.get(number)

    def members(self, stage: int | None = None, number: int = 1) -> list[str]:
        """Assigned members, in the order of assignment."""
        rows = [row for row in self.rows(MEMBERS) if row["rollout"] == number and row["assigned_at"] is not None]
        return [row["device"] for row in rows if stage in (None, row["stage"])]

    def assigned(self) -> dict[str, Row]:
        return {row["device"]: row for row in self.rows(ASSIGNMENTS)}

    def outcomes(self) -> dict[str, str | None]:
        return {row["device"]: row["outcome"] for row in self.rows(MEMBERS) if row["assigned_at"] is not None}

    def rows(self, table: Any) -> list[Row]:
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def check(self) -> None:
        """What holds at every moment: nobody is assigned twice, and the audit log is whole."""
        with self.database.reading() as connection:
            assert verify(connection).broken is None
        for device, row in self.assigned().items():
            assert row["attempt"] <= 2, device
        for row in self.rows(MEMBERS):
            assert json.loads(row["wanted"])["sha256"] == SHA[2]
