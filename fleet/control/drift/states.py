"""Where the engine stands, in the table DRIFT_STATES: until when windows were judged, each artifact's tests and first day.

States of devices are kept some devices a row, in the order in which these were first heard, so that a window rewrites the rows
of devices that it heard. Earlier versions kept all of an artifact's in one row; the first window after it splits that up.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, or_, select

from ....stats.drift_sequential import DriftState
from ...drift.judge import Stand
from ...drift.sequence import Standing, Tests
from ...protocol.window import Window
from ..database import Database
from ..tables import DRIFT_STATES

_FLEET, _DEVICES = "fleet", "devices"  # without a number behind it: all devices in one row
_TOGETHER = 16  # devices of a row
_CURSOR = ("", "", "engine")  # model, digest and scope of the row whose `through` is up to when everything was judged


@dataclass(frozen=True)
class First:
    """The first windows of an artifact, merged: what its latency and errors are compared with once there are enough."""

    window: Window | None = None
    count: int = 0


@dataclass(frozen=True)
class Kept:
    """What is kept of an artifact; `fleet` are the tests' states as JSON, None before the first window.

    `devices` are those of devices, some together with their names, and `restarts` how often these were started anew.
    `is_whole` where they are as earlier versions wrote them.
    """

    first: First
    fleet: Mapping[str, Any] | None
    devices: Sequence[Mapping[str, Any]]
    restarts: Mapping[str, int]
    is_whole: bool

    def stand(self, tests: Tests) -> Stand:
        """Where these tests stand."""
        names = tuple(name for part in self.devices for name in part["names"])
        parts = [tests.from_json(part["tests"], len(part["names"])) for part in self.devices]
        return Stand(tests.from_json(self.fleet), tests.joined(parts, self.restarts), names)


def load(connection: Connection, model: str, sha256: str) -> Kept:
    """What is kept of an artifact."""
    rows = connection.execute(
        select(DRIFT_STATES.c.scope, DRIFT_STATES.c.data).where(
            DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, _of_devices() | (DRIFT_STATES.c.scope == _FLEET)
        )
    )
    told = {row.scope: json.loads(row.data) for row in rows}
    fleet = told.pop(_FLEET, None)
    parts = [part for _, part in sorted(told.items(), key=lambda item: _number(item[0]))]
    # Where all are in one row, that row alone knows how often tests were started anew.
    restarts = parts[0]["tests"]["restarts"] if _DEVICES in told else {} if fleet is None else fleet.get("restarts", {})
    return Kept(_first(fleet), None if fleet is None else fleet["tests"], parts, restarts, _DEVICES in told)


def save(
    connection: Connection,
    database: Database,
    tests: Tests,
    stand: Stand,
    before: Stand | None,
    layout: tuple[str, str],
    first: First,
    through: float,
) -> None:
    """Keep where the tests of an artifact (model, digest) stand after what came until `through`.

    Of devices those rows are written that differ from `before`, which is what was loaded; all of them without it.
    """
    model, sha256 = layout
    window = None if first.window is None else base64.b64encode(first.window.encode()).decode()
    fleet = {
        "first": window, "first_windows": first.count, "tests": tests.to_json(stand.fleet),
        "restarts": dict(stand.devices.restarts),
    }  # fmt: skip
    _put(connection, database, layout, {_FLEET: fleet}, through)
    if before is None:
        connection.execute(
            delete(DRIFT_STATES).where(DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, _of_devices())
        )
    changed = {}
    for number, begin in enumerate(range(0, len(stand.names), _TOGETHER)):
        part = slice(begin, begin + _TOGETHER)
        if before is None or stand.names[part] != before.names[part] or not _same(stand.devices, before.devices, part):
            told = Standing(tuple(DriftState(state.money[part], state.time[part]) for state in stand.devices.states), {})
            changed[f"{_DEVICES}/{number}"] = {"names": list(stand.names[part]), "tests": tests.to_json(told)}
    _put(connection, database, layout, changed, through)


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
    _put(connection, database, _CURSOR[:2], {_CURSOR[2]: {}}, through)


def _first(fleet: Mapping[str, Any] | None) -> First:
    if fleet is None:
        return First()
    window = fleet["first"]
    return First(None if window is None else Window.decode(base64.b64decode(window)), int(fleet["first_windows"]))


def _put(
    connection: Connection, database: Database, layout: tuple[str, str], rows: Mapping[str, Mapping[str, Any]], through: float
) -> None:
    """Write rows of an artifact by scope."""
    if not rows:
        return
    model, sha256 = layout
    put = database.upsert(DRIFT_STATES)
    same = {name: put.excluded[name] for name in ("data", "through", "updated_at")}
    now = database.clock.now()
    connection.execute(
        put.on_conflict_do_update(index_elements=["model", "sha256", "scope"], set_=same),
        [
            {
                "model": model, "sha256": sha256, "scope": scope, "data": json.dumps(value, separators=(",", ":")),
                "through": through, "updated_at": now,
            }
            for scope, value in rows.items()
        ],
    )  # fmt: skip


def _same(one: Standing, other: Standing, part: slice) -> bool:
    """Whether both say the same of these devices."""
    if len(one.states) != len(other.states):
        return False
    pairs = zip(one.states, other.states, strict=True)
    return all(np.array_equal(a.money[part], b.money[part]) and np.array_equal(a.time[part], b.time[part]) for a, b in pairs)


def _of_devices() -> ColumnElement[bool]:
    return or_(DRIFT_STATES.c.scope == _DEVICES, DRIFT_STATES.c.scope.like(f"{_DEVICES}/%"))


def _number(scope: str) -> int:
    return int(scope.partition("/")[2] or 0)


def _key(key: tuple[str, str, str]) -> tuple[Any, ...]:
    model, sha256, scope = key
    return DRIFT_STATES.c.model == model, DRIFT_STATES.c.sha256 == sha256, DRIFT_STATES.c.scope == scope
