"""The audit log: nobody changes it through the database, and who goes around the database is found out."""

from __future__ import annotations

import contextlib
import threading

import pytest
from edgewright.core.canonical import digest_json
from edgewright.core.errors import StoreError
from edgewright.fleet.control import audit
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.tables import AUDIT
from sqlalchemy import delete, insert, text, update


def write(database, *subjects, details=None):
    with database.transaction() as connection:
        for subject in subjects:
            audit.record(connection, database, "ada", "assign", subject, details or {"n": 1})


def verified(database):
    with database.reading() as connection:
        return audit.verify(connection)


def unguarded(database, *changes):
    """Change entries as one who may do anything."""
    with database.transaction() as connection:
        if database.is_sqlite:
            for name in ("audit_no_update", "audit_no_delete", "audit_in_order"):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for change in changes:
            connection.execute(change)


def test_entries_tell_who_did_what_when_in_their_order(database, clock):
    write(database, "one")
    clock.advance(1.5)
    write(database, "two", "three", details={"site": "lab", "of": [1, None, "é"]})
    with database.reading() as connection:
        one, two, three = audit.entries(connection, 0, 10)
        assert audit.entries(connection, 1, 1) == [two]
        assert audit.latest(connection, 2) == [three, two]
    assert (one.place, one.actor, one.action, one.subject, one.details) == (1, "ada", "assign", "one", {"n": 1})
    assert (two.at - one.at, two.details) == (1.5, {"site": "lab", "of": [1, None, "é"]})
    assert (one.before, two.before, three.before) == (audit.START, one.digest, two.digest)
    parts = {key: getattr(two, key) for key in ("place", "at", "actor", "action", "subject", "before")}
    assert two.digest == digest_json({**parts, "details": dict(two.details)})
    assert verified(database) == audit.Verified(3, three.digest, None)


def test_an_entry_belongs_to_what_it_tells(database):
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        audit.record(connection, database, "ada", "assign", "one", {})
        _ = 1 // 0
    assert verified(database) == audit.Verified(0, audit.START, None)


@pytest.mark.parametrize(
    "change",
    [
        update(AUDIT).values(actor="eve"),
        update(AUDIT).where(AUDIT.c.place == 2).values(details="{}"),
        delete(AUDIT).where(AUDIT.c.place == 2),
        delete(AUDIT),
    ],
)
def test_the_database_refuses_to_change_or_remove_an_entry(database, change):
    write(database, "one", "two")
    with pytest.raises(StoreError, match="only added to"), database.transaction() as connection:
        connection.execute(change)
    assert verified(database).count == 2


def test_the_database_refuses_what_empties_or_replaces(database):
    write(database, "one", "two")
    values = "VALUES (1, 0, 'eve', 'a', 's', '{}', 'b', 'd')"
    sentence = f"INSERT OR REPLACE INTO audit {values}" if database.is_sqlite else "TRUNCATE audit"
    with pytest.raises(StoreError, match="only added to"), database.transaction() as connection:
        connection.execute(text(sentence))
    assert verified(database) == audit.Verified(2, verified(database).head, None)


@pytest.mark.parametrize(
    "values",
    [
        {"at": 0.0},
        {"actor": "eve"},
        {"action": "revoke"},
        {"subject": "another"},
        {"details": '{"n":2}'},
        {"details": '{"n": 1}'},
        {"details": "[1"},
        {"digest": "0" * 64},
    ],
)
def test_an_entry_that_was_changed_is_found(database, values):
    write(database, "one", "two", "three")
    unguarded(database, update(AUDIT).where(AUDIT.c.place == 2).values(**values))
    found = verified(database)
    assert (found.count, found.broken) == (1, "entry 2 of the audit log was changed after it was written.")


def test_an_entry_that_was_made_up_whole_is_found(database):
    """Who forges an entry with a digest that fits it must forge all that follow."""
    write(database, "one", "two", "three")
    with database.reading() as connection:
        two = audit.entries(connection, 1, 1)[0]
    values = {"place": 2, "at": two.at, "actor": "eve", "action": "assign", "subject": "two", "before": two.before}
    forged = digest_json({**values, "details": {}})
    unguarded(database, update(AUDIT).where(AUDIT.c.place == 2).values(**values, details="{}", digest=forged))
    assert verified(database) == audit.Verified(2, forged, "entry 3 of the audit log does not follow from the one before.")


def test_an_entry_that_was_removed_is_found_and_the_head_tells_of_a_cut_end(database):
    write(database, "one", "two", "three")
    head = verified(database).head
    unguarded(database, delete(AUDIT).where(AUDIT.c.place == 3))
    assert verified(database).broken is None
    assert verified(database).head != head
    with database.transaction() as connection:
        connection.execute(delete(AUDIT).where(AUDIT.c.place == 1))
    assert verified(database).broken == "entry 1 of the audit log is missing: the next has the place 2."


def test_an_entry_out_of_nowhere_is_found(database):
    write(database, "one")
    with database.transaction() as connection:
        values = {"place": 2, "at": 0.0, "actor": "eve", "action": "a", "subject": "s", "details": "{}"}
        connection.execute(insert(AUDIT).values(**values, before=audit.START, digest=audit.START))
    assert verified(database).broken == "entry 2 of the audit log does not follow from the one before."


@pytest.mark.parametrize(
    "odd", ["\0", "a\ud800b", "'; DROP TABLE audit; --", "{{ 7 * 7 }}", "<b>", "x" * 5000, "é\u2028\U0001f600"]
)
def test_any_text_is_kept_as_far_as_a_database_can(database, odd):
    with database.transaction() as connection:
        audit.record(connection, database, odd, odd, odd, {odd: odd})
    with database.reading() as connection:
        (found,) = audit.entries(connection, 0, 10)
    kept = odd.replace("\ud800", "?")
    assert found.actor == found.action == found.subject == kept.replace("\0", "\ufffd")
    assert found.details == {kept: kept}
    assert verified(database).broken is None


def test_entries_of_two_servers_are_one_chain(where, database, clock):
    with contextlib.closing(Database(where, clock)) as other:
        works = [threading.Thread(target=lambda d=d: [write(d, "s") for _ in range(10)]) for d in (database, other) * 2]
        for work in works:
            work.start()
        for work in works:
            work.join()
    assert (verified(database).count, verified(database).broken) == (40, None)


def test_more_entries_than_are_read_at_once_are_verified(database, monkeypatch):
    monkeypatch.setattr(audit, "_PAGE", 4)
    write(database, *map(str, range(21)))
    assert (verified(database).count, verified(database).broken) == (21, None)
    unguarded(database, update(AUDIT).where(AUDIT.c.place == 9).values(actor="eve"))
    assert verified(database).count == 8
