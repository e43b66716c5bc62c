"""Telemetry at the server: each window once, in one tally, whoever sends at the same moment and whatever they send."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time

import pytest
from control.rows import MODEL, everything, fill, send, window
from edgewright.core.errors import ProtocolError
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.window_store import _HIGHEST, _TALLIES
from edgewright.fleet.protocol.window import Batch, Window, merge_all
from sqlalchemy import text


def tallies(database):
    """By device and SHA-256."""
    return {(device, sha256): Window.decode(data) for device, _, sha256, data, *_ in everything(database)["tallies"]}


def at_once(database, *works):
    """Results of works that all wait before the first is done; an error is its text."""
    results = [None] * len(works)

    def run(at, work):
        try:
            results[at] = work()
        except ProtocolError as error:
            results[at] = str(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    with database.transaction():
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(database._turns._waiting) < number:  # in their order
                time.sleep(0.005)
    for thread in threads:
        thread.join()
    return results


def test_windows_are_kept_as_they_came_and_merged_by_artifact(database, clock):
    (name,), _ = fill(database, 1)  # sends two
    store = Store(database)
    first = everything(database)["tallies"][0]
    clock.advance(60.0)
    assert send(store, name, window(120, 300), window(180, sha256="cd" * 32), first=3) == 4
    assert store.windows(name) == [window(0), window(60), window(120, 300), window(180, sha256="cd" * 32)]
    assert tallies(database) == {
        (name, "ab" * 32): merge_all([window(0), window(60), window(120, 300)]),
        (name, "cd" * 32): window(180, sha256="cd" * 32),
    }
    after = everything(database)["tallies"][0]
    assert (after[4], after[5]) == (first[4], first[5] + 60.0)  # first and last change


def test_what_comes_again_counts_once(database):
    (name,), _ = fill(database, 1)
    store, before = Store(database), everything(database)
    assert send(store, name, window(0), window(60)) == 2
    assert everything(database) == before
    assert send(store, name, window(60), window(120), first=2) == 3
    assert tallies(database)[name, "ab" * 32].merged == 3
    assert send(store, name, window(0), stream="2-b") == 1  # of another start
    assert tallies(database)[name, "ab" * 32].merged == 4


def test_what_comes_at_the_same_moment_is_kept_as_if_it_had_come_one_by_one(database):
    (one, two), _ = fill(database, 2)
    store = Store(database)
    results = at_once(
        database,
        lambda: send(store, one, window(120), first=3),
        lambda: send(store, one, window(120), window(180), first=3),  # the same again, and one more
        lambda: send(store, two, window(120, sha256="cd" * 32), first=3),
        lambda: send(store, two, window(0), stream="2-b"),
        lambda: send(store, two, window(60), first=2, stream="2-b"),
    )
    assert results == [3, 4, 3, 1, 2]
    assert [item.start for item in store.windows(one)] == [0, 60, 120, 180]
    found = {key: tally.merged for key, tally in tallies(database).items()}
    assert found == {(one, "ab" * 32): 4, (two, "ab" * 32): 4, (two, "cd" * 32): 1}
    assert {row[:3]: row[3] for row in everything(database)["streams"]} == {
        (one, "1-a", MODEL): 4,
        (two, "1-a", MODEL): 3,
        (two, "2-b", MODEL): 2,
    }


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (dataclasses.replace(window(120), tensors=((1, 2),)), "different artifacts"),
        (dataclasses.replace(window(120), requests=2**63 - 1), "is no count"),
    ],
)
def test_what_does_not_add_up_is_refused_whole_and_is_nobody_elses_matter(database, wrong, sentence):
    (bad, good), _ = fill(database, 2)
    store, before = Store(database), everything(database)
    results = at_once(
        database,
        lambda: send(store, good, window(120), first=3),
        lambda: send(store, bad, wrong, first=3),
        lambda: send(store, bad, window(180), first=4),
        lambda: store.take_windows(good, Batch("1-a", ((4, b"\x01nonsense"),))),
    )
    assert results[0] == 3
    assert sentence in results[1]
    assert sentence in results[2]
    assert "too early" in results[3] or "telemetry" in results[3]
    after = everything(database)
    for table in ("windows", "tallies", "streams"):
        assert [row for row in after[table] if row[0] == bad] == [row for row in before[table] if row[0] == bad]
    assert tallies(database)[good, "ab" * 32].merged == 3
    assert send(store, bad, window(120), first=3) == 3  # it can go on


def test_two_servers_count_each_window_once(where, database, clock):
    (name,), _ = fill(database, 1)
    with contextlib.closing(Database(where, clock)) as other:
        stores = [Store(database), Store(other)]
        batches = [[window(60 * number) for number in range(first, first + 3)] for first in range(2, 20)]

        def work(store):
            for first, windows in enumerate(batches, 3):
                send(store, name, *windows, first=first)

        threads = [threading.Thread(target=work, args=(store,)) for store in stores * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tallies(database)[name, "ab" * 32] == merge_all(Store(database).windows(name))
    assert tallies(database)[name, "ab" * 32].merged == 22


@pytest.mark.parametrize(("query", "names"), [(_HIGHEST, ["device", "stream"]), (_TALLIES, ["device", "model", "sha256"])])
def test_rows_are_found_by_their_keys(tmp_path, clock, query, names):
    """Not by a walk through all of them: there are millions."""
    with contextlib.closing(Database(str(tmp_path), clock)) as database, database.reading() as connection:
        asked = query.params({name: ["a", "b"] for name in names}).compile(connection, compile_kwargs={"literal_binds": True})
        (step,) = connection.execute(text(f"EXPLAIN QUERY PLAN {asked}"))
        assert step[3].startswith("SEARCH")
        assert all(f"{name}=?" in step[3] for name in names)
