"""Devices against a real control plane over HTTP: signing, asking, reporting, other keys."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from control.device import Device
from edgewright.core.errors import NetworkError, ProtocolError, StoreError, UsageError
from edgewright.fleet.agent.identity import NEXT_KEY, load_identity, load_key, make_key
from edgewright.fleet.agent.server import ControlServer, NoServer
from edgewright.fleet.http import Answer
from edgewright.fleet.protocol.assignment import Assignment, Wanted
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window


def report_of(device, sequence=1, boot="00000001-a", **fields):
    told = {"model": "digits", "running": None, "target": None, "state": "Idle", "result": None, "why": "", "at": 0.0}
    return Report(load_identity(device.disk).device, boot, sequence, **{**told, **fields})


def said(control, model="digits"):
    (found,) = control.store.devices()
    return found["models"][model]["said"]


# Asking and telling


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[" * (64 << 10), {}),
        (b'{"code": "clock", "error": "x"}', {"date": "Mon, 01 Jan 2024 00:00:00 +9999999999999999999"}),
        (b'{"code": "clock", "error": "x"}', {"date": "Mon, 01 Jan 0001 00:00:00 +2359"}),
    ],
)
def test_a_refusal_that_is_hostile_is_one_sentence(enrolled, monkeypatch, body, headers):
    monkeypatch.setattr(enrolled.http, "get", lambda *given, **named: Answer(401, headers, body))
    with pytest.raises(ProtocolError, match="status 401"):
        enrolled.server.assignment()


def test_an_assignment_counts_where_it_cannot_be_kept_and_is_kept_once(control, enrolled, monkeypatch):
    name = load_identity(enrolled.disk).device
    server, disk = enrolled.server, enrolled.disk
    written = []
    plain = disk.write

    def full(path, data, *, private=False):
        raise StoreError("cannot write: No space left on device; free some space.")

    def write(path, data, *, private=False):
        written.append(path)
        plain(path, data, private=private)

    control.store.assign(name, Wanted("digits", "ab" * 32), "test")
    monkeypatch.setattr(disk, "write", full)
    assert server.assignment().models["digits"].sha256 == server.assignment().models["digits"].sha256 == "ab" * 32
    monkeypatch.setattr(disk, "write", write)
    for asked in (server, server, enrolled.server):
        assert asked.assignment().models["digits"].sha256 == "ab" * 32
    assert len(written) == 1
    assert server.known_assignment() == server.assignment()


def test_an_assignment_comes_once_and_then_costs_nothing(control, enrolled):
    name = load_identity(enrolled.disk).device
    control.store.assign(name, Wanted("digits", "ab" * 32, "digits/p/1.ewa", deadline_s=60.0), "test")
    server = enrolled.server
    first = server.assignment()
    assert first == Assignment({"digits": Wanted("digits", "ab" * 32, "digits/p/1.ewa", 0, 60.0)})
    asked = []
    plain = enrolled.http.get

    def get(url, **given):
        answer = plain(url, **given)
        asked.append((answer.status, answer.body))
        return answer

    enrolled.http.get = get
    assert server.assignment() == first
    assert asked == [(304, b"")]
    control.store.assign(name, Wanted("digits", "ab" * 32), "test")
    assert server.assignment().models["digits"].attempt == 1
    assert enrolled.server.known_assignment().models["digits"].attempt == 1


def test_the_state_is_what_the_device_says_in_its_own_order(control, enrolled):
    server = enrolled.server
    late = report_of(enrolled, 2, running="aa" * 32, state="Download")
    server.report(report_of(enrolled, 1, running="aa" * 32))
    server.report(report_of(enrolled, 3, running="bb" * 32, state="ArtifactCommit_Leave", result="SUCCESSFUL"))
    server.report(late)
    server.report(late)
    assert (said(control)["running"], said(control)["state"]) == ("bb" * 32, "ArtifactCommit_Leave")
    server.report(report_of(enrolled, 1, boot="00000002-b", running="cc" * 32))
    server.report(report_of(enrolled, 9, running="dd" * 32))  # of the boot before
    assert said(control)["running"] == "cc" * 32


def test_a_deployment_that_is_taken_back_is_answered_so(control, enrolled):
    name = load_identity(enrolled.disk).device
    control.store.assign(name, Wanted("digits", "ab" * 32), "test")
    assert not enrolled.server.report(report_of(enrolled)).is_aborted
    control.store.abort(name, "digits", "test")
    assert enrolled.server.report(report_of(enrolled, 2)).is_aborted
    assert enrolled.server.assignment().models == {}
    control.store.assign(name, Wanted("digits", "ab" * 32), "test")
    assert not enrolled.server.report(report_of(enrolled, 3)).is_aborted
    with pytest.raises(UsageError, match="nothing of 'other'"):
        control.store.abort(name, "other", "test")


def test_who_never_enrolled_or_was_revoked_is_refused(control, enrolled, tmp_path):
    stranger = Device(tmp_path / "stranger")
    make_key(stranger.disk)
    alien = ControlServer(stranger.disk, stranger.http, load_identity(enrolled.disk), load_key(stranger.disk))
    with pytest.raises(ProtocolError, match="not signed by a key"):
        alien.assignment()
    control.store.revoke(load_identity(enrolled.disk).device, "test")
    with pytest.raises(ProtocolError, match="was revoked"):
        enrolled.server.assignment()


def test_a_device_reports_for_itself_only(control, enrolled):
    with pytest.raises(ProtocolError, match="for itself only"):
        enrolled.server.report(replace(report_of(enrolled), device="somebody-else"))


@pytest.mark.parametrize("ahead_s", [-1.7e9, 86400.0])
def test_a_wrong_clock_signs_with_the_servers_time(control, enrolled, ahead_s):
    enrolled.clock.ahead_s = ahead_s
    assert enrolled.server.assignment() == Assignment()


# Telemetry


def test_windows_are_kept_once_whatever_answer_is_lost(control, enrolled):
    windows = [
        Window("digits", "ab" * 32, 600 * n, 600 * n + 9, 1, n, n, 0, (0, 0, 0, 0), (n,) * LATENCY_BINS, ((n, 1),))
        for n in (1, 2, 3)
    ]
    server = enrolled.server
    first = Batch("00000001-a", ((1, windows[0].encode()), (2, windows[1].encode()))).encode()
    assert server.send_telemetry(first) == 2
    assert server.send_telemetry(first) == 2
    assert server.send_telemetry(Batch("00000001-a", ((2, windows[1].encode()), (7, windows[2].encode()))).encode()) == 7
    assert server.send_telemetry(Batch("00000002-b", ((1, windows[0].encode()),)).encode()) == 1
    assert control.store.windows(load_identity(enrolled.disk).device) == [windows[0], windows[0], windows[1], windows[2]]


@pytest.mark.parametrize(
    "frames", [b"", b"EWT1junk", Batch("s", ()).encode(), Batch("s", ((1, b"x"),)).encode(), bytes(300 << 10)]
)
def test_telemetry_that_is_none_is_refused_whole(control, enrolled, frames):
    with pytest.raises(ProtocolError, match="status 4"):
        enrolled.server.send_telemetry(frames)
    assert control.store.windows(load_identity(enrolled.disk).device) == []


# Keys


def test_a_new_key_takes_over(control, enrolled):
    old = load_key(enrolled.disk)
    server = enrolled.server
    server.replace_key()
    assert load_key(enrolled.disk).public != old.public
    assert enrolled.disk.size(NEXT_KEY) is None
    assert server.assignment() == enrolled.server.assignment() == Assignment()
    with pytest.raises(ProtocolError, match="not signed by a key"):
        ControlServer(enrolled.disk, enrolled.http, load_identity(enrolled.disk), old).assignment()


def test_a_lost_answer_to_the_new_key_is_found_out(control, enrolled):
    server = enrolled.server
    plain = enrolled.http.post

    def lost(*given, **named):
        plain(*given, **named)
        raise NetworkError("the answer is lost.")

    enrolled.http.post = lost
    with contextlib.suppress(NetworkError):
        server.replace_key()
    enrolled.http.post = plain
    assert load_key(enrolled.disk, NEXT_KEY) is not None
    restarted = enrolled.server
    restarted.replace_key()
    assert enrolled.server.assignment() == Assignment()


def test_a_device_that_the_server_knows_by_its_next_key_only_finds_that_out(control, enrolled):
    fresh = make_key(enrolled.disk, NEXT_KEY)
    control.store.replace_key(load_identity(enrolled.disk).device, fresh.public)
    server = enrolled.server
    enrolled.clock.ahead_s = -1e9
    assert server.assignment() == Assignment()
    assert load_key(enrolled.disk).public == fresh.public
    assert enrolled.disk.size(NEXT_KEY) is None
    assert enrolled.server.assignment() == Assignment()


@pytest.mark.parametrize("content", [None, b"torn"])
def test_a_next_key_that_the_server_does_not_know_changes_nothing(control, enrolled, content):
    make_key(enrolled.disk, NEXT_KEY)
    if content is not None:
        enrolled.disk.write(NEXT_KEY, content)
    old = load_key(enrolled.disk)
    control.store.replace_key(load_identity(enrolled.disk).device, bytes(32))
    with pytest.raises(ProtocolError, match="not signed by a key"):
        enrolled.server.assignment()
    assert load_key(enrolled.disk).public == old.public
    assert enrolled.disk.size(NEXT_KEY) is not None


# Without a server


def test_without_a_server_the_newest_is_followed_and_reports_stay_in_a_bounded_log(device):
    server = NoServer(device.disk, ("digits", "kws"))
    assert server.assignment().models["kws"] == Wanted("kws")
    told = Report("d", "b", 1, "digits", None, None, "Idle", None, "x" * 900, 0.0)
    for sequence in range(1500):
        server.report(replace(told, sequence=sequence))
    log = device.disk.read("reports.log")
    assert len(log) < 1 << 20
    assert [Report.decode(line).sequence for line in log.splitlines()][-1] == 1499
    with pytest.raises(NetworkError, match="no server"):
        server.send_telemetry(b"")
