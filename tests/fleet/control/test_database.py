"""The database: both kinds alike in turns, snapshots and durability; migrations; what is wrong is told in one sentence."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from control.rows import everything, fill
from edgewright.core.canonical import digest
from edgewright.core.errors import StoreError, UsageError
from edgewright.fleet.control import migrations
from edgewright.fleet.control.database import FILE, MEMORY, Database
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import DEVICES, GROUPS, METADATA, REVISION, ROLLOUTS, SCHEMA
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.exc import OperationalError

# What was there before there were migrations.
_FIRST = """
CREATE TABLE assignments (device VARCHAR(64) NOT NULL, model VARCHAR(100) NOT NULL, sha256 VARCHAR(64), name VARCHAR(300),
  attempt INTEGER NOT NULL, deadline_s FLOAT, is_aborted BOOLEAN NOT NULL, PRIMARY KEY (device, model));
CREATE TABLE devices (device VARCHAR(64) NOT NULL, public_key BLOB NOT NULL, facts TEXT NOT NULL, enrolled_at FLOAT NOT NULL,
  revoked_at FLOAT, seen_at FLOAT, PRIMARY KEY (device));
CREATE TABLE reports (place INTEGER NOT NULL, device VARCHAR(64) NOT NULL, boot VARCHAR(100) NOT NULL,
  sequence INTEGER NOT NULL, model VARCHAR(100) NOT NULL, running VARCHAR(64), target VARCHAR(64),
  state VARCHAR(40) NOT NULL, result VARCHAR(40), why TEXT NOT NULL, at FLOAT NOT NULL, received_at FLOAT NOT NULL,
  PRIMARY KEY (place), UNIQUE (device, boot, sequence));
CREATE TABLE starts (device VARCHAR(64) NOT NULL, boot VARCHAR(100) NOT NULL, era INTEGER NOT NULL, number INTEGER NOT NULL,
  place INTEGER NOT NULL, first_at FLOAT NOT NULL, PRIMARY KEY (device, boot));
CREATE TABLE states (device VARCHAR(64) NOT NULL, model VARCHAR(100) NOT NULL, boot VARCHAR(100) NOT NULL,
  sequence INTEGER NOT NULL, running VARCHAR(64), target VARCHAR(64), state VARCHAR(40) NOT NULL, result VARCHAR(40),
  why TEXT NOT NULL, received_at FLOAT NOT NULL, PRIMARY KEY (device, model));
CREATE TABLE streams (device VARCHAR(64) NOT NULL, stream VARCHAR(100) NOT NULL, model VARCHAR(100) NOT NULL,
  highest INTEGER NOT NULL, PRIMARY KEY (device, stream, model));
CREATE TABLE tokens (secret_sha256 VARCHAR(64) NOT NULL, made_at FLOAT NOT NULL, expires_at FLOAT NOT NULL,
  used_by VARCHAR(64), used_at FLOAT, PRIMARY KEY (secret_sha256));
CREATE TABLE windows (device VARCHAR(64) NOT NULL, stream VARCHAR(100) NOT NULL, model VARCHAR(100) NOT NULL,
  sequence INTEGER NOT NULL, sha256 VARCHAR(64) NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
  received_at FLOAT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (device, stream, model, sequence));
