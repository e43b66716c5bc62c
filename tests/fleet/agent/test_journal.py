"""Records come back as they were; torn, rotten and foreign ones do not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from edgewright.core.canonical import digest
from edgewright.core.errors import AgentError, ProtocolError, StoreError
from edgewright.fleet.agent import slots
from edgewright.fleet.agent.journal import RECORD_BYTES, Failure, Journal, Record, SlotRecord, Target, Untold, Update
from edgewright.fleet.agent.machine import Progress
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import SimulatedDisk, power_cuts

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.builds("{}/{}/{}.ewa".format, st.text("abc-", max_size=100), st.sampled_from(["p", "x86"]), st.integers(1, 10**9))
whys = st.text(max_size=200)
states = st.sampled_from(["Download", "ArtifactCommit", "ArtifactFailure"])
maybe_slot = st.sampled_from([None, *slots.SLOTS])
maybe_number = st.none() | st.floats(0, 1e6)
held = st.builds(SlotRecord, digests, names, st.integers(1, 10**9), st.booleans())
targets = st.builds(Target, digests, names, st.integers(1, 99), st.integers(0, 9), maybe_number, maybe_number)
progress = st.builds(Progress, states, st.integers(0, 40), st.sampled_from([None, "SUCCESSFUL"]), whys, st.booleans())
failures = st.builds(Failure, digests, st.integers(0, 9), st.integers(1, 3), st.booleans(), whys)
records = st.builds(
    Record,
    slots=st.dictionaries(st.sampled_from(slots.SLOTS), held),
    update=st.none() | st.builds(Update, targets, maybe_slot, maybe_slot, progress, st.floats(0, 1e6)),
    failures=st.lists(failures, max_size=10).map(tuple),
    untold=st.none() | st.builds(Untold, digests, states, st.just("REJECTED"), whys),
)


def shortened(record: Record) -> Record:
    """With reasons as long as a journal keeps them, and as many failures."""
    cut = [replace(item, why=item.why[:160]) for item in record.failures[-8:]]
    update, untold = record.update, record.untold
    if update is not None:
        update = replace(update, progress=replace(update.progress, why=update.progress.why[:160]))
    if untold is not None:
        untold = replace(untold, why=untold.why[:160])
    return replace(record, failures=tuple(cut), update=update, untold=untold)


@settings(max_examples=30)
@given(records)
def test_a_record_comes_back_and_fits_its_file(record: Record) -> None:
    disk = SimulatedDisk()
    Journal(disk, "m").write(record)
    assert Journal(disk, "m").record == replace(shortened(record), sequence=1)
    assert [disk.size(f"models/m/journal.{turn}") for turn in (0, 1)] == [RECORD_BYTES, RECORD_BYTES]


def test_a_record_that_does_not_fit_is_refused_and_the_one_before_stays() -> None:
    disk = SimulatedDisk()
    journal = Journal(disk, "m")
    short = Record(slots={"a": SlotRecord("0" * 64, "name", 1)})
    for _ in range(3):
        journal.write(short)
        with pytest.raises(StoreError, match="does not fit"):
            journal.write(Record(slots={"a": SlotRecord("0" * 64, "n" * RECORD_BYTES, 1)}))
        assert journal.record == Journal(disk, "m").record == replace(short, sequence=journal.record.sequence)


@pytest.mark.parametrize("size", [100, RECORD_BYTES + 100])
def test_a_file_of_another_size_loses_no_record(size: int) -> None:
    disk = SimulatedDisk()
    Journal(disk, "m").write(Record())
    path = "models/m/journal.1"
    disk.write(path, disk.read(path).rstrip(b"\0").ljust(size, b"\0"))
    for _ in range(2):
        assert Journal(disk, "m").record.sequence == 1
        assert disk.size(path) == RECORD_BYTES


def test_the_longest_record_fits_its_file() -> None:
    disk, why, name = SimulatedDisk(), "\x01" * 400, "a" * 500
    target = Target("0" * 64, name, 10**9, 10**9, 1 / 3 * 1e9, 1 / 3)
    held = SlotRecord("0" * 64, name, 10**9, True)
    update = Update(target, "a", "b", Progress("ArtifactVerifyRollbackReboot", 40, "FAILED_UNABLE_TO_ROLLBACK", why), 1 / 3)
    failures = tuple(Failure(f"{index:064x}", 10**9, 3, False, why) for index in range(20))
    untold = Untold("0" * 64, "ArtifactVerifyRollbackReboot", "FAILED_UNABLE_TO_ROLLBACK", why)
    Journal(disk, "m").write(Record(0, {"a": held, "b": held}, update, failures, untold))
    assert disk.size("models/m/journal.1") == RECORD_BYTES
    assert len(Journal(disk, "m").record.failures) == 8


def test_a_torn_write_leaves_the_record_before() -> None:
    disk = SimulatedDisk()
    journal = Journal(disk, "m")
    for version in (1, 2):
        journal.write(Record(slots={"a": SlotRecord(f"{version:064x}", f"m/p/{version}.ewa", version)}))
    begins_at = len(disk.log)
    journal.write(Record(slots={"a": SlotRecord(f"{3:064x}", "m/p/3.ewa", 3)}))
    found = {
        Journal(cut, "m").record.slots["a"].version for cut in power_cuts(disk.log[: begins_at + 1], random.Random(0), 200)
    }
    assert found == {2, 3}
    assert Journal(next(iter(power_cuts(disk.log, random.Random(0), 1))), "m").record.slots["a"].version == 3


def test_a_rotten_record_is_noticed_and_the_other_one_used() -> None:
    disk = SimulatedDisk()
    journal = Journal(disk, "m")
    for version in (1, 2):
        journal.write(Record(slots={"a": SlotRecord(f"{version:064x}", f"m/p/{version}.ewa", version)}))
    good = disk.read("models/m/journal.0")
    size = len(good.rstrip(b"\0"))
    for at in range(0, size, 7):
        disk.write("models/m/journal.0", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        opened = Journal(disk, "m")
        assert opened.was_damaged
        assert opened.record.slots["a"].version == 1


def test_a_sealed_record_that_is_nested_too_deep_is_damage() -> None:
    disk = SimulatedDisk()
    Journal(disk, "m").write(Record(untold=Untold("0" * 64, "Idle", "REJECTED", "")))
    text = b"[" * 3500
    disk.write_range("models/m/journal.1", 0, digest(text).encode() + text)
    opened = Journal(disk, "m")
    assert opened.was_damaged
    assert opened.record == Record()


def test_both_rotten_begins_anew() -> None:
    disk = SimulatedDisk()
    Journal(disk, "m").write(Record(untold=Untold("0" * 64, "Idle", "REJECTED", "")))
    for turn in (0, 1):
        disk.write(f"models/m/journal.{turn}", b"\xff" * 100)
    assert Journal(disk, "m").record == Record()


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 101])
def test_a_model_cannot_be_named_out_of_its_folder(name: str) -> None:
    with pytest.raises(ProtocolError, match="cannot stand"):
        Journal(SimulatedDisk(), name)


def test_the_current_slot_is_neither_overwritten_nor_removed() -> None:
    disk = SimulatedDisk()
    slots.make(disk, "m")
    disk.write("file", b"1")
    slots.place(disk, "m", "a", "file")
    slots.switch(disk, "m", "a")
    disk.write("file", b"2")
    with pytest.raises(AgentError, match="is what runs"):
        slots.place(disk, "m", "a", "file")
    with pytest.raises(AgentError, match="is what runs"):
        slots.clear(disk, "m", "a")
    assert disk.read("models/m/current/artifact.ewa") == b"1"


def test_a_link_that_leads_elsewhere_names_no_slot() -> None:
    disk = SimulatedDisk()
    slots.make(disk, "m")
    disk.link("../../downloads", "models/m/current")
    assert slots.current(disk, "m") is None
