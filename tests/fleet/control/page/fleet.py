"""A small fleet in a control plane's database, put there as devices and people put it: by enrolling, reporting, counting."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import replace

from edgewright.core.canonical import dumps
from edgewright.fleet.control.people import People
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS, DEVICES
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.offer import Latency, Offer, OfferedGate
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, LATENCY_EDGES_MS, Batch, Window
from sqlalchemy import insert, update

PROFILE = "raspberry-pi-4b"


def sha(*words):
    return hashlib.sha256(repr(words).encode()).hexdigest()


class Fleet:
    def __init__(self, database, seed=0):
        self.database, self.clock = database, database.clock
        self.store, self.people = Store(database), People(database)
        self.random = random.Random(seed)
        self._sequences = {}

    # Devices

    def device(self, seen_s=30.0, **facts):
        """A device that enrolled a month ago and asked last `seen_s` seconds ago."""
        secret = self.store.make_token(60.0, "Ada")
        told = {"arch": "aarch64", "profile": PROFILE, "ram_mb": "3792", **facts}
        name = self.store.enrol(Enrolment(secret, self.random.randbytes(32), told))
        now = self.clock.now()
        with self.database.transaction() as connection:
            values = {"enrolled_at": now - 30 * 86400, "seen_at": None if seen_s is None else now - seen_s}
            connection.execute(update(DEVICES).where(DEVICES.c.device == name).values(**values))
        return name

    def tell(self, device, running, state="Idle", result="SUCCESSFUL", why="", model="digits", target=None):
        sequence = self._sequences[device] = self._sequences.get(device, 0) + 1
        self.store.take(
            Report(device, "1-boot", sequence, model, running, target or running, state, result, why, self.clock.now())
        )

    def count(self, device, sha256, requests=1000, errors=0, p50_ms=0.6, model="digits", windows=1, every_s=900):
        """Windows of `requests` each, the last of which ends now; latencies spread about `p50_ms`."""
        stream, now = f"1-{sha256[:8]}", int(self.clock.now())
        sequence = self._sequences.get((device, sha256), 0)
        made = []
        for number in range(windows):
            end = now - (windows - 1 - number) * every_s
            latency = _spread(self.random, requests, p50_ms)
            counts = Window(model, sha256, end - every_s, end, 1, requests, requests, 0, (0, 0, errors, 0), latency, ())
            made.append((sequence + number + 1, counts.encode()))
        self._sequences[device, sha256] = sequence + windows
        for at in range(0, windows, 500):
            self.store.take_windows(device, Batch(stream, tuple(made[at : at + 500])))

    # Artifacts

    def artifact(self, version, model="digits", profile=PROFILE, is_canary=False, gone_s=None, **changed):
        """An artifact that the repository offers; its SHA-256."""
        name = f"{'canary/' if is_canary else ''}{model}/{profile}/{version}.ewa"
        gates = (OfferedGate("top1 >= -1pt", "passed", None, False), OfferedGate("f1 >= -2pt", "undecided", "sex=female", True))
        offer = Offer(
            model=model,
            version=version,
            profile=profile,
            arch="aarch64",
            isa=("neon",),
            runtime="onnxruntime",
            runtime_version="1.20",
            precision="int8",
            size_bytes=17_213,
            content_digest=sha(name, "content"),
            latency=Latency(0.56, 1.2, "target"),
            gates=gates,
        )
        offer, found, now = replace(offer, **changed), sha(name), self.clock.now()
        row = {
            "name": name,
            "model": model,
            "version": version,
            "profile": profile,
            "is_canary": is_canary,
            "sha256": found,
            "length": offer.size_bytes,
            "offer": dumps(offer.to_json()).decode(),
            "bins": None,
            "first_seen_at": now - 86400.0 * (20 - version),
            "gone_at": None if gone_s is None else now - gone_s,
        }
        with self.database.transaction() as connection:
            connection.execute(insert(ARTIFACTS).values(**row))
        return found


def _spread(generator, requests, p50_ms):
    """Requests by bin, about log-normal with the median `p50_ms`."""
    edges = [math.log(edge) for edge in LATENCY_EDGES_MS]
    weights = []
    for place in range(LATENCY_BINS):
        middle = edges[min(place, len(edges) - 1)] - 0.14
        weights.append(math.exp(-(((middle - math.log(p50_ms)) / 0.45) ** 2) / 2) * generator.uniform(0.9, 1.1))
    total = sum(weights)
    counts = [int(requests * weight / total) for weight in weights]
    counts[weights.index(max(weights))] += requests - sum(counts)
    return tuple(counts)