INSERT INTO devices VALUES ('d', x'00', '{"arch": "x86_64"}', 1.0, NULL, 2.0);
INSERT INTO assignments VALUES ('d', 'digits', NULL, NULL, 0, NULL, 0);
"""


def raise_revision(database):
    with database.transaction() as connection:
        number = connection.execute(select(REVISION.c.number)).scalar_one()
        connection.execute(update(REVISION).values(number=number + 1))


def add(name):
    return lambda connection: connection.execute(insert(GROUPS).values(name=name, query="")) and name


def groups(database):
    with database.reading() as connection:
        return set(connection.execute(select(GROUPS.c.name)).scalars())


# Tables


def test_migrations_make_the_tables_that_are_described(database):
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == SCHEMA


def test_the_newest_migration_is_the_one_that_is_named_so():
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [SCHEMA]
    assert len(list(script.walk_revisions())) == int(SCHEMA)


def test_a_database_from_before_migrations_keeps_what_it_has(tmp_path, clock):
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(_FIRST)
    with contextlib.closing(Database(str(tmp_path), clock)) as database:
        (device,) = Store(database).devices()
        assert (device["facts"], device["attributes"], device["seen_at"]) == ({"arch": "x86_64"}, {}, 2.0)
        assert Store(database).assignment_of("d").models["digits"].attempt == 0
        assert database.revision() == 0
        with database.transaction() as connection:
            context = MigrationContext.configure(connection)
            assert {kind for kind, *_ in compare_metadata(context, METADATA)} <= {"remove_constraint", "add_constraint"}


def test_a_database_that_is_opened_again_is_the_same(where, database, clock):
    fill(database)
    before = everything(database)
    with contextlib.closing(Database(where, clock)) as other:
        assert everything(other) == before


def test_a_database_of_a_newer_version_is_left_alone(where, database, clock):
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="made by a newer version"):
        Database(where, clock)


def test_an_empty_postgresql_is_filled_by_two_servers_that_start_at_once(postgres, clock):
    with postgres.database("template0") as address:
        made = []
        works = [threading.Thread(target=lambda: made.append(Database(address, clock))) for _ in range(2)]
        for work in works:
            work.start()
        for work in works:
            work.join()
        assert [database.revision() for database in made] == [0, 0]
        for database in made:
            database.close()


# What cannot be used


@pytest.mark.parametrize(
    "address", ["mysql://u:geheim@h/n", "sqlite:///x", "http://h/", "postgresql://u:geheim@h:port/n", "nothing://"]
)
def test_an_address_of_no_known_kind_is_one_sentence_without_its_password(address, clock):
    with pytest.raises(UsageError, match=r"give postgresql://USER@HOST/NAME, or a folder") as caught:
        Database(address, clock)
    assert "geheim" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_sentence_without_its_password(clock):
    with pytest.raises(StoreError, match=r"\*\*\*@127.0.0.1:1/n cannot be used .*look at its server") as caught:
        Database("postgresql://u:geheim@127.0.0.1:1/n", clock)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use .*file for the control plane"):
        Database(str(tmp_path / "file"), clock)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Database(str(tmp_path), clock)


def test_connections_that_the_server_ended_are_made_again(postgres, clock):
    with postgres.database() as address, contextlib.closing(Database(address, clock)) as database:
        assert database.revision() == 0
        postgres.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%'")
        assert database.revision() == 0


@pytest.mark.parametrize(
    ("name", "rollout"), [("\ud800", 1), ("a", 2**70), ("\0", 1), ("x" * 101, 1), ("'; DROP TABLE groups; --", 1)]
)
def test_values_that_no_row_can_hold_are_no_fault_of_the_database(database, name, rollout):
    """SQLite keeps NUL and long texts, and what it keeps it gives back."""
    fits = name.startswith("'") or (database.is_sqlite and name not in ("\ud800", "a"))
    refused = contextlib.nullcontext() if fits else pytest.raises(UsageError, match="this cannot be kept")
    with refused, database.transaction() as connection:
        connection.execute(insert(GROUPS).values(name=name, query=""))
        connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == rollout))
    assert groups(database) == ({name} if fits else set())


# Turns


def test_a_transaction_that_fails_leaves_nothing(database):
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        add("a")(connection)
        _ = 1 // 0
    with pytest.raises(StoreError, match="cannot be used"), database.transaction() as connection:
        add("b")(connection)
        add("b")(connection)
    assert groups(database) == set()


def test_readers_see_one_moment_and_wait_for_nobody(where, database):
    with database.reading() as before:
        assert before.execute(select(func.count()).select_from(GROUPS)).scalar_one() == 0
        with database.transaction() as connection:
            add("a")(connection)
            assert groups(database) == set()  # not committed yet
        assert before.execute(select(func.count()).select_from(GROUPS)).scalar_one() == 0
    assert groups(database) == {"a"}


def test_readers_cannot_write(postgres, clock):
    with contextlib.ExitStack() as held:
        database = held.enter_context(contextlib.closing(Database(held.enter_context(postgres.database()), clock)))
        with pytest.raises(StoreError, match="read-only"), database.reading() as connection:
            add("a")(connection)


def test_who_reads_and_then_writes_is_never_wrong(where, database, clock):
    with contextlib.closing(Database(where, clock)) as other:
        works = [threading.Thread(target=lambda d=d: [raise_revision(d) for _ in range(25)]) for d in (database, other) * 2]
        for work in works:
            work.start()
        for work in works:
            work.join()
    assert database.revision() == 100


def test_a_transaction_within_another_is_a_mistake_that_is_told(database):
    with database.transaction(), pytest.raises(RuntimeError, match="within another"):
        database.together(add("a"))
    with pytest.raises(RuntimeError, match="within another"), database.transaction(), database.transaction():
        pass
    assert database.together(add("b")) == "b"


def test_works_that_wait_are_committed_at_once_and_fail_alone(database):
    commits, results = [], {}

    def ask(number):
        try:
            results[number] = database.together(add(f"g{number // 2}" if number < 4 else f"g{number}"))
        except StoreError as error:
            results[number] = type(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    with database.transaction():
        for thread in threads:
            thread.start()
        while len(database._turns._waiting) < 20:
            time.sleep(0.01)
        event.listen(database._engine, "commit", lambda _: commits.append(1))
    for thread in threads:
        thread.join()
    assert len(commits) == 2  # that of the transaction above, and one for all
    assert groups(database) == {"g0", "g1", *(f"g{number}" for number in range(4, 20))}
    assert sorted(map(str, (results[0], results[1]))) == sorted(map(str, ("g0", StoreError)))
    assert [results[number] for number in range(4, 20)] == [f"g{number}" for number in range(4, 20)]


def test_a_commit_that_fails_is_told_to_everyone_who_waited(database):
    commits, told = [], []

    def refuse_the_second(_):
        commits.append(1)
        if len(commits) == 2:
            raise OperationalError("COMMIT", {}, OSError("disk full"))

    def ask(number):
        try:
            database.together(add(f"g{number}"))
        except StoreError as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    with database.transaction():
        for thread in threads:
            thread.start()
        while len(database._turns._waiting) < 5:
            time.sleep(0.01)
        event.listen(database._engine, "commit", refuse_the_second)
    for thread in threads:
        thread.join()
    assert [sentence.count("disk full") for sentence in told] == [1] * 5
    assert groups(database) == set()
    assert database.together(add("after")) == "after"


# Durability


def test_a_commit_waits_for_the_disk(where, database):
    with database.transaction() as connection:
        if database.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


_WRITER = """
import sys
from edgewright.core.clock import SystemClock
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.store import Store
store = Store(Database(sys.argv[1], SystemClock()))
while True:
    print(store.make_token(60.0, "writer"), flush=True)
