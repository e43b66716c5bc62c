"""A small fleet in a control plane's database, put there as devices and people put it: by enrolling, reporting, counting."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import replace

from edgewright.fleet.control.people import People
from edgewright.fleet.control.rollouts.engine import Engine
from edgewright.fleet.control.rollouts.store import Rollouts
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS, DEVICES, MEMBERS
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.offer import FileRef, Latency, Offer, OfferedGate
from edgewright.fleet.protocol.offered import Offered, Signers
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, LATENCY_EDGES_MS, Batch, Window
from sqlalchemy import select, update

PROFILE = "raspberry-pi-4b"


def sha(*words):
    return hashlib.sha256(repr(words).encode()).hexdigest()


class Shelf:
    """What the repository offers; who signed it is no matter here."""

    def __init__(self):
        self.offered, self.files = [], {}

    def refresh(self):
        pass

    def offers(self):
        return list(self.offered)

    def bins(self, offered):
        return self.files.get(offered.name)

    def provenance(self, offered):
        return None

    def signers(self, offered):
        return Signers("targets", ("ab" * 32,), 1)


class Fleet:
    def __init__(self, database, seed=0):
        self.database, self.clock, self.shelf = database, database.clock, Shelf()
        self.store, self.people, self.rollouts = Store(database), People(database), Rollouts(database)
        self.engine = Engine(self.rollouts, self.shelf, refresh_s=0.0)
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

    def count(self, device, sha256, requests=1000, errors=0, p50_ms=0.6, model="digits", windows=1, every_s=900, tensors=()):
        """Windows of `requests` each, the last of which ends now; latencies spread about `p50_ms`."""
        stream, now = f"1-{sha256[:8]}", int(self.clock.now())
        sequence = self._sequences.get((device, sha256), 0)
        made = []
        for number in range(windows):
            end = now - (windows - 1 - number) * every_s
            latency = _spread(self.random, requests, p50_ms)
            counts = Window(model, sha256, end - every_s, end, 1, requests, requests, 0, (0, 0, errors, 0), latency, tensors)
            made.append((sequence + number + 1, counts.encode()))
        self._sequences[device, sha256] = sequence + windows
        for at in range(0, windows, 500):
            self.store.take_windows(device, Batch(stream, tuple(made[at : at + 500])))

    # Artifacts

    def artifact(self, version, model="digits", profile=PROFILE, is_canary=False, is_gone=False, bins=None, **changed):
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
        if bins is not None:
            changed["bins"] = FileRef(f"{model}/{profile}/{version}.bins.json", hashlib.sha256(bins).hexdigest())
        offered = Offered(name, sha(name), offer.size_bytes, replace(offer, **changed))
        if bins is not None:
            self.shelf.files[name] = bins
        self.shelf.offered.append(offered)
        self.engine.tick()
        if is_gone:
            self.shelf.offered.remove(offered)
            self.engine.tick()
        with self.database.transaction() as connection:
            seen = self.clock.now() - 86400.0 * (20 - version)
            connection.execute(update(ARTIFACTS).where(ARTIFACTS.c.name == name).values(first_seen_at=seen))
        return offered.sha256

    # Rollouts

    def roll_out(self, plan, actor="Ada"):
        """The number of a rollout whose first stage has begun."""
        number = self.rollouts.create(plan, actor)
        self.engine.tick()
        return number

    def open_members(self, number, model="digits"):
        """Assigned devices that have not answered, with the digest that each shall run."""
        which = MEMBERS.c.rollout == number, MEMBERS.c.assigned_at.is_not(None), MEMBERS.c.outcome.is_(None)
        with self.database.reading() as connection:
            names = connection.execute(select(MEMBERS.c.device).where(*which).order_by(MEMBERS.c.device)).scalars().all()
        return [(name, self.store.assignment_of(name).models[model].sha256) for name in names]

    def answer(self, number, bad=(), silent=(), most=None, model="digits"):
        """Members say that the version runs; those whose place is in `bad` that it failed, those in `silent` nothing."""
        for place, (device, wanted) in enumerate(self.open_members(number, model)[:most]):
            if place in bad:
                running = self.said(device, model)
                self.tell(device, running, "Idle", "FAILED_ROLLBACK_COMPLETE", "3 other answers of 16", model, target=wanted)
            elif place not in silent:
                self.tell(device, wanted, model=model)
        self.engine.tick()

    def said(self, device, model="digits"):
        """The digest that a device says it runs."""
        said = self.store.devices(device)[0]["models"].get(model, {}).get("said")
        return None if said is None else said["running"]


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
