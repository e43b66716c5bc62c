"""Secrets are shown once: not in the database, its log of changes, the server's logs, or any later answer; and replays."""

from __future__ import annotations

import logging
import re

import pytest
from edgewright.core.canonical import digest


def files(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def logged(caplog):
    """What the server logged; the client, which is in this process too, is not it."""
    return "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))


def test_a_secret_is_shown_once_and_kept_as_a_digest(fleet, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    made = fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "operator"}).json()["token"]
    enrolment = fleet.ask("POST", "/enrolment-tokens", made, json={}).json()["token"]
    secrets = [made, enrolment.partition(".")[0], *fleet.tokens.values()]
    assert re.fullmatch(r"ew_[A-Za-z0-9_-]{43}", made)
    told = ""
    for path in ("/people", "/audit?limit=1000", "/devices", "/openapi.json", "/people/anna", "/nothing"):
        told += fleet.ask("GET", path, "admin").text
    told += fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "operator"}).text
    kept = files(tmp_path / "data")
    for secret in secrets:
        assert secret not in told
        assert secret not in logged(caplog)
        assert secret.encode() not in kept
    assert digest(made.encode()).encode() in kept
    assert digest(made.encode()) not in told


@pytest.mark.parametrize(
    "given",
    [
        {"json": {"name": "SECRET", "role": "SECRET"}},
        {"json": {"name": {"SECRET": 1}, "SECRET": 2}},
        {"content": b'{"name": "SECRET", '},
        {"content": b"SECRET"},
        {"params": {"SECRET": "SECRET"}, "json": {}},
    ],
)
def test_a_refusal_repeats_no_value_that_was_sent(fleet, caplog, given):
    caplog.set_level(logging.DEBUG)
    secret = fleet.tokens["admin"]
    filled = eval(repr(given).replace("SECRET", secret))  # noqa: S307 - a literal of this file
    answer = fleet.ask("POST", "/people", "admin", **filled)
    assert answer.status_code == 400
    # The name of a field that is not known is told, never what stands in it.
    assert answer.json()["error"].count(secret) <= str(filled.get("json", "")).count(f"'{secret}': ")
    assert secret not in logged(caplog)


def test_an_answer_is_kept_by_nobody_between(fleet):
    for path in ("/devices", "/people"):
        assert fleet.ask("GET", path, "admin").headers["cache-control"] == "no-store"


def test_a_database_that_fails_is_told_without_its_words(fleet, monkeypatch):
    from edgewright.core.errors import StoreError
    from edgewright.fleet.control.database import Database

    def broken(self):
        raise StoreError("the control plane's database postgresql://me:pass@host/db cannot be used (secret).")

    monkeypatch.setattr(Database, "reading", broken)
    answer = fleet.ask("GET", "/devices", "admin")
    assert answer.status_code == 503
    assert answer.json() == {"code": "E-STORE", "error": "the server cannot keep or read it now; try again later."}


def test_what_was_captured_is_worth_nothing_after_its_token(fleet):
    """Every request of a person is sent once more after the token was revoked, and after another ran out."""
    number = fleet.rollout()
    made = fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "admin", "days": 0.5}).json()["token"]
    captured = [
        ("PUT", f"/devices/{fleet.devices[0]}/attributes", {"attributes": {"site": "stolen"}}),
        ("POST", f"/devices/{fleet.devices[0]}/revoke", None),
        ("POST", f"/rollouts/{number}/abort", None),
        ("POST", "/people", {"name": "thief", "role": "admin"}),
        ("GET", "/devices", None),
    ]
    for end in ("runs out", "is revoked"):
        if end == "runs out":
            fleet.clock.sleep(0.6 * 86400)
        else:
            made = fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "admin"}).json()["token"]
            assert fleet.ask("GET", "/devices", made).status_code == 200
            fleet.ask("DELETE", "/people/anna", "admin")
        for method, path, body in captured:
            assert fleet.ask(method, path, made, json=body).status_code == 401, (end, method, path)
    assert {item["set"]["site"] for item in fleet.ask("GET", "/devices", "viewer").json()["devices"]} == {"lab"}
    assert fleet.ask("GET", f"/rollouts/{number}", "viewer").json()["state"] != "aborted"


def test_a_request_that_comes_twice_is_done_once(fleet):
    first = fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "viewer"})
    again = fleet.ask("POST", "/people", "admin", json={"name": "anna", "role": "viewer"})
    assert (first.status_code, again.status_code) == (200, 409)
    number = fleet.rollout()
    twice = fleet.ask("POST", "/rollouts", "operator", json={"model": "digits", "version": 2, "stages": [{"share": 1.0}]})
    assert twice.status_code == 409
    assert fleet.ask("POST", f"/rollouts/{number}/abort", "operator").status_code == 200
    again = fleet.ask("POST", f"/rollouts/{number}/abort", "operator")
    assert (again.status_code, again.json()["code"]) == (409, "state")
    log = fleet.ask("GET", "/audit?limit=1000", "viewer").json()["entries"]
    assert [entry["actor"] for entry in log if "abort" in entry["action"]] == ["the operator"]
