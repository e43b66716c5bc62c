"""What a device is called by: its facts, what operators set, what the server forms; groups; telemetry by cohort."""

from __future__ import annotations

import json

import pytest
from edgewright.core.canonical import digest
from edgewright.core.errors import UsageError
from edgewright.fleet.control.attributes import attributes_of, described, set_attributes
from edgewright.fleet.control.audit import latest
from edgewright.fleet.control.groups import groups, remove_group, set_group
from edgewright.fleet.control.tables import ARTIFACTS
from edgewright.fleet.control.telemetry import tallies
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from edgewright.fleet.rollout.query import parse

ONE, TWO = digest(b"one"), digest(b"two")


def enrolled(store, number, **facts):
    return store.enrol(Enrolment(store.make_token(60.0, "test"), number.to_bytes(32, "big"), facts))


def runs(store, device, sha256, sequence=1):
    store.take(Report(device, "1-a", sequence, "digits", sha256, None, "Idle", None, "", 0.0))


def offer(database, sha256, version, profile="pi"):
    with database.transaction() as connection:
        connection.execute(
            ARTIFACTS.insert().values(
                name=f"digits/{profile}/{version}.ewa", model="digits", version=version, profile=profile, is_canary=False,
                sha256=sha256, length=1, offer=json.dumps({}), first_seen_at=0.0,
            )
        )  # fmt: skip


def called(database, device):
    with database.reading() as connection:
        return attributes_of(connection, database.clock.now(), {device})[device]


def test_operators_stand_above_devices_and_the_server_above_both(database, store):
    device = enrolled(store, 1, site="lab", arch="aarch64", device="forged", group="admins", revoked="no", seen_s="0")
    set_attributes(store, device, {"site": "roof"}, "me")
    found = called(database, device)
    assert found["site"] == "roof"
    assert found["arch"] == "aarch64"
    assert found["device"] == device
    assert not {"group", "revoked", "seen_s"} & set(found)
    assert found["enrolled"].endswith("Z")
    store.note_seen({device: database.clock.now()})
    database.clock.sleep(90.0)
    store.revoke(device, "me")
    assert called(database, device)["seen_s"] == "90"
    assert called(database, device)["revoked"] == "yes"


def test_a_name_that_no_query_can_ask_for_is_a_fact_and_no_attribute(database, store):
    device = enrolled(store, 1, **{"a b": "1", "not": "2", "model.digits": "9", "fine": "3"})
    with database.reading() as connection:
        (found,) = described(connection, 0.0)
    assert found.facts == {"a b": "1", "not": "2", "model.digits": "9", "fine": "3"}
    assert set(found.attributes) == {"device", "enrolled", "fine"}
    assert found.device == device


def test_the_version_that_runs_is_known_by_what_the_repository_offered(database, store):
    one, two = enrolled(store, 1), enrolled(store, 2)
    offer(database, ONE, 3)
    runs(store, one, ONE)
    runs(store, two, TWO)
    store.assign(two, Wanted("digits", ONE), "me")
    assert called(database, one)["model.digits"] == "3"
    assert called(database, two)["model.digits"] == TWO[:12]
    with database.reading() as connection:
        (found,) = described(connection, 0.0, only={two})
    assert found.models["digits"]["wanted"]["sha256"] == ONE
    assert found.models["digits"]["said"]["running"] == TWO


def test_all_devices_come_once_and_in_order_however_many_there_are(database, store, monkeypatch):
    monkeypatch.setattr("edgewright.fleet.control.attributes._PAGE", 2)
    names = sorted(enrolled(store, number) for number in range(5))
    with database.reading() as connection:
        assert [item.device for item in described(connection, 0.0)] == names
        assert [item.device for item in described(connection, 0.0, after=names[1])] == names[2:]
        assert [item.device for item in described(connection, 0.0, only=[*names[1:4], "nobody"])] == names[1:4]
        assert list(described(connection, 0.0, only=[])) == []


def test_groups_mean_whoever_their_query_means_now(database, store):
    one, two = enrolled(store, 1, site="lab"), enrolled(store, 2, site="roof")
    set_group(database, "beta", "site = lab", "me")
    set_group(database, "all", "", "me")
    assert called(database, one)["group"] == ("all", "beta")
    assert parse("group = beta").matches(called(database, one))
    assert not parse("group = beta").matches(called(database, two))
    set_attributes(store, two, {"site": "lab"}, "me")
    assert parse("group = beta").matches(called(database, two))
    remove_group(database, "beta", "me")
    with database.reading() as connection:
        assert groups(connection) == {"all": ""}
        assert [entry.action for entry in latest(connection, 2)] == ["remove-group", "set-attributes"]


@pytest.mark.parametrize(
    ("name", "query", "sentence"),
    [
        ("a b", "", "no name of a group"),
        ("x" * 101, "", "no name of a group"),
        ("a", "site =", "cannot be read at character 7"),
        ("a", "not group = b", "asks for no other group"),
    ],
)
def test_a_group_that_cannot_be_is_refused(database, name, query, sentence):
    with pytest.raises(UsageError, match=sentence):
        set_group(database, name, query, "me")
    with pytest.raises(UsageError, match="no group is called"):
        remove_group(database, name, "me")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"a b": "1"}, "no name of an attribute"),
        ({"Or": "1"}, "no name of an attribute"),
        ({"device": "x"}, "formed by the server"),
        ({"model.digits": "3"}, "formed by the server"),
        ({"a": ""}, "needs a value"),
        ({"a": "x" * 201}, "needs a value"),
        ({"a": "line\nline"}, "needs a value"),
        ({f"a{number}": "1" for number in range(65)}, "at most 64"),
    ],
)
def test_what_is_no_attribute_is_refused(store, values, sentence):
    device = enrolled(store, 1)
    with pytest.raises(UsageError, match=sentence):
        set_attributes(store, device, values, "me")
    assert store.devices()[0]["attributes"] == {}


def window(sha256, requests):
    latency = (requests, *([0] * (LATENCY_BINS - 1)))
    return Window("digits", sha256, 10, 20, 1, requests, requests, 0, (0, 1, 0, 0), latency, ((requests, 0),))


def test_telemetry_is_merged_by_artifact_over_the_devices_that_are_meant(database, store):
    one, two = enrolled(store, 1, site="lab"), enrolled(store, 2, site="roof")
    offer(database, ONE, 3)
    for device, sha256, requests in ((one, ONE, 5), (two, ONE, 7), (two, TWO, 1)):
        store.take_windows(device, Batch(f"s{sha256[:4]}", ((1, window(sha256, requests).encode()),)))
    known, unknown = tallies(database, "digits")
    assert (known.version, known.profile, known.devices, known.window.requests) == (3, "pi", 2, 12)
    assert known.errors == {"request": 0, "mismatch": 2, "runtime": 0, "internal": 0}
    assert (unknown.version, unknown.devices, unknown.window.requests) == (None, 1, 1)
    (of_lab,) = tallies(database, "digits", version=3, where="site = lab")
    assert (of_lab.devices, of_lab.window.requests) == (1, 5)
    assert tallies(database, "digits", version=4) == []
    assert tallies(database, "other") == []
