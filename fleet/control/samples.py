"""Examples that devices sent: each once, as it came, within what one device may send a day.

Whose consent it was stands in each file. What is in one beside its description is not looked at before somebody asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, select

from ...core.canonical import digest, dumps
from ...core.errors import ProtocolError
from ..protocol.sample import About
from .database import Database
from .tables import ASSIGNMENTS, SAMPLES, STATES

DAY_BYTES, DAY_SAMPLES = 64 << 20, 5000  # of one device, by the server's clock
_DAY_S = 86400.0

State = Literal["all", "labelled", "unlabelled"]


@dataclass(frozen=True)
class Sample:
    """A sample without its arrays: `at` by the device's clock, the label as a class number or a number, as text."""

    id: str
    device: str
    model: str
    sha256: str
    at: float
    received_at: float
    reasons: tuple[str, ...]
    confidence: float
    predicted: int | None
    bytes: int
    label: str | None
    labelled_at: float | None
    labelled_by: str | None


class Samples:
    """The table SAMPLES; every method raises StoreError when the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, connection: Connection, device: str, about: About, data: bytes) -> bool:
        """Keep a file that a device sent; whether it is kept now, else the device has sent enough today.

        Raises ProtocolError where nobody agreed that it leaves the device, and for a model that the device was never assigned
        and never reported: what others learn from is of devices that have it.
        """
        if not about.may_leave:
            raise ProtocolError("nobody agreed that this sample leaves its device; start the agent with --samples-upload.")
        if not _has(connection, device, about.model):
            raise ProtocolError(f"this device was never assigned {about.model!r} and never reported it; assign it first.")
        name, now = digest(data), self._database.clock.now()
        if connection.execute(select(SAMPLES.c.id).where(SAMPLES.c.id == name)).first() is not None:
            return True
        today = SAMPLES.c.device == device, SAMPLES.c.received_at >= now - now % _DAY_S
        sent = connection.execute(select(func.count(), func.coalesce(func.sum(SAMPLES.c.bytes), 0)).where(*today)).one()
        if sent[0] >= DAY_SAMPLES or sent[1] + len(data) > DAY_BYTES:
            return False
        values = {
            "id": name,
            "device": device,
            "model": about.model,
            "sha256": about.sha256,
            "at": about.at,
            "received_at": now,
            "reasons": dumps(list(about.reasons)).decode(),
            "confidence": about.confidence,
            "predicted": about.predicted,
            "bytes": len(data),
            "data": data,
        }
        connection.execute(SAMPLES.insert().values(**values))
        return True

    def listed(
        self, model: str, state: State = "all", *, device: str | None = None, after: str = "", limit: int = 100
    ) -> list[Sample]:
        """Up to `limit` samples of a model with names behind `after`, by their names, which are as good as random."""
        which = [SAMPLES.c.model == model, SAMPLES.c.id > after, *_in_state(state)]
        if device is not None:
            which.append(SAMPLES.c.device == device)
        columns = [column for column in SAMPLES.c if column.name != "data"]
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).where(*which).order_by(SAMPLES.c.id).limit(limit))
            return [_sample(row) for row in rows]

    def files(
        self, model: str, state: State = "labelled", *, labelled_until: float | None = None, after: str = ""
    ) -> Iterator[tuple[Sample, bytes]]:
        """Samples of a model with their files, by their names, those behind `after`; one at a time is read."""
        which = [SAMPLES.c.model == model, *_in_state(state)]
        if labelled_until is not None:
            which.append(SAMPLES.c.labelled_at <= labelled_until)
        while True:
            with self._database.reading() as connection:
                query = select(SAMPLES).where(*which, SAMPLES.c.id > after).order_by(SAMPLES.c.id).limit(1)
                row = connection.execute(query).first()
            if row is None:
                return
            yield _sample(row), row.data
            after = row.id


def _has(connection: Connection, device: str, model: str) -> bool:
    """Whether the device was assigned this model or said something of it."""
    asked = (select(table.c.device).where(table.c.device == device, table.c.model == model) for table in (STATES, ASSIGNMENTS))
    return any(connection.execute(query).first() is not None for query in asked)


def _in_state(state: State) -> list[ColumnElement[bool]]:
    return [] if state == "all" else [SAMPLES.c.label.is_not(None) if state == "labelled" else SAMPLES.c.label.is_(None)]


def _sample(row: Row[Any]) -> Sample:
    return Sample(
        row.id, row.device, row.model, row.sha256, row.at, row.received_at, tuple(json.loads(row.reasons)), row.confidence,
        row.predicted, row.bytes, row.label, row.labelled_at, row.labelled_by,
    )  # fmt: skip
