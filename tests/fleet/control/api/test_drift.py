"""Drift by the API: what is told of models and alerts, and who may say that an alert was seen."""

from __future__ import annotations

import json

import pytest


def test_a_model_is_told_of_with_its_alerts(fleet):
    listed = fleet.ask("GET", "/drift", "viewer").json()["models"]
    assert [(item["model"], item["severity"], item["alerts"]) for item in listed] == [("digits", "severe", {"severe": 1})]
    found = fleet.ask("GET", "/drift/digits", "viewer").json()
    assert found["severity"] == "severe"
    assert found["summary"][0].startswith("Severe drift in the whole fleet since")
    assert "input x moved by 0.40 (0.30 to 0.50)" in found["summary"][0]
    (artifact,) = found["artifacts"]
    assert artifact["why_not"].startswith("the artifact was published without bins")
    assert found["alerts"][0]["devices"] == fleet.devices


def test_a_model_that_nobody_counted_is_unknown(fleet):
    answer = fleet.ask("GET", "/drift/nothing", "viewer")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown")
    answer = fleet.ask("GET", "/drift/digits", "viewer", params={"sha256": "cd" * 32})
    assert (answer.status_code, answer.json()["code"]) == (400, "E-USAGE")
    assert "no device counted the artifact cdcdcdcdcdcd" in answer.json()["error"]


@pytest.mark.parametrize("since", ["0", "-1", "nan", "inf", "1e300", "7948801"])
def test_a_time_that_is_none_is_refused(fleet, since):
    assert fleet.ask("GET", "/drift/digits", "viewer", params={"since_s": since}).status_code == 400


def test_an_alert_is_acknowledged_once_and_by_an_operator(fleet):
    assert fleet.ask("POST", "/alerts/1/acknowledge", "viewer").status_code == 403
    assert fleet.ask("POST", "/alerts/9/acknowledge", "operator").status_code == 404
    for _ in range(2):
        found = fleet.ask("POST", "/alerts/1/acknowledge", "operator").json()
        assert (found["state"], found["acknowledged_by"]) == ("acknowledged", "the operator")
    log = fleet.ask("GET", "/audit?limit=1000", "viewer").json()["entries"]
    assert [entry["action"] for entry in log if "alert" in entry["action"]] == ["acknowledge-alert"]
    assert [item["id"] for item in fleet.ask("GET", "/alerts", "viewer").json()["alerts"]] == [1]
    assert fleet.ask("GET", "/alerts?state=open", "viewer").json() == {"alerts": []}


def test_an_alert_that_is_closed_is_no_more_to_acknowledge(fleet):
    from edgewright.fleet.control.tables import ALERTS

    evidence = json.dumps({"closed": "24 windows in a row were without drift."})
    with fleet.database.transaction() as connection:
        connection.execute(ALERTS.update().values(state="closed", evidence=evidence))
    answer = fleet.ask("POST", "/alerts/1/acknowledge", "operator")
    assert (answer.status_code, answer.json()["code"]) == (409, "state")
    (found,) = fleet.ask("GET", "/alerts?state=closed", "viewer").json()["alerts"]
    assert found["ended"] == "24 windows in a row were without drift."
    report = fleet.ask("GET", "/drift/digits", "viewer").json()
    assert (report["severity"], len(report["alerts"])) == (None, 1)
