import json
import multiprocessing
import os
from pathlib import Path

import pytest
from edgewright.core.errors import GateError, StoreError
from edgewright.optimizer.gates import ledger as module
from edgewright.optimizer.gates.ledger import Judging, Ledger, LedgerEntry
from hypothesis import given
from hypothesis import strategies as st


def on(first: int = 0, count: int = 100, judged: str = "j" * 64, device: str = "arm") -> Judging:
    """The data whose samples are the numbers from `first` on."""
    return Judging(tuple(f"{number:016x}" for number in range(first, first + count)), judged, device)


DATA = on()
GATES = ("top1 >= -1pt",)


def look(ledger: Ledger, candidate: str, data: Judging = DATA, gates: tuple[str, ...] = GATES, seed: int = 0) -> LedgerEntry:
    return ledger.look(data, candidate, gates, seed)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "beside" / "ledger.jsonl")


def test_looks_are_counted_by_data_and_candidate(ledger):
    assert ledger.looks() == ()
    first = look(ledger, "a")
    assert (first.number, first.alpha()) == (1, pytest.approx(0.04))
    assert look(ledger, "a", on(1000, judged="k" * 64)).number == 1
    second = look(ledger, "b")
    assert (second.number, second.alpha()) == (2, pytest.approx(0.005))
    assert [entry.candidate for entry in ledger.looks()] == ["a", "a", "b"]


def test_the_same_look_is_no_new_one(ledger):
    first = look(ledger, "a")
    look(ledger, "b")
    before = ledger.path.read_bytes()
    assert look(ledger, "a") == first
    assert ledger.path.read_bytes() == before


def test_other_gates_another_seed_and_other_samples_are_new_looks(ledger):
    assert look(ledger, "a").number == 1
    other = look(ledger, "a", gates=("auc >= -0.01",))
    assert (other.number, other.gates) == (2, ("auc >= -0.01",))
    assert look(ledger, "a", seed=1).number == 3
    assert look(ledger, "a", on(judged="k" * 64)).number == 4
    assert ledger.extract(other)["gates"] == ["auc >= -0.01"]
    assert ledger.extract(look(ledger, "a"))["gates"] == list(GATES)


def test_data_that_share_half_of_their_samples_are_the_same(ledger):
    first = look(ledger, "a")
    assert look(ledger, "b", on(1, 99, "less")).data == first.data
    assert look(ledger, "c", on(0, 200, "more")).number == 3
    assert look(ledger, "d", on(50, 100, "half")).number == 4
    assert look(ledger, "e", on(160, 200, "moved on")).number == 1
    assert look(ledger, "f", on(0, 40, "part")).number == 5


def test_data_of_two_that_were_looked_at_count_with_the_more_looked_at(ledger):
    look(ledger, "a", on(0, 100, "one"))
    for name in "bc":
        look(ledger, name, on(100, 100, "two"))
    assert look(ledger, "d", on(0, 200, "both")).number == 3


def test_another_device_counts_on_its_own(ledger):
    look(ledger, "a")
    assert look(ledger, "b", on(device="x86")).number == 1


def test_extract_does_not_change_with_later_looks(ledger):
    first = look(ledger, "a")
    extract = ledger.extract(first)
    second = look(ledger, "b")
    assert ledger.extract(first) == extract
    assert ledger.extract(second)["candidates"] == ["a", "b"]
    assert ledger.extract(second)["alpha_spent"] == pytest.approx(0.045)
    json.dumps(extract, allow_nan=False)
    with pytest.raises(GateError, match="no look at candidate b"):
        Ledger(ledger.path.with_name("other")).extract(second)


@given(cut=st.integers(1, 200))
def test_a_torn_last_line_is_dropped(tmp_path_factory, cut):
    ledger = Ledger(tmp_path_factory.mktemp("torn") / "ledger.jsonl")
    for name in "abc":
        look(ledger, name)
    content = ledger.path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    ledger.path.write_bytes(content[: -min(cut, last)])
    assert len(ledger.looks()) == 2
    assert look(ledger, "d").number == 3
    assert [entry.candidate for entry in ledger.looks()] == ["a", "b", "d"]


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_costs_at_most_the_last_line(tmp_path_factory, place, bit):
    ledger = Ledger(tmp_path_factory.mktemp("flip") / "ledger.jsonl")
    for name in "abc":
        look(ledger, name)
    content = bytearray(ledger.path.read_bytes())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    ledger.path.write_bytes(bytes(content))
    if at == len(content) - 1:
        assert len(ledger.looks()) == 2
    else:
        with pytest.raises(GateError, match="damaged"):
            ledger.looks()


def test_a_missing_or_reordered_line_is_refused(ledger):
    for name in "abc":
        look(ledger, name)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    for changed in (
        [lines[0], lines[2]],
        [lines[1], lines[0], lines[2]],
        [*lines, lines[2]],
        [b"\n", *lines],
        [b"[]\n", *lines],
    ):
        ledger.path.write_bytes(b"".join(changed))
        with pytest.raises(GateError, match="damaged at line"):
            look(ledger, "d")


def _look_often(path, start):
    for number in range(start, start + 10):
        look(Ledger(path), f"candidate-{number}")


def test_processes_do_not_share_a_look(ledger):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_look_often, args=(ledger.path, start)) for start in (0, 10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [entry.number for entry in ledger.looks()] == list(range(1, 31))


def test_bad_places_and_digests(tmp_path):
    for bad in (Ledger(Path("/dev/null/ledger.jsonl")), Ledger(tmp_path)):
        with pytest.raises(StoreError, match="--ledger"):
            look(bad, "a")
        with pytest.raises(StoreError, match="--ledger"):
            bad.check()
    with pytest.raises(StoreError, match="cannot read the ledger"):
        Ledger(tmp_path).looks()
    for candidate, data in (("", DATA), ("a", on(count=0)), ("a", on(judged="")), ("a", on(device=""))):
        with pytest.raises(GateError, match="digests"):
            look(Ledger(tmp_path / "l"), candidate, data)


def test_a_check_leaves_no_trace_and_refuses_damage(ledger):
    ledger.check()
    assert list(ledger.path.parent.iterdir()) == []
    look(ledger, "a")
    before = ledger.path.read_bytes()
    ledger.check()
    assert ledger.path.read_bytes() == before
    ledger.path.write_bytes(b"{}\n")
    with pytest.raises(GateError, match="damaged at line 1"):
        ledger.check()


def test_a_folder_that_cannot_be_made_durable_is_refused(ledger, monkeypatch):
    def refuse(folder):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "sync_folder", refuse)
    with pytest.raises(StoreError, match="Input/output error"):
        look(ledger, "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="writable"):
        look(Ledger(tmp_path / "ledger.jsonl"), "a")
    with pytest.raises(StoreError, match="writable"):
        Ledger(tmp_path / "ledger.jsonl").check()
