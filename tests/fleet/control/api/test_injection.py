"""Texts that are SQL, templates, markup, paths and control characters, in every field that takes a text."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from control.api.fleet import SHA256
from edgewright.core.canonical import digest
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.report import Report

TEXTS = (
    "' OR '1'='1",
    '"; DROP TABLE devices; --',
    "'); DELETE FROM audit; --",
    "1 UNION SELECT secret_sha256 FROM people",
    "%' AND sleep(5) --",
    "{{7*7}}",
    "${7*7}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "%(name)s %s {0} {name.__class__}",
    ":device",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "../../etc/passwd",
    "$(reboot)`reboot`",
    "a\\",
    "\u202eevil",
)
BROKEN = ("\0", "a\0b", "line\nline", "\x1b[2J", "\ud800", "x" * 100_000)

# Method, path, and a body in which TEXT stands for the text.
FIELDS = [
    ("PUT", "/devices/{device}/attributes", {"attributes": {"site": "TEXT"}}),
    ("PUT", "/devices/{device}/attributes", {"attributes": {"TEXT": "lab"}}),
    ("PUT", "/devices/{device}/assignments/{model}", {"sha256": "TEXT"}),
    ("PUT", "/groups/{name}", {"query": "TEXT"}),
    ("PUT", "/groups/{name}", {"query": 'site = "TEXT"'}),
    ("POST", "/benches", {"sha256": "TEXT", "query": ""}),
    ("POST", "/benches", {"sha256": SHA256, "query": "TEXT"}),
    ("POST", "/people", {"name": "TEXT", "role": "viewer"}),
    ("POST", "/people", {"name": "a", "role": "TEXT"}),
    ("POST", "/rollouts", {"model": "TEXT", "version": 2, "stages": [{"share": 1.0}]}),
    ("POST", "/rollouts", {"model": "digits", "version": 2, "query": "TEXT", "stages": [{"share": 1.0}]}),
    ("POST", "/rollouts", {"model": "digits", "version": 2, "stages": [{"share": 1.0, "query": "TEXT"}]}),
    ("POST", "/rollouts", {"model": "digits", "version": 2, "stages": [{"share": 1.0}], "guards": ["TEXT"]}),
    ("POST", "/rollouts", {"model": "digits", "version": 2, "stages": [{"share": 1.0}], "windows": ["TEXT"]}),
    ("POST", "/rollouts", {"model": "digits", "version": 2, "stages": [{"share": 1.0}], "when_undecided": "TEXT"}),
    ("POST", "/labels", {"model": "TEXT", "samples": [{"sample": "0" * 64, "label": "1"}]}),
    ("POST", "/labels", {"model": "digits", "samples": [{"sample": "TEXT", "label": "TEXT"}]}),
    ("POST", "/labels", {"model": "digits", "answers": [{"device": "TEXT", "at": 1.0, "predicted": 1, "label": 1}]}),
    ("PUT", "/policies/{model}", {"policy": "TEXT"}),
    ("PUT", "/policies/{model}", {"policy": "on: drift TEXT"}),
    ("POST", "/retrainings", {"model": "TEXT"}),
    ("POST", "/retrainings", {"model": "digits", "why": "TEXT"}),
    ("POST", "/retrainings/lease", {"worker": "TEXT", "models": ["digits"]}),
    ("POST", "/retrainings/lease", {"worker": "w", "models": ["TEXT"]}),
    ("POST", "/retrainings/{retraining}/steps", {"worker": "w", "step": "collect", "details": {"TEXT": "TEXT"}}),
    ("POST", "/retrainings/{retraining}/end", {"worker": "w", "state": "failed", "why": "TEXT"}),
]
PATHS = [
    ("GET", "/devices/TEXT", {}),
    ("POST", "/devices/TEXT/revoke", {}),
    ("PUT", "/devices/{device}/assignments/TEXT", {}),
    ("DELETE", "/devices/{device}/assignments/TEXT", {}),
    ("GET", "/groups/TEXT", {}),
    ("DELETE", "/groups/TEXT", {}),
    ("DELETE", "/people/no TEXT", {}),
    ("GET", "/rollouts/TEXT", {}),
    ("POST", "/rollouts/1/TEXT", {}),
    ("GET", "/devices", {"where": "TEXT"}),
    ("GET", "/devices", {"where": 'site = "TEXT"'}),
    ("GET", "/devices", {"after": "TEXT"}),
    ("GET", "/devices", {"limit": "TEXT"}),
    ("GET", "/telemetry", {"model": "TEXT"}),
    ("GET", "/telemetry", {"model": "digits", "where": "TEXT"}),
    ("GET", "/telemetry", {"model": "digits", "version": "TEXT"}),
    ("GET", "/audit", {"after": "TEXT"}),
    ("GET", "/benches", {"sha256": "TEXT"}),
    ("POST", "/benches/TEXT/cancel", {}),
    ("GET", "/drift/TEXT", {}),
    ("GET", "/drift/digits", {"since_s": "TEXT"}),
    ("GET", "/drift/digits", {"sha256": "TEXT"}),
    ("GET", "/alerts", {"model": "TEXT"}),
    ("GET", "/samples", {"model": "TEXT"}),
    ("GET", "/samples", {"model": "digits", "state": "TEXT"}),
    ("GET", "/samples", {"model": "digits", "device": "TEXT"}),
    ("GET", "/samples", {"model": "digits", "after": "TEXT"}),
    ("GET", "/samples/files", {"model": "digits", "labelled_until": "TEXT"}),
    ("GET", "/alerts", {"state": "TEXT"}),
    ("POST", "/alerts/TEXT/acknowledge", {}),
    ("DELETE", "/policies/TEXT", {}),
    ("GET", "/retrainings", {"model": "TEXT"}),
    ("GET", "/retrainings/TEXT", {}),
    ("POST", "/retrainings/TEXT/approve", {}),
    ("GET", "/explain", {"device": "TEXT"}),
    ("GET", "/explain", {"device": "{device}", "at": "TEXT"}),
]


def filled(value, text):
    """The value with the text in the place of TEXT."""
    if isinstance(value, dict):
        return {filled(key, text): filled(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, text) for item in value]
    return value.replace("TEXT", text) if isinstance(value, str) else value


def checked(fleet, answer):
    """The answer, after a look that nothing broke, nothing was evaluated, and no device is missing."""
    assert answer.status_code < 500, answer.text
    assert "49" not in answer.text.replace(fleet.devices[0], "").replace(fleet.devices[1], "") or answer.status_code == 200
    if answer.status_code >= 400:
        assert set(answer.json()) == {"code", "error"}
    return answer


def intact(fleet):
    listed = fleet.ask("GET", "/devices", "viewer").json()["devices"]
    assert {item["device"] for item in listed} >= set(fleet.devices)
    assert not any(item["is_revoked"] for item in listed)
    assert fleet.ask("GET", "/audit/verify", "viewer").json()["broken"] is None
    assert {person["name"] for person in fleet.ask("GET", "/people", "admin").json()["people"]} >= {"the admin"}


@pytest.mark.parametrize(("method", "path", "body"), FIELDS)
def test_a_text_in_a_body_is_a_text(shared, method, path, body):
    for text in TEXTS:
        checked(shared, shared.ask(method, shared.path(path), "admin", json=filled(body, text)))
    for text in BROKEN:
        # As escapes: what is no text at all cannot be sent otherwise.
        assert checked(shared, shared.ask(method, shared.path(path), "admin", json=filled(body, text))).status_code >= 400
    intact(shared)


@pytest.mark.parametrize(("method", "path", "query"), PATHS)
def test_a_text_in_an_address_is_a_text(shared, method, path, query):
    for text in (*TEXTS, *BROKEN[:4]):
        place = shared.path(path).replace("TEXT", quote(text, safe=""))
        answer = checked(shared, shared.ask(method, place, "admin", params=filled(query, text)))
        assert answer.status_code >= 400 or query, (text, answer.text)
    intact(shared)


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_what_is_kept_comes_back_as_it_was_given(shared, text):
    device, name = shared.devices[0], "note"
    answer = shared.ask("PUT", f"/devices/{device}/attributes", "operator", json={"attributes": {name: text}})
    assert answer.status_code == 200, answer.text
    found = shared.ask("GET", f"/devices/{device}", "viewer").json()
    assert found["set"] == {name: text}
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    listed = shared.ask("GET", "/devices", "viewer", params={"where": f'{name} = "{quoted}"'}).json()["devices"]
    assert [item["device"] for item in listed] == [device]
    assert shared.ask("PUT", "/groups/g", "operator", json={"query": f'{name} = "{quoted}"'}).status_code == 200
    assert shared.ask("GET", "/groups/g", "viewer").json()["devices"] == 1
    (entry,) = shared.ask("GET", "/audit?limit=1000", "viewer").json()["entries"][-1:]
    assert quoted in entry["details"]["query"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_a_device_says_of_itself_is_a_text(shared, text):
    secret = shared.store.make_token(60.0, "test")
    device = shared.store.enrol(Enrolment(secret, digest(text.encode())[:32].encode(), {"host": text, text: "x"}))
    shared.store.take(Report(device, "1-a", 1, "digits", None, None, "Idle", None, text, 0.0))
    found = checked(shared, shared.ask("GET", f"/devices/{device}", "viewer")).json()
    assert found["facts"] == {"host": text, text: "x"}
    assert found["models"]["digits"]["said"]["why"] == text
