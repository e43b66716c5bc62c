"""Backups show one moment, come back whole on either kind of database, and what is pruned was old."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import pytest
from control.rows import MODEL, everything, fill, keep_sample, send, tell, window
from edgewright.core.errors import StoreError, UsageError
from edgewright.fleet.control import audit
from edgewright.fleet.control.backup import Pruned, backup, prune, restore
from edgewright.fleet.control.database import FILE, Database
from edgewright.fleet.control.labels import SampleLabel, push
from edgewright.fleet.control.people import People, Person
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ALERTS, DRIFT_WINDOWS, REPORTS, RETRAININGS
from edgewright.fleet.protocol.window import Window
from sqlalchemy import func, insert, select

DAY_S = 86400.0


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path, clock):
    """Another database, empty, of each kind."""
    with contextlib.ExitStack() as held:
        if request.param == "sqlite":
            place = str(tmp_path / "target")
        else:
            place = held.enter_context(request.getfixturevalue("postgres").database())
        yield held.enter_context(contextlib.closing(Database(place, clock)))


def test_a_backup_comes_back_whole_on_either_kind_of_database(database, target, tmp_path):
    names, secret = fill(database)
    before = everything(database)
    backup(database, tmp_path / "copy")
    assert everything(database) == before
    found = restore(tmp_path / "copy", target, "boss")
    after = everything(target)
    entry, number = after["audit"].pop(), after["revision"].pop()
    assert number == (1, before.pop("revision")[0][1] + 1)
    assert {**after, "revision": []} == {**before, "revision": []}
    assert (entry[2], entry[3], entry[4]) == ("boss", "restore", "copy")
    assert found == audit.Verified(len(before["audit"]), before["audit"][-1][-1], None)
    with target.reading() as connection:
        assert audit.verify(connection) == audit.Verified(len(before["audit"]) + 1, entry[-1], None)
    assert People(target).find(secret) == Person("ada", "admin")
    # What comes next goes on where the old one stopped.
    store = Store(target)
    tell(store, names[0], 2, "cd" * 32)
    send(store, names[0], window(120), first=3)
    assert store.devices(names[0])[0]["models"][MODEL]["said"]["running"] == "cd" * 32
    assert len(everything(target)["reports"]) == len(before["reports"]) + 1


def test_a_backup_is_one_file_for_its_owner_and_replaces_nothing(database, tmp_path):
    fill(database)
    (tmp_path / "backups").mkdir()
    backup(database, tmp_path / "backups" / "one")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["one"]
    assert (tmp_path / "backups" / "one").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match=r"there is a file .* already"):
        backup(database, tmp_path / "backups" / "one")
    with pytest.raises(StoreError, match="cannot write the backup"):
        backup(database, tmp_path / "missing" / "one")


def test_a_backup_shows_one_moment_of_a_database_in_use(database, tmp_path, clock):
    """The log and what it tells of are written together, so that at any moment there are as many of the one as of the other."""
    store, ended = Store(database), threading.Event()

    def work():
        while not ended.is_set():
            store.make_token(60.0, "test")

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(3):
            backup(database, tmp_path / f"copy{number}")
    finally:
        ended.set()
        writer.join()
    for number in range(3):
        with contextlib.closing(Database(str(tmp_path / f"target{number}"), clock)) as target:
            assert restore(tmp_path / f"copy{number}", target).broken is None
            found = everything(target)
            assert len(found["tokens"]) == len(found["audit"]) - 1


def test_a_database_that_is_not_empty_is_left_alone(database, target, tmp_path):
    fill(database, 1)
    backup(database, tmp_path / "copy")
    Store(target).make_token(60.0, "test")
    before = everything(target)
    with pytest.raises(UsageError, match=r"is not empty \(it has audit, tokens\)"):
        restore(tmp_path / "copy", target)
    assert everything(target) == before


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "other"])
def test_what_is_no_backup_is_refused_and_changes_nothing(database, damage, tmp_path, clock):
    file = tmp_path / "copy"
    with contextlib.closing(Database(str(tmp_path / "source"), clock)) as source:
        fill(source, 20)
        backup(source, file)
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "other":
        file.unlink()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE devices (name TEXT)")
    else:
        file.write_bytes({"empty": b"", "text": b"a backup, they say\n" * 1000, "cut": whole[: len(whole) // 2]}[damage])
    before = everything(database)
    with pytest.raises(UsageError, match=r"is no backup|there is no file"):
        restore(file, database)
    assert everything(database) == before


def test_a_backup_of_an_older_version_comes_back_with_the_tables_of_today(database, tmp_path, clock):
    """Its tables are brought up to date in a copy; the file itself stays as it is."""
    with contextlib.closing(Database(str(tmp_path / "source"), clock)) as source:
        fill(source, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "source" / FILE)) as connection:
        second = ("artifacts", "rollouts", "members", "groups", "people", "audit", "tallies", "revision")
        third = ("samples", "outcomes", "pushes", "drift_states", "drift_windows", "alerts", "policies", "retrainings")
        fourth = ("benches", "bench_runs")
        for table in (*second, *third, *fourth):
            connection.execute(f"DROP TABLE {table}")
        for index in ("devices_by_change", "reports_by_time", "windows_by_time"):
            connection.execute(f"DROP INDEX {index}")
        for table, column in (("devices", "attributes"), ("devices", "changed"), ("assignments", "rollout")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
        connection.execute(f"VACUUM INTO '{tmp_path / 'copy'}'")
    before = (tmp_path / "copy").read_bytes()
    assert restore(tmp_path / "copy", database) == audit.Verified(0, audit.START, None)
    assert Store(database).devices()[0]["models"][MODEL]["said"]["state"] == "Idle"
    assert (tmp_path / "copy").read_bytes() == before


def test_what_is_numbered_is_numbered_on_after_a_backup_came_back(database, tmp_path, clock):
    def add(to, state):
        alert = {
            "key": f"k {state}", "model": MODEL, "sha256": "ab" * 32, "measure": "m", "scope": "fleet", "severity": "minor",
            "state": state, "first_at": 0.0, "last_at": 0.0, "windows": 1, "evidence": "{}",
        }  # fmt: skip
        training = {"model": MODEL, "state": state, "why": "", "made_at": 0.0, "changed_at": 0.0, "steps": "[]"}
        with to.transaction() as connection:
            rows = (ALERTS, alert), (RETRAININGS, training)
            return [connection.execute(insert(table).values(**row)).inserted_primary_key[0] for table, row in rows]

    with contextlib.closing(Database(str(tmp_path / "source"), clock)) as source:
        add(source, "open")
        add(source, "closed")
        backup(source, tmp_path / "copy")
    restore(tmp_path / "copy", database)
    assert add(database, "acknowledged") == [3, 3]


# Pruning


def test_what_is_pruned_is_old_and_what_was_learned_from_it_stays(database, clock):
    (name,), _ = fill(database, 1)
    store = Store(database)
    clock.advance(10 * DAY_S)
    tell(store, name, 2)
    send(store, name, window(120), first=3)
    told, tallies = store.devices(), everything(database)["tallies"]
    assert prune(database, 5 * DAY_S, "boss") == Pruned(windows=2, reports=1, samples=0, drift_windows=0)
    assert store.windows(name) == [window(120)]
    assert [row[3] for row in everything(database)["reports"]] == [2]
    assert (store.devices(), everything(database)["tallies"]) == (told, tallies)
    assert Window.decode(tallies[0][3]).merged == 3
    with database.reading() as connection:
        (entry,) = audit.latest(connection, 1)
        assert audit.verify(connection).broken is None
    assert (entry.actor, entry.action, entry.details["windows"], entry.details["reports"]) == ("boss", "prune", 2, 1)
    # What was removed is not new when it comes again.
    assert send(store, name, window(0), window(60)) == 3
    assert store.windows(name) == [window(120)]
    assert prune(database, 5 * DAY_S, "boss") == Pruned(windows=0, reports=0, samples=0, drift_windows=0)


def test_samples_that_nobody_labelled_are_pruned_and_the_others_stay(database, clock, monkeypatch):
    monkeypatch.setattr("edgewright.fleet.control.backup._MANY", 2)
    (name,), _ = fill(database, 1)
    old = [keep_sample(database, name, number) for number in range(7)]
    push(database, MODEL, [SampleLabel(one, "1") for one in old[:4]], "ada")
    clock.advance(10 * DAY_S)
    young = keep_sample(database, name, 7)
    assert prune(database, 5 * DAY_S, "boss").samples == 3
    assert {row[0] for row in everything(database)["samples"]} == {*old[:4], young}
    assert prune(database, 5 * DAY_S, "boss").samples == 0


def test_old_windows_of_drift_are_pruned(database, clock):
    fill(database, 1)
    made = {"model": MODEL, "sha256": "ab" * 32, "scope": "fleet", "seconds": 3600, "judged": "{}"}
    young, old = int(clock.now()), int(clock.now() - 10 * DAY_S)
    with database.transaction() as connection:
        rows = [{**made, "start": start, "data": window(0).encode()} for start in (old, old + 3600, young)]
        connection.execute(insert(DRIFT_WINDOWS), rows)
    assert prune(database, 5 * DAY_S, "boss") == Pruned(windows=0, reports=0, samples=0, drift_windows=2)
    with database.reading() as connection:
        assert connection.execute(select(DRIFT_WINDOWS.c.start)).scalars().all() == [young]


def test_reports_are_numbered_on_when_all_were_old(database, clock):
    (name,), _ = fill(database, 1)
    clock.advance(DAY_S)
    with database.reading() as connection:
        last = connection.execute(select(func.max(REPORTS.c.place))).scalar_one()
    prune(database, 60.0, "test")
    tell(Store(database), name, 2, "cd" * 32)
    assert [row[0] for row in everything(database)["reports"]] == [last, last + 1]


def test_more_than_is_removed_at_once_is_removed(database, clock, monkeypatch):
    monkeypatch.setattr("edgewright.fleet.control.backup._MANY", 3)
    (name,), _ = fill(database, 1)
    for number in range(3, 21):
        clock.advance(1.0)
        send(Store(database), name, window(60 * number), first=number)
    clock.advance(DAY_S - 5.5)
    found = prune(database, DAY_S, "test")
    assert found.windows == 20 - len(Store(database).windows(name)) == 14


@pytest.mark.parametrize("age", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_age_is_refused(database, age):
    with pytest.raises(UsageError, match="is no age"):
        prune(database, age, "test")
