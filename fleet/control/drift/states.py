"""Where the engine stands, in the table DRIFT_STATES: until when windows were judged, each artifact's tests and first day."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ...drift.judge import Stand
from ...drift.sequence import Tests
from ...protocol.window import Window
from ..database import Database
from ..tables import DRIFT_STATES

_FLEET, _DEVICES = "fleet", "devices"
_CURSOR = ("", "", "engine")  # model, digest and scope of the row whose `through` is up to when everything was judged


@dataclass(frozen=True)
class First:
    """The first windows of an artifact, merged: what its latency and errors are compared with once there are enough."""

    window: Window | None = None
    count: int = 0


@dataclass(frozen=True)
class Kept:
    """What is kept of an artifact; `fleet` and `devices` are the tests' states as JSON, None before the first window."""

    first: First
    fleet: Mapping[str, Any] | None
    devices: Mapping[str, Any] | None
    names: tuple[str, ...]

    def stand(self, tests: Tests) -> Stand:
        """Where these tests stand."""
        names = self.names
        return Stand(tests.from_json(self.fleet), tests.from_json(self.devices, len(names)), names)


def load(connection: Connection, model: str, sha256: str) -> Kept:
    """What is kept of an artifact."""
    rows = connection.execute(
        select(DRIFT_STATES.c.scope, DRIFT_STATES.c.data).where(
            DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, DRIFT_STATES.c.scope.in_((_FLEET, _DEVICES))
        )
    )
    told = {row.scope: json.loads(row.data) for row in rows}
    fleet, devices = told.get(_FLEET), told.get(_DEVICES)
    return Kept(
        _first(fleet),
        None if fleet is None else fleet["tests"],
        None if devices is None else devices["tests"],
        () if devices is None else tuple(devices["names"]),
    )


def save(
    connection: Connection,
    database: Database,
    tests: Tests,
    stand: Stand,
    layout: tuple[str, str],
    first: First,
    through: float,
) -> None:
    """Keep where the tests of an artifact (model, digest) stand after what came until `through`."""
    window = None if first.window is None else base64.b64encode(first.window.encode()).decode()
    fleet = {"first": window, "first_windows": first.count, "tests": tests.to_json(stand.fleet)}
    devices = {"names": list(stand.names), "tests": tests.to_json(stand.devices)}
    for scope, value in ((_FLEET, fleet), (_DEVICES, devices)):
        _put(connection, database, (*layout, scope), json.dumps(value, separators=(",", ":")), through)


def first_day(connection: Connection, model: str, sha256: str, least: int) -> Window | None:
    """The first windows of an artifact, merged, once there are `least`."""
    data = connection.execute(
        select(DRIFT_STATES.c.data).where(
            DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, DRIFT_STATES.c.scope == _FLEET
        )
    ).scalar()
    first = _first(None if data is None else json.loads(data))
    return first.window if first.count >= least else None


def judged_until(connection: Connection) -> float | None:
    """Up to when everything that came was judged; None before the first time."""
    row = connection.execute(select(DRIFT_STATES.c.through).where(*_key(_CURSOR))).first()
    return None if row is None else float(row.through)


def set_judged_until(connection: Connection, database: Database, through: float) -> None:
    """Note that everything that came before `through` was judged."""
    _put(connection, database, _CURSOR, "{}", through)


def _first(fleet: Mapping[str, Any] | None) -> First:
    if fleet is None:
        return First()
    window = fleet["first"]
    return First(None if window is None else Window.decode(base64.b64decode(window)), int(fleet["first_windows"]))


def _put(connection: Connection, database: Database, key: tuple[str, str, str], data: str, through: float) -> None:
    model, sha256, scope = key
    put = database.upsert(DRIFT_STATES)
    values = {"data": data, "through": through, "updated_at": database.clock.now()}
    connection.execute(
        put.on_conflict_do_update(index_elements=["model", "sha256", "scope"], set_=values),
        {"model": model, "sha256": sha256, "scope": scope, **values},
    )


def _key(key: tuple[str, str, str]) -> tuple[Any, ...]:
    model, sha256, scope = key
    return DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, DRIFT_STATES.c.scope == scope
