"""Polls from memory: what devices are told follows the database, whoever changed it, and asks it for nothing in between."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import random
import urllib.parse

import pytest
from control.device import token_of
from edgewright.core.errors import NetworkError, ProtocolError, StoreError
from edgewright.fleet.agent.identity import load_identity, load_key
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.polls import Cohort, Polls
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ASSIGNMENTS, MEMBERS
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.poll import PollSlot, place_of
from edgewright.fleet.protocol.signature import sign
from sqlalchemy import event, insert, update


def enrol(store, number=0):
    return store.enrol(Enrolment(store.make_token(60.0, "test"), bytes([number]) * 32))


@contextlib.contextmanager
def statements(database):
    """What is sent to the database meanwhile."""
    found = []

    def note(connection, cursor, statement, *rest):
        found.append(statement)

    event.listen(database._engine, "before_cursor_execute", note)
    yield found
    event.remove(database._engine, "before_cursor_execute", note)


def told(polls, name):
    answer = polls.answer(name, None)
    return Assignment.decode(answer.body).models


def test_a_device_is_told_what_is_assigned_and_nothing_twice(database, store):
    name = enrol(store)
    store.assign(name, Wanted("digits", "ab" * 32, "digits/p/1.ewa", deadline_s=60.0), "test")
    store.assign(name, Wanted("faces"), "test")
    store.abort(name, "faces", "test")
    polls = Polls(database, store)
    first = polls.answer(name, None)
    assert Assignment.decode(first.body) == store.assignment_of(name)
    with statements(database) as asked:
        again = polls.answer(name, first.etag)
        assert polls.answer(name, b'"another"').body == first.body
    assert (again.body, again.etag) == (None, first.etag)
    assert asked == []


def test_memory_follows_what_this_and_other_processes_change(database, store, where, clock):
    names = [enrol(store, number) for number in range(5)]
    polls = Polls(database, store)
    assert not polls.is_behind
    with contextlib.closing(Database(where, clock)) as elsewhere:
        other = Store(elsewhere)
        other.assign(names[1], Wanted("digits"), "test")
        assert not polls.is_behind
        polls.look()
        assert told(polls, names[1]) == {"digits": Wanted("digits")}
        late = enrol(other, 9)
        other.replace_key(names[2], bytes(range(32)))
    assert polls.device(late) is None
    store.revoke(names[0], "test")
    assert polls.is_behind
    polls.look()
    assert not polls.is_behind
    assert polls.device(names[0]).is_revoked
    assert polls.device(names[2]).public_key == bytes(range(32))
    assert polls.device(late).public_key == bytes([9]) * 32
    assert told(polls, names[1]) == {"digits": Wanted("digits")}


def test_a_change_of_everybody_is_seen_too_and_one_that_was_taken_back_is_not(database, store):
    names = [enrol(store, number) for number in range(3)]
    polls = Polls(database, store)
    with database.transaction() as connection:
        connection.execute(insert(ASSIGNMENTS), [
            {"device": name, "model": "digits", "attempt": 0, "is_aborted": False} for name in names
        ])  # fmt: skip
        database.touch(connection)
    with pytest.raises(RuntimeError), database.transaction() as connection:
        connection.execute(update(ASSIGNMENTS).values(is_aborted=True))
        database.touch(connection)
        raise RuntimeError
    polls.look()
    assert [told(polls, name) for name in names] == [{"digits": Wanted("digits")}] * 3


def test_only_what_changed_is_read(database, store):
    names = [enrol(store, number) for number in range(20)]
    polls = Polls(database, store)
    before = {name: polls.device(name) for name in names}
    store.assign(names[3], Wanted("digits"), "test")
    polls.look()
    assert [name for name in names if polls.device(name) is not before[name]] == [names[3]]
    with statements(database) as asked:
        polls.look()
    assert len([one for one in asked if "SELECT" in one]) == 1


def test_devices_that_are_told_the_same_share_it(database, store):
    names = [enrol(store, number) for number in range(4)]
    for name in names[:3]:
        store.assign(name, Wanted("digits"), "test")
    polls = Polls(database, store)
    assert len({id(polls.device(name).told) for name in names}) == 2


def test_whatever_happens_memory_says_what_the_database_says(database, store):
    draw = random.Random(3)
    polls, names = Polls(database, store), []
    for step in range(60):
        what = draw.random()
        if what < 0.3 or not names:
            names.append(enrol(store, step))
        elif what < 0.7:
            store.assign(draw.choice(names), Wanted(draw.choice(["a", "b", "c"]), "ab" * 32), "test")
        elif what < 0.8:
            store.revoke(draw.choice(names), "test")
        else:
            name = draw.choice(names)
            for model in store.assignment_of(name).models:
                store.abort(name, model, "test")
        if draw.random() < 0.5:
            polls.look()
    polls.look()
    for name in names:
        assert Assignment(told(polls, name)) == store.assignment_of(name)
        assert polls.device(name).is_revoked == store.device(name).is_revoked


def test_a_database_that_fails_leaves_the_memory_as_it_was(database, store, monkeypatch):
    name = enrol(store)
    polls = Polls(database, store)
    store.assign(name, Wanted("digits"), "test")

    @contextlib.contextmanager
    def refuse():
        raise StoreError("the database cannot be used.")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(database, "reading", refuse)
        with pytest.raises(StoreError):
            polls.look()
        assert told(polls, name) == {}
        assert polls.is_behind
    polls.look()
    assert told(polls, name) == {"digits": Wanted("digits")}


def test_when_devices_asked_is_written_in_one_go_and_survives_a_database_that_fails(database, store, clock, monkeypatch):
    names = [enrol(store, number) for number in range(6)]
    polls = Polls(database, store)
    for name in names[:5]:
        polls.answer(name, None)
        clock.advance(1.0)
    asked = clock.now()
    polls.answer(names[0], None)
    with monkeypatch.context() as patch:
        patch.setattr(store, "note_seen", lambda seen: (_ for _ in ()).throw(StoreError("the disk is full.")))
        with pytest.raises(StoreError):
            polls.flush()
    clock.advance(5.0)
    polls.answer(names[1], None)
    with statements(database) as sent:
        assert polls.flush() == 5
    assert len([one for one in sent if one.startswith("UPDATE")]) == 1
    seen = {found["device"]: found["seen_at"] for found in store.devices()}
    assert [seen[name] for name in names] == [asked, asked + 5.0, asked - 3.0, asked - 2.0, asked - 1.0, None]
    assert polls.flush() == 0


def test_the_slot_is_that_of_the_name(database, store, clock):
    name = enrol(store)
    polls = Polls(database, store, 100.0)
    for _ in range(20):
        clock.advance(37.0)
        after = polls.answer(name, None).after_s
        assert 50.0 <= after < 150.0
        assert ((clock.now() + after) / 100.0 - place_of(name)) % 1.0 == pytest.approx(0.0, abs=1e-4) or (
            (clock.now() + after) / 100.0 - place_of(name)
        ) % 1.0 == pytest.approx(1.0, abs=1e-4)


def test_the_cohort_is_the_rollout_and_stage_that_assigned(database, store):
    mine, theirs = enrol(store, 1), enrol(store, 2)
    store.assign(mine, Wanted("digits"), "test")
    store.assign(theirs, Wanted("digits"), "test")
    with database.transaction() as connection:
        connection.execute(update(ASSIGNMENTS).where(ASSIGNMENTS.c.device == mine).values(rollout=7))
        connection.execute(insert(MEMBERS).values(rollout=7, device=mine, stage=1))
        database.touch(connection, [mine])
    polls = Polls(database, store)
    assert polls.cohort(mine, "digits") == Cohort(7, 1)
    assert polls.cohort(theirs, "digits") == polls.cohort(mine, "faces") == polls.cohort("nobody", "digits") == Cohort()


# Over HTTP


class Raw:
    """Requests of a device as bytes of one kept connection."""

    def __init__(self, control, device):
        self.control, self.name = control, load_identity(device.disk).device
        self.key = load_key(device.disk)
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(control.url).netloc)

    def signed(self, method="GET", path="/v1/assignment", body=b"", at=None):
        created = self.control.clock.now() if at is None else at
        return sign(method, self.control.url + path, body, self.name, created, self.key.sign)

    def ask(self, headers, method="GET", path="/v1/assignment", body=None):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.fixture
def raw(control, enrolled):
    return Raw(control, enrolled)


def test_a_poll_tells_the_slot_with_and_without_news(control, raw):
    status, headers, body = raw.ask(raw.signed())
    assert (status, Assignment.decode(body)) == (200, Assignment())
    slot = PollSlot.told(headers)
    assert slot.period_s == 300.0
    assert 150.0 <= slot.after_s < 450.0
    status, again, body = raw.ask({**raw.signed(), "If-None-Match": headers["etag"]})
    assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert PollSlot.told(again).after_s == pytest.approx(slot.after_s, abs=2.0)
    assert "content-length" not in again
    control.store.assign(raw.name, Wanted("digits"), "test")
    status, news, body = raw.ask({**raw.signed(), "If-None-Match": headers["etag"]})
    assert (status, Assignment.decode(body).models) == (200, {"digits": Wanted("digits")})
    assert news["etag"] != headers["etag"]


def test_a_poll_without_news_asks_no_database(control, raw):
    _, headers, _ = raw.ask(raw.signed())
    fields = {**raw.signed(), "If-None-Match": headers["etag"]}
    with statements(control.database) as asked:
        for _ in range(20):
            assert raw.ask(fields)[0] == 304
    assert [one for one in asked if "devices" in one or "assignments" in one] == []


def forged(fields):
    return {
        **fields,
        "Signature": fields["Signature"][:20] + ("A" if fields["Signature"][20] != "A" else "B") + fields["Signature"][21:],
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda raw: {}, "signature"),
        (lambda raw: forged(raw.signed()), "signature"),
        (lambda raw: raw.signed(method="POST"), "signature"),
        (lambda raw: raw.signed(path="/v1/assignment?a=b"), "signature"),
        (lambda raw: raw.signed(body=b"x"), "signature"),
        (lambda raw: raw.signed(at=raw.control.clock.now() - 400), "clock"),
        (lambda raw: {name: value.replace(raw.name, "f" * 32) for name, value in raw.signed().items()}, "signature"),
    ],
)
def test_a_poll_that_is_not_signed_gets_nowhere(raw, change, code):
    status, headers, body = raw.ask(change(raw))
    assert status == 401
    assert f'"code":"{code}"'.encode() in body
    assert "edgewright-poll-after" not in headers
    assert raw.ask(raw.signed())[0] == 200


def test_a_poll_whose_fields_come_twice_is_not_signed(raw):
    raw.connection.putrequest("GET", "/v1/assignment")
    for name, value in raw.signed().items():
        raw.connection.putheader(name, value)
        if name == "Signature":
            raw.connection.putheader(name, value)
    raw.connection.endheaders()
    answer = raw.connection.getresponse()
    assert (answer.status, b"signature" in answer.read()) == (401, True)


def test_the_body_of_a_poll_is_read_and_must_be_the_one_that_is_signed(raw):
    assert raw.ask(raw.signed(body=b"{}"), body=b"{}")[0] == 200
    assert raw.ask(raw.signed(), body=b"{}")[0] == 401
    assert raw.ask(raw.signed(), body=b"x" * (65 << 10))[0] == 413
    raw.connection.close()
    assert raw.ask(raw.signed())[0] == 200


def test_other_methods_are_no_polls(raw):
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        assert raw.ask(raw.signed(method=method), method=method)[0] in (404, 405)


def test_who_is_revoked_is_told_so_at_once(control, raw):
    assert raw.ask(raw.signed())[0] == 200
    control.store.revoke(raw.name, "test")
    assert raw.ask(raw.signed())[0] == 403
    assert raw.ask(raw.signed(method="POST", path="/v1/reports", body=b"{}"), "POST", "/v1/reports", b"{}")[0] == 403


def test_a_device_that_another_process_enrolled_is_known_when_it_asks(control, device, where):
    with contextlib.closing(Database(where, control.clock)) as elsewhere:
        fresh = load_key_of(device)
        name = Store(elsewhere).enrol(Enrolment(token_of(control).partition(".")[0], fresh.public))
    fields = sign("GET", f"{control.url}/v1/assignment", b"", name, control.clock.now(), fresh.sign)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(control.url).netloc)
    connection.request("GET", "/v1/assignment", headers=fields)
    assert connection.getresponse().status == 200


def load_key_of(device):
    from edgewright.fleet.agent.identity import KEY, make_key

    return make_key(device.disk, KEY)


def test_devices_that_asked_are_written_down_when_the_server_ends(control, enrolled):
    enrolled.server.assignment()
    assert control.store.devices()[0]["seen_at"] is None
    before = control.clock.now()
    control.stop()
    assert control.store.devices()[0]["seen_at"] == pytest.approx(before, abs=30.0)


def test_the_agent_learns_its_slot_and_then_asks_once(control, enrolled):
    server = enrolled.server
    assert server.poll_slot() is None
    server.assignment()
    assert server.poll_slot().period_s == 300.0
    tries = []
    plain = enrolled.http._answer

    def answer(*given):
        tries.append(given[:2])
        return plain(*given)

    enrolled.http._answer = answer
    control.stop()
    with pytest.raises(Exception, match="cannot be reached"):
        server.assignment()
    assert len(tries) == 1
    with pytest.raises(Exception, match="cannot be reached"):
        enrolled.server.assignment()
    assert len(tries) == 1 + enrolled.http.limits.attempts
    assert server.poll_slot().period_s == 300.0


def test_a_refused_device_keeps_its_slot(control, enrolled):
    server = enrolled.server
    server.assignment()
    slot = server.poll_slot()
    control.store.revoke(load_identity(enrolled.disk).device, "test")
    with pytest.raises(ProtocolError, match="revoked"):
        server.assignment()
    assert server.poll_slot() == slot


def test_telemetry_waits_where_the_server_did_not_answer_the_poll(control, enrolled):
    server = enrolled.server
    server.assignment()
    control.stop()
    with pytest.raises(NetworkError, match="cannot be reached"):
        server.assignment()
    enrolled.http._answer = None  # nothing may be asked
    with pytest.raises(NetworkError, match="telemetry waits for the next"):
        server.send_telemetry(b"")


@pytest.mark.parametrize(("took", "patience"), [(0.1, 2.9), (2.0, 4.0), (60.0, 15.0)])
def test_a_poll_in_its_slot_waits_for_a_connection_as_long_as_the_network_needs(control, enrolled, took, patience):
    enrolled.http.limits = dataclasses.replace(enrolled.http.limits, connect_s=15.0)
    given, server, plain, ahead = [], enrolled.server, enrolled.http.get, [0.0]
    monotonic = enrolled.clock.monotonic
    enrolled.clock.monotonic = lambda: monotonic() + ahead[0]

    def get(url, **named):
        given.append(named["connect_s"])
        ahead[0] += took
        return plain(url, **named)

    enrolled.http.get = get
    server.assignment()
    server.assignment()
    assert given == [None, pytest.approx(patience, abs=1.5)]
    assert 2.9 <= given[1] <= 15.0


def test_a_connection_that_was_idle_for_long_is_not_used(control, enrolled):
    server, closed, ahead = enrolled.server, [], [0.0]
    monotonic, close = enrolled.clock.monotonic, enrolled.http.close_idle
    enrolled.clock.monotonic = lambda: monotonic() + ahead[0]
    enrolled.http.close_idle = lambda: closed.append(ahead[0]) or close()
    for wait in (1000.0, 1.0, 300.0, 1.0):
        ahead[0] += wait
        server.assignment()
    assert closed == [1000.0, 1301.0]
