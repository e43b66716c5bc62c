"""The fleet as it is when a rehearsal begins: every device enrolled, the old version running, its telemetry told.

That history is written into the tables at once, as the server would have it by then; from there on everything goes through the
server's own code.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, insert

from ..control.database import Database
from ..control.tables import ASSIGNMENTS, DEVICES, REPORTS, STARTS, STATES, TALLIES
from ..protocol.enrolment import device_name
from ..rollout.query import parse
from .artifacts import FLEET, MODEL, OLD, held, offered
from .device import Device, Traits
from .scenario import KINDS, MIXED, Scenario
from .traffic import Habit, window
from .world import World

SITES = ("berlin", "lagos", "lyon", "osaka", "quito")
_DAY_S = 86400.0
_MANY = 2000  # rows of a statement


def populate(database: Database, world: World) -> dict[str, Device]:
    """The devices by name, with their rows in the database."""
    scenario, draw = world.scenario, world.draw
    meant, runs = parse(scenario.fails_where), {kind.profile: offered(OLD, kind) for kind in FLEET}
    devices: dict[str, Device] = {}
    facts: dict[str, Mapping[str, str]] = {}
    keys: dict[str, bytes] = {}
    for _ in range(scenario.devices):
        key = draw.randbytes(32)
        name = device_name(key)
        (kind,) = draw.choices(FLEET, [item.share for item in FLEET])
        facts[name] = {
            "arch": kind.fit.arch,
            "profile": kind.profile,
            "ram_mb": str((kind.fit.ram_bytes or 0) >> 20),
            "site": draw.choice(SITES),
        }
        keys[name] = key
        traits = Traits(
            kind,
            Habit.drawn(draw),
            min(20e6, max(20e3, draw.lognormvariate(13.0, 1.0))),
            draw.uniform(-30 * _DAY_S, 30 * _DAY_S) if draw.random() < scenario.wrong_clocks else 0.0,
            _way(scenario, draw) if meant.matches({"device": name, **facts[name]}) else None,
            draw.random() < scenario.silent,
        )
        devices[name] = Device(name, traits, held(runs[kind.profile]), world)
    with database.transaction() as connection:
        _write(connection, world, devices, facts, keys)
        database.touch(connection)
    return devices


def _way(scenario: Scenario, draw: random.Random) -> str | None:
    """How the new version fails on one device, if it does."""
    fails, way = draw.random() < scenario.failure, draw.choice(tuple(KINDS))
    return (way if scenario.kind == MIXED else scenario.kind) if fails else None


def _write(
    connection: Connection,
    world: World,
    devices: Mapping[str, Device],
    facts: Mapping[str, Mapping[str, str]],
    keys: Mapping[str, bytes],
) -> None:
    now = world.timeline.now()
    rows: dict[Any, Iterator[dict[str, Any]]] = {
        DEVICES: (
            {"device": name, "public_key": keys[name], "facts": json.dumps(facts[name]), "enrolled_at": now - _DAY_S}
            for name in devices
        ),
        ASSIGNMENTS: (
            {
                "device": one.name,
                "model": MODEL,
                "sha256": one.current.sha256,
                "name": one.current.name,
                "attempt": 0,
                "is_aborted": False,
            }
            for one in devices.values()
        ),
        REPORTS: ({"place": place, "at": now, **_said(one, now)} for place, one in enumerate(devices.values(), 1)),
        STARTS: (
            {"device": one.name, "boot": one.boot, "era": 0, "number": 1, "place": place, "first_at": now - _DAY_S}
            for place, one in enumerate(devices.values(), 1)
        ),
        STATES: (_said(one, now) for one in devices.values()),
        TALLIES: (_tally(world, one, now) for one in devices.values()),
    }
    for table, given in rows.items():
        listed = list(given)
        for at in range(0, len(listed), _MANY):
            connection.execute(insert(table), listed[at : at + _MANY])


def _said(device: Device, now: float) -> dict[str, Any]:
    return {
        "device": device.name,
        "boot": device.boot,
        "sequence": 1,
        "model": MODEL,
        "running": device.running,
        "target": None,
        "state": "Idle",
        "result": None,
        "why": "",
        "received_at": now - _DAY_S,
    }


def _tally(world: World, device: Device, now: float) -> dict[str, Any]:
    """A window of the old version, as it has always been."""
    span = int(now - world.scenario.window_s), int(now)
    counted = window(world.draw, device.traits.habit, device.running, span, None)
    return {
        "device": device.name,
        "model": MODEL,
        "sha256": device.running,
        "data": counted.encode(),
        "first_at": now - _DAY_S,
        "updated_at": now,
    }
