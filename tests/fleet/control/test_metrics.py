"""Metrics by cohort: each window once, no device's name, and for nobody without a token."""

from __future__ import annotations

import http.client
import re
import urllib.parse

import pytest
from control.rows import MODEL, fill, window
from edgewright.fleet.agent.identity import load_identity
from edgewright.fleet.control.metrics import Counts, text
from edgewright.fleet.control.people import People
from edgewright.fleet.control.polls import Polls
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ARTIFACTS, ASSIGNMENTS, MEMBERS, ROLLOUTS
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import Batch
from sqlalchemy import insert, update

_LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+)')


def read(told):
    """Values by name and labels; every line must be one of the text format."""
    found, kinds = {}, {}
    for line in told.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = _LINE.fullmatch(line).groups()
            assert re.sub("_(bucket|sum|count)$", "", name) in kinds or name in kinds
            key = name, labels or ""
            assert key not in found
            found[key] = float(value)
    return found


def get(control, headers):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(control.url).netloc)
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def metrics(control):
    secret = People(control.database).make("prometheus", "viewer", 1.0, "test")
    status, told = get(control, {"Authorization": f"Bearer {secret}"})
    assert status == 200
    return read(told)


def test_every_line_is_told_by_cohort_and_none_by_device(database, clock):
    names, _ = fill(database)
    with database.transaction() as connection:
        connection.execute(insert(ARTIFACTS).values(
            name="digits/p/3.ewa", model=MODEL, version=3, profile="p", is_canary=False, sha256="ab" * 32, length=1, offer="{}",
            first_seen_at=0.0,
        ))  # fmt: skip
        connection.execute(insert(ROLLOUTS).values(
            id=1, model=MODEL, version=3, plan="{}", state="running", stage=1, why="", made_at=0.0, made_by="ada",
            changed_at=0.0, stage_since=0.0,
        ))  # fmt: skip
        connection.execute(update(ASSIGNMENTS).where(ASSIGNMENTS.c.device == names[0]).values(rollout=1))
        connection.execute(insert(MEMBERS).values(rollout=1, device=names[0], stage=0, outcome="good"))
        connection.execute(insert(MEMBERS).values(rollout=1, device=names[1], stage=1))
        database.touch(connection)
    counts = Counts()
    polls = Polls(database, Store(database))
    counts.heard(polls.cohort(names[0], MODEL), [window(requests=5), window(60, requests=7)])
    counts.heard(polls.cohort(names[1], MODEL), [window(requests=11)])
    counts.polled(304, 0.0003)
    counts.polled(401, 0.3)
    with database.reading() as connection:
        told = text(connection, polls, counts)
    assert not any(name in told for name in names)
    found = read(told)
    canary = 'model="digits",version="3",rollout="1",stage="0"'
    others = 'model="digits",version="3",rollout="",stage=""'
    assert found["edgewright_fleet_requests_total", canary] == 12
    assert found["edgewright_fleet_requests_total", others] == 11
    assert found["edgewright_fleet_windows_total", canary] == 2
    assert found["edgewright_fleet_request_seconds_bucket", f'{canary},le="+Inf"'] == 12
    assert found["edgewright_fleet_errors_total", f'{canary},kind="runtime"'] == 0
    assert found["edgewright_devices_running", canary] == 1
    assert found["edgewright_devices_running", others] == 2
    assert found["edgewright_devices", 'revoked="no"'] == 3
    assert found["edgewright_rollout_info", 'rollout="1",model="digits",version="3",state="running"'] == 1
    assert found["edgewright_rollout_stage", 'rollout="1",model="digits",version="3"'] == 1
    assert found["edgewright_rollout_members", 'rollout="1",model="digits",version="3",stage="0",outcome="good"'] == 1
    assert found["edgewright_rollout_members", 'rollout="1",model="digits",version="3",stage="1",outcome="open"'] == 1
    assert found["edgewright_polls_total", 'status="304"'] == 1
    assert found["edgewright_poll_seconds_bucket", 'le="0.0005"'] == 1
    assert found["edgewright_poll_seconds_count", ""] == 2
    assert found["edgewright_poll_seconds_sum", ""] == pytest.approx(0.3003)


def test_a_window_that_comes_twice_counts_once(control, enrolled):
    server = enrolled.server
    batch = Batch("1-a", ((1, window(requests=5).encode()), (2, window(60, requests=7).encode())))
    assert server.send_telemetry(batch.encode()) == server.send_telemetry(batch.encode()) == 2
    server.report(
        Report(load_identity(enrolled.disk).device, "00000001-a", 1, MODEL, "ab" * 32, "ab" * 32, "Idle", "SUCCESSFUL", "", 0.0)
    )
    server.assignment()
    found = metrics(control)
    assert found["edgewright_fleet_requests_total", 'model="digits",version="unknown",rollout="",stage=""'] == 12
    assert found["edgewright_reported_results_total", 'model="digits",result="SUCCESSFUL"'] == 1
    assert found["edgewright_polls_total", 'status="200"'] == 1
    assert found["edgewright_resident_memory_bytes", ""] > 1e7


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer ew_" + "a" * 43}, {"Authorization": "Basic x"}, {"Authorization": "Bearer"}]
)
def test_metrics_are_for_people_with_a_token(control, headers):
    status, told = get(control, headers)
    assert status == 401
    assert "edgewright_" not in told


def test_a_name_that_would_break_the_format_is_escaped(database):
    polls, counts = Polls(database, Store(database)), Counts()
    counts.reported('a"b\\c\nd', "SUCCESSFUL")
    with database.reading() as connection:
        found = read(text(connection, polls, counts))
    assert found["edgewright_reported_results_total", 'model="a\\"b\\\\c\\nd",result="SUCCESSFUL"'] == 1


def test_an_empty_server_has_metrics(database):
    with database.reading() as connection:
        assert read(text(connection, Polls(database, Store(database)), Counts()))["edgewright_poll_seconds_count", ""] == 0
