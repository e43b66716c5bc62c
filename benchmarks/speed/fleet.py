"""Parts of a fleet: what an agent decides, what a server answers, what is added up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from edgewright.core.canonical import digest
from edgewright.core.clock import SystemClock
from edgewright.fleet.agent.choose import Device, choose
from edgewright.fleet.agent.journal import Record
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.control.store import Store
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.offer import Offer, target_name
from edgewright.fleet.protocol.offered import Offered

from benchmarks.drift_scope import Fleet
from benchmarks.registered import register

_POLLS = 100
Timed = Callable[[], object]


def choosing(size: int, folder: Path) -> Timed:
    """What a device goes for among `size` signed versions of its model."""
    offers = [_offered(version) for version in range(1, size + 1)]
    device = Device("aarch64", frozenset({"asimd", "fp"}), {"onnxruntime": "1.20"})
    return lambda: choose(Wanted("digits", None), offers, device, Record(), None)


def polling(size: int, folder: Path) -> Timed:
    """100 polls without news at a server with `size` devices, each answered from memory."""
    polls, names = _polls(size, folder)
    asked = [names[at % len(names)] for at in range(_POLLS)]
    etags = {name: polls.answer(name, None).etag for name in asked}

    def answer_all() -> None:
        for name in asked:
            polls.answer(name, etags[name])

    return answer_all


def looking(size: int, folder: Path) -> Timed:
    """All devices read from the database, as a server does when it starts."""
    database = Database(str(folder / "data"), SystemClock())
    register(database, size)
    store = Store(database)
    return lambda: Polls(database, store)


def merging(size: int, folder: Path) -> Timed:
    """The windows of `size` devices decoded and added up by device."""
    fleet = Fleet(size, 1)
    windows = [fleet.layout.window(row).encode() for row in fleet.rows("nothing", "")]
    return lambda: fleet.layout.merge(fleet.layout.decode(windows), np.arange(size), size)


def _polls(size: int, folder: Path) -> tuple[Polls, list[str]]:
    database = Database(str(folder / "data"), SystemClock())
    names = [device.name for device in register(database, size)]
    return Polls(database, Store(database)), names


def _offered(version: int) -> Offered:
    name, sha256 = target_name("digits", "raspberry-pi-4b", version), digest(b"%d" % version)
    offer = Offer("digits", version, "raspberry-pi-4b", "aarch64", ("asimd",), "onnxruntime", "1.20", "int8", 1000, sha256)
    return Offered(name, sha256, 1000, offer)
