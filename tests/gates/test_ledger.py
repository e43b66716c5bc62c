import json
import multiprocessing
import os
from pathlib import Path

import pytest
from edgewright.core.errors import GateError, StoreError
from edgewright.optimizer.gates.ledger import Ledger
from hypothesis import given
from hypothesis import strategies as st

DATA = "d" * 64


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "beside" / "ledger.jsonl")


def test_looks_are_counted_by_data_and_candidate(ledger):
    assert ledger.looks(DATA) == ()
    assert ledger.alpha_for_next(DATA, "a") == pytest.approx(0.04)
    first = ledger.look(DATA, "a", ["top1 >= -1pt"])
    assert (first.number, first.alpha()) == (1, pytest.approx(0.04))
    assert ledger.look("e" * 64, "a", []).number == 1
    assert ledger.alpha_for_next(DATA, "b") == pytest.approx(0.005)
    second = ledger.look(DATA, "b", ["top1 >= -1pt"])
    assert second.number == 2
    assert first.said() == "first look at these judging data, at 4 % of 5 % error."
    assert "look 2" in second.said()
    assert "0.5 %" in second.said()
    assert [entry.candidate_digest for entry in ledger.looks(DATA)] == ["a", "b"]


def test_the_same_candidate_is_no_new_look(ledger):
    ledger.look(DATA, "a", ["top1 >= -1pt"])
    ledger.look(DATA, "b", ["top1 >= -1pt"])
    before = ledger.path.read_bytes()
    assert ledger.look(DATA, "a", ["auc >= -0.01"]).number == 1
    assert ledger.alpha_for_next(DATA, "a") == pytest.approx(0.04)
    assert ledger.path.read_bytes() == before


def test_extract_does_not_change_with_later_looks(ledger):
    ledger.look(DATA, "a", ["top1 >= -1pt"])
    extract = ledger.extract(DATA, "a")
    ledger.look(DATA, "b", ["top1 >= -1pt"])
    assert ledger.extract(DATA, "a") == extract
    assert ledger.extract(DATA, "b")["candidates"] == ["a", "b"]
    assert ledger.extract(DATA, "b")["alpha_spent"] == pytest.approx(0.045)
    json.dumps(extract, allow_nan=False)
    with pytest.raises(GateError, match="no look"):
        ledger.extract(DATA, "c")


@given(cut=st.integers(1, 200))
def test_a_torn_last_line_is_dropped(tmp_path_factory, cut):
    ledger = Ledger(tmp_path_factory.mktemp("torn") / "ledger.jsonl")
    for name in "abc":
        ledger.look(DATA, name, ["top1 >= -1pt"])
    content = ledger.path.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    ledger.path.write_bytes(content[: -min(cut, last)])
    assert len(ledger.looks(DATA)) == 2
    assert ledger.look(DATA, "d", []).number == 3
    assert [entry.candidate_digest for entry in ledger.looks(DATA)] == ["a", "b", "d"]


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_costs_at_most_the_last_line(tmp_path_factory, place, bit):
    ledger = Ledger(tmp_path_factory.mktemp("flip") / "ledger.jsonl")
    for name in "abc":
        ledger.look(DATA, name, [])
    content = bytearray(ledger.path.read_bytes())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    ledger.path.write_bytes(bytes(content))
    if at == len(content) - 1:
        assert len(ledger.looks(DATA)) == 2
    else:
        with pytest.raises(GateError, match="damaged"):
            ledger.looks(DATA)


def test_a_missing_or_reordered_line_is_refused(ledger):
    for name in "abc":
        ledger.look(DATA, name, [])
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
            ledger.look(DATA, "d", [])


def _look_often(path, start):
    for number in range(start, start + 10):
        Ledger(path).look(DATA, f"candidate-{number}", [])


def test_processes_do_not_share_a_look(ledger):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_look_often, args=(ledger.path, start)) for start in (0, 10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [entry.number for entry in ledger.looks(DATA)] == list(range(1, 31))


def test_bad_places_and_digests(tmp_path):
    with pytest.raises(StoreError):
        Ledger(Path("/dev/null/ledger.jsonl")).look(DATA, "a", [])
    with pytest.raises(StoreError):
        Ledger(tmp_path).look(DATA, "a", [])
    with pytest.raises(StoreError):
        Ledger(tmp_path).looks(DATA)
    with pytest.raises(GateError, match="digests"):
        Ledger(tmp_path / "l").look(DATA, "", [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="writable"):
        Ledger(tmp_path / "ledger.jsonl").look(DATA, "a", [])
