"""What the repository offers, in the database: learnt once, gone when it is withdrawn, with the bins that confidence needs."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from edgewright.core.errors import NetworkError
from edgewright.core.manifest import HistogramBins
from edgewright.fleet.control.audit import entries
from edgewright.fleet.control.rollouts.engine import Engine
from edgewright.fleet.control.rollouts.shelf import artifacts_of, bins_of, learn
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.protocol.bins import encode_bins
from edgewright.fleet.protocol.offer import CANARY, FileRef
from edgewright.fleet.protocol.offered import Offered, Signers
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from edgewright.fleet.rollout.guard import Guard
from rollout_world import OLD, PLAN, SHA, Fleet

BINS = (HistogramBins("y", "confidence", (0.5, 0.75, 1.0), (0, 5, 5, 0)),)


class Shelf:
    """Offers of a verified repository with bins beside them; `fails` when it cannot be read."""

    def __init__(self, offers: list[Offered], bins: bytes) -> None:
        told = FileRef("digits/pi/1.bins.json", hashlib.sha256(bins).hexdigest())
        statement = FileRef("digits/pi/1.provenance.json", "00" * 32)
        self.found = [replace(item, offer=replace(item.offer, bins=told, provenance=statement)) for item in offers]
        self.data, self.fails, self.asked = bins, False, 0
        self.statement, self.asked_provenance = b'{"predicate": {}}', 0

    def refresh(self) -> None:
        if self.fails:
            raise NetworkError("the repository cannot be reached.")

    def offers(self) -> list[Offered]:
        return self.found

    def bins(self, offered: Offered) -> bytes | None:
        self.asked += 1
        return self.data

    def provenance(self, offered: Offered) -> bytes | None:
        self.asked_provenance += 1
        return self.statement

    def signers(self, offered: Offered) -> Signers:
        return Signers("targets", ("ab" * 32,), 2)


def shelf_of(fleet: Fleet, bins: bytes | None = None) -> Shelf:
    fleet.source.refresh()
    return Shelf(fleet.source.offers(), encode_bins(BINS) if bins is None else bins)


def test_artifacts_are_learnt_once_and_gone_when_they_are_withdrawn(small_fleet: Fleet) -> None:
    shelf = shelf_of(small_fleet)
    learn(small_fleet.database, shelf)
    rows = {row["name"]: row for row in small_fleet.rows(ARTIFACTS)}
    assert set(rows) == {"digits/pi/1.ewa", "digits/pi/2.ewa"}
    assert (rows["digits/pi/2.ewa"]["sha256"], rows["digits/pi/2.ewa"]["gone_at"]) == (SHA[2], None)
    small_fleet.clock.advance(60)
    learn(small_fleet.database, shelf)
    assert {row["name"]: row for row in small_fleet.rows(ARTIFACTS)} == rows
    assert (shelf.asked, shelf.asked_provenance) == (2, 2)  # each file once
    assert rows["digits/pi/1.ewa"]["provenance"] == shelf.statement
    with small_fleet.database.reading() as connection:
        learnt = [entry for entry in entries(connection) if entry.action == "learn-artifact"]
    assert [(entry.subject, entry.details["keys"], entry.details["threshold"]) for entry in learnt] == [
        ("digits/pi/1.ewa", ["ab" * 32], 2),
        ("digits/pi/2.ewa", ["ab" * 32], 2),
    ]
    shelf.found = shelf.found[1:]
    learn(small_fleet.database, shelf)
    with small_fleet.database.reading() as connection:
        assert artifacts_of(connection, "digits", 1) == []
        assert [item.name for item in artifacts_of(connection, "digits", 2)] == ["digits/pi/2.ewa"]
        assert bins_of(connection, "digits") == {SHA[1]: BINS, SHA[2]: BINS}


def test_of_both_roles_the_artifact_is_taken_that_every_device_takes(fleet: Fleet) -> None:
    fleet.repository.offer(OLD, 1, role=CANARY)
    fleet.repository.offer(OLD + b"3", 3, role=CANARY)
    fleet.repository.publish(CANARY, "targets", "snapshot", "timestamp")
    fleet.tick()
    with fleet.database.reading() as connection:
        assert [item.name for item in artifacts_of(connection, "digits", 1)] == ["digits/pi/1.ewa"]
        assert [item.is_canary for item in artifacts_of(connection, "digits", 3)] == [True]


def test_bins_that_are_none_hold_nothing_up(fleet: Fleet) -> None:
    learn(fleet.database, shelf_of(fleet, b"no bins"))
    with fleet.database.reading() as connection:
        assert bins_of(connection, "digits") == {}
        assert artifacts_of(connection, "digits", 2)


def test_a_repository_that_cannot_be_reached_stops_no_rollout(fleet: Fleet) -> None:
    shelf = shelf_of(fleet)
    fleet.engine = Engine(fleet.rollouts, shelf)
    number = fleet.create()
    shelf.fails = True
    fleet.fails(fleet.members()[:4])
    fleet.tick(120)
    assert fleet.rollouts.get(number).state == "aborted"


def test_a_version_that_is_less_sure_is_stopped_by_its_guard(fleet: Fleet) -> None:
    fleet.engine = Engine(fleet.rollouts, shelf_of(fleet))
    fleet.create(replace(PLAN, guards=(Guard("confidence", 0.02),)))
    canary = fleet.members()
    for device in canary:
        for version, counts in ((1, (0, 0, 100, 0)), (2, (100, 0, 0, 0))):
            window = Window(
                "digits", SHA[version], 0, 600, 1, 100, 100, 0, (0,) * 4, (100, *(0,) * (LATENCY_BINS - 1)), (counts,)
            )
            fleet.store.take_windows(device, Batch(f"s{version}", ((1, window.encode()),)))
    fleet.runs(canary)
    fleet.tick()
    fleet.tick(PLAN.observe_s)
    assert fleet.rollout().state == "aborted"
    assert "confidence is at most 2 points worse" in fleet.rollout().why
