"""Devices that send windows hour by hour, and the engine that judges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.drift.engine import DriftEngine
from edgewright.fleet.control.drift.store import Drift
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.drift.settings import Settings
from edgewright.fleet.protocol.bins import encode_bins
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.window import Batch
from fleets import MODEL, SHA256, layout, quantile_bins, rows
from simulated import SimulatedClock
from sqlalchemy import insert, select

HOUR = 3600


class World:
    """Devices by number, of whom every fourth is of the batch b2; all run one artifact of three features."""

    def __init__(
        self,
        database: Database,
        clock: SimulatedClock,
        devices: int,
        histograms: tuple[HistogramBins, ...] = quantile_bins(3),
        settings: Settings | None = None,
    ) -> None:
        self.database, self.clock, self.histograms = database, clock, histograms
        self.store, self.drift = Store(database), Drift(database, settings)
        self.settings = settings or Settings()
        self.generator = np.random.default_rng(7)
        self.engine = self.new_engine()
        self.devices: list[str] = []
        self._sequence = 0
        with database.transaction() as connection:
            connection.execute(insert(ARTIFACTS).values(
                name="digits/p/3.ewa", model=MODEL, version=3, profile="p", is_canary=False, sha256=SHA256, length=1,
                offer="{}", bins=encode_bins(histograms), first_seen_at=0.0,
            ))  # fmt: skip
        for number in range(devices):
            facts = {"arch": "aarch64", "batch": "b2" if number % 4 == 0 else "b1"}
            key = number.to_bytes(32, "big")
            self.devices.append(self.store.enrol(Enrolment(self.store.make_token(60.0, "test"), key, facts)))
        clock.set_wall(clock.now() // HOUR * HOUR + 60.0)

    def new_engine(self) -> DriftEngine:
        return DriftEngine(self.database, self.settings)

    def send(
        self,
        shifts: Mapping[int, float] | None = None,
        feature: int = 1,
        requests: int = 500,
        devices: Iterable[int] | None = None,
        errors: int = 0,
    ) -> None:
        """One window of each device; `shifts` of the feature's mean by device."""
        shape = layout(self.histograms)
        by_device = {number: {feature: shift} for number, shift in (shifts or {}).items()}
        found = rows(self.histograms, len(self.devices), requests, self.generator, by_device, int(self.clock.now()), errors)
        self._sequence += 1
        for number in range(len(self.devices)) if devices is None else devices:
            window = shape.window(found[number])
            self.store.take_windows(self.devices[number], Batch("1-a", ((self._sequence, window.encode()),)))

    def hour(self, shifts: Mapping[int, float] | None = None, **more: Any) -> None:
        """An hour in which devices send, judged at its end."""
        self.send(shifts, **more)
        self.clock.advance(HOUR)
        self.engine.tick()

    def everybody(self, shift: float) -> dict[int, float]:
        return dict.fromkeys(range(len(self.devices)), shift)

    def batch(self, shift: float) -> dict[int, float]:
        return dict.fromkeys(range(0, len(self.devices), 4), shift)

    def rows(self, table: Any) -> list[Mapping[str, Any]]:
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]
