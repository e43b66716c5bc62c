"""People: secrets that are kept as digests, run out and are revoked; names, roles, and what the audit log tells of them."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.control.audit import entries
from edgewright.fleet.control.people import People, Person
from edgewright.fleet.control.tables import AUDIT, PEOPLE
from sqlalchemy import select

DAY_S = 86400.0


@pytest.fixture
def people(database):
    return People(database)


def test_a_secret_finds_whose_it_is_and_nothing_else_does(people):
    ada, bo = people.make("ada", "admin", 1.0, "test"), people.make("bo", "viewer", 1.0, "test")
    assert ada.startswith("ew_")
    assert len(ada) == 46
    assert ada != bo
    assert people.find(ada) == Person("ada", "admin")
    assert people.find(bo) == Person("bo", "viewer")
    for other in ("", "ew_", ada[:-1], ada + "=", ada.upper(), "ew_" + "A" * 43, "é" * 46, "\0", "\ud800"):
        assert people.find(other) is None


def test_the_database_and_its_log_hold_no_secret(people, database):
    secret = people.make("ada", "admin", 1.0, "test")
    with database.reading() as connection:
        kept = repr([connection.execute(select(table)).all() for table in (PEOPLE, AUDIT)])
    assert "ada" in kept
    assert secret not in kept
    assert secret[3:] not in kept


def test_a_secret_runs_out(people, clock):
    secret = people.make("ada", "admin", 2.0, "test")
    clock.advance(2 * DAY_S - 1)
    assert people.find(secret) is not None
    clock.advance(1.0)
    assert people.find(secret) is None


def test_who_is_revoked_is_nobody_and_may_be_made_anew(people):
    before = people.make("ada", "admin", 1.0, "test")
    with pytest.raises(UsageError, match="is a 'ada' already"):
        people.make("ada", "viewer", 1.0, "test")
    people.revoke("ada", "test")
    assert people.find(before) is None
    assert [known.revoked_at is None for known in people.listed()] == [False]
    after = people.make("ada", "viewer", 1.0, "test")
    assert people.find(after) == Person("ada", "viewer")
    assert people.find(before) is None
    assert [(known.name, known.role, known.revoked_at) for known in people.listed()] == [("ada", "viewer", None)]


def test_a_name_whose_secret_ran_out_is_free(people, clock):
    people.make("ada", "admin", 1.0, "test")
    clock.advance(DAY_S)
    assert people.find(people.make("ada", "operator", 1.0, "test")) == Person("ada", "operator")


@pytest.mark.parametrize(
    ("name", "role", "days", "sentence"),
    [
        ("", "admin", 1.0, "is no name"),
        ("a\nb", "admin", 1.0, "is no name"),
        ("<script>", "admin", 1.0, "is no name"),
        ("x" * 101, "admin", 1.0, "is no name"),
        ("ada", "admn", 1.0, "did you mean 'admin'"),
        ("ada", "admin", 0.0, "not 0"),
        ("ada", "admin", float("nan"), "not nan"),
        ("ada", "admin", 1e9, "not 1e"),
    ],
)
def test_what_is_no_person_is_one_sentence_and_nothing_is_kept(people, name, role, days, sentence):
    with pytest.raises(UsageError, match=sentence):
        people.make(name, role, days, "test")
    assert people.listed() == []


def test_nobody_can_be_revoked_who_is_not_there(people):
    with pytest.raises(UsageError, match="nobody is called 'bo'"):
        people.revoke("bo", "test")


def test_the_log_tells_who_made_and_revoked_whom_once(people, database):
    people.make("ada", "admin", 1.0, "boss")
    people.revoke("ada", "other")
    people.revoke("ada", "third")
    with database.reading() as connection:
        found = [(entry.actor, entry.action, entry.subject) for entry in entries(connection, 0, 10)]
    assert found == [("boss", "make-person", "ada"), ("other", "revoke-person", "ada")]