"""


def test_what_was_told_is_there_after_a_kill(where, database):
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, where], stdout=subprocess.PIPE, text=True)
    told = [writer.stdout.readline().strip() for _ in range(5)]
    os.kill(writer.pid, signal.SIGKILL)
    told += [line for line in writer.stdout.read().split("\n") if len(line) == len(told[0])]
    writer.wait()
    writer.stdout.close()
    kept = {row[0] for row in everything(database)["tokens"]}
    assert {digest(secret.encode()) for secret in told} <= kept
    raise_revision(database)  # and whoever comes next can write


def test_in_memory_it_is_the_same_for_all_threads(clock):
    with contextlib.closing(Database(MEMORY, clock)) as database:
        works = [threading.Thread(target=lambda: [raise_revision(database) for _ in range(10)]) for _ in range(4)]
        for work in works:
            work.start()
        names, _ = fill(database)
        for work in works:
            work.join()
        assert sorted(device["device"] for device in Store(database).devices()) == sorted(names)
        assert database.revision() > 40


# Revision


def test_what_changes_what_devices_are_told_is_noted_with_them(database):
    (one, two), _ = fill(database, 2)
    before = database.revision()
    with database.transaction() as connection:
        database.touch(connection, [two])
    with database.reading() as connection:
        assert connection.execute(select(DEVICES.c.device).where(DEVICES.c.changed > before)).scalars().all() == [two]
    store = Store(database)
    for change in (
        lambda: store.replace_key(one, bytes(32)),
        lambda: store.set_attributes(one, {"site": "lab"}, "test"),
        lambda: store.revoke(one, "test"),
    ):
        before = database.revision()
        change()
        with database.reading() as connection:
            assert connection.execute(select(DEVICES.c.device).where(DEVICES.c.changed > before)).scalars().all() == [one]
        assert database.revision() == before + 1
    before = database.revision()
    with database.transaction() as connection:
        database.touch(connection)
    with database.reading() as connection:
        assert set(connection.execute(select(DEVICES.c.changed)).scalars()) == {before + 1}
