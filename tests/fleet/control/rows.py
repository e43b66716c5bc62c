"""A control plane that something happened in, and all that its database holds."""

from __future__ import annotations

import numpy as np
from edgewright.core.canonical import digest
from edgewright.fleet.control.people import People
from edgewright.fleet.control.samples import Samples
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import METADATA
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.sample import About
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from edgewright.fleet.telemetry import sample_file
from sqlalchemy import select

MODEL = "digits"


def window(start=0, requests=5, sha256="ab" * 32, tensors=((1, 2, 3),)):
    """A window of one minute."""
    latency = (requests, *[0] * (LATENCY_BINS - 1))
    return Window(MODEL, sha256, start, start + 60, 1, requests, requests, 0, (0, 0, 0, 0), latency, tensors)


def send(store, device, *windows, stream="1-a", first=1):
    """Telemetry of a device; the highest sequence that the server has."""
    return store.take_windows(device, Batch(stream, tuple((first + at, item.encode()) for at, item in enumerate(windows))))


def tell(store, device, sequence, running="ab" * 32, boot="00000001-a"):
    """A report of a device."""
    return store.take(Report(device, boot, sequence, MODEL, running, None, "Idle", "SUCCESSFUL", "", 0.5))


def fill(database, devices=3):
    """Enrol devices that say something of themselves, and make a person; names of the devices and the person's secret."""
    store, names = Store(database), []
    for number in range(devices):
        facts = {"arch": "x86_64", "host": f"h{number}"}
        names.append(store.enrol(Enrolment(store.make_token(60.0, "test"), bytes([number]) * 32, facts)))
        store.assign(names[-1], Wanted(MODEL, "ab" * 32, deadline_s=60.0), "test")
        tell(store, names[-1], 1)
        send(store, names[-1], window(0), window(60))
    store.set_attributes(names[0], {"site": "lab"}, "test")
    store.abort(names[-1], MODEL, "test")
    return names, People(database).make("ada", "admin", 30.0, "test")


def keep_sample(database, device, number=0, **changes):
    """The name of a new sample, answered with class 1 in the second hour."""
    about = {
        "artifact": "ab" * 32, "at": 7200.0 + number, "confidence": 0.25, "consent": "A. Person", "model": MODEL,
        "predicted": 1, "reasons": ["random"], "upload": True, **changes,
    }  # fmt: skip
    data = sample_file.pack({"input.x": np.full(2, number, np.float32)}, {k: v for k, v in about.items() if v is not None})
    with database.transaction() as connection:
        assert Samples(database).keep(connection, device, About.read(data), data)
    return digest(data)


def everything(database):
    """All rows by table, in the order of their keys."""
    with database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in METADATA.sorted_tables
        }
