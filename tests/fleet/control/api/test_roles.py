"""Every route with every role, and with everything that is no token of a person."""

from __future__ import annotations

import pytest
from control.api.fleet import ROLES, SHA256
from edgewright.core.canonical import dumps
from edgewright.fleet.protocol.signature import sign

METHODS = ("get", "put", "post", "delete")
BODIES = {
    "/benches": {"sha256": SHA256, "query": ""},
    "/devices/{device}/attributes": {"attributes": {"site": "roof"}},
    "/devices/{device}/assignments/{model}": {},
    "/enrolment-tokens": {},
    "/groups/{name}": {"query": "site = lab"},
    "/labels": {"model": "digits", "samples": [{"sample": "0" * 64, "label": "1"}]},
    "/people": {"name": "new", "role": "viewer"},
    "/policies/{model}": {"policy": "on: drift severe"},
    "/retrainings": {"model": "digits"},
    "/retrainings/lease": {"worker": "w", "models": ["digits"]},
    "/retrainings/{retraining}/beat": {"worker": "w"},
    "/retrainings/{retraining}/steps": {"worker": "w", "step": "collect", "details": {}},
    "/retrainings/{retraining}/end": {"worker": "w", "state": "refused", "why": "no better"},
    "/rollouts": {"model": "digits", "version": 2, "query": "", "stages": [{"share": 1.0}]},
}


def routes(fleet):
    """Method, path and least role of every route, as the OpenAPI tells them."""
    paths = fleet.client.get("/api/v1/openapi.json").json()["paths"]
    return [(method, path, told["x-role"]) for path, methods in paths.items() for method, told in methods.items()]


def ask(fleet, method, path, token, **given):
    query = {"/explain": {"device": fleet.devices[0]}}.get(path, {})
    query = {"model": "digits"} if path in ("/telemetry", "/samples", "/samples/files") else query
    body = BODIES.get(path) if method in ("put", "post") else None
    return fleet.ask(method, fleet.path(path), token, params=query, json=body, **given)


def state(fleet):
    """All that the database holds, but for who asked when."""
    from edgewright.fleet.control.tables import METADATA

    with fleet.database.reading() as connection:
        return {table.name: connection.execute(table.select()).all() for table in METADATA.sorted_tables}


def test_the_contract_of_roles(fleet):
    found = routes(fleet)
    assert {path.split("/")[1] for _, path, _ in found} == {
        "alerts", "artifacts", "audit", "benches", "devices", "drift", "enrolment-tokens", "explain", "groups", "labels",
        "people", "policies", "retrainings", "rollouts", "samples", "telemetry",
    }  # fmt: skip
    for method, path, role in found:
        # A preview changes nothing.
        expected = "viewer" if method == "get" or path.endswith("/preview") else "operator"
        if path.startswith("/people") or path.endswith("/revoke"):
            expected = "admin"
        if path == "/samples/files":  # what people said, showed or wrote
            expected = "operator"
        assert role == expected, (method, path)


def test_a_role_reaches_what_it_may_and_nothing_else(fleet):
    fleet.rollout()
    fleet.ask("PUT", "/groups/beta", "operator", json={"query": ""})
    refused = allowed = 0
    for method, path, least in routes(fleet):
        for role in ROLES:
            before = state(fleet)
            answer = ask(fleet, method, path, role)
            if ROLES.index(role) < ROLES.index(least):
                assert (answer.status_code, answer.json()["code"]) == (403, "role"), (method, path, role)
                assert state(fleet) == before, (method, path, role)
                refused += 1
            else:
                assert answer.status_code in (200, 400, 404, 409), (method, path, role, answer.text)
                allowed += 1
    assert refused > 15
    assert allowed > 25


def strangers(fleet):
    """What is shown in place of a token that holds."""
    expired = fleet.people.make("expired", "admin", 0.5, "test")
    revoked = fleet.people.make("revoked", "admin", 1.0, "test")
    fleet.people.revoke("revoked", "test")
    fleet.clock.sleep(0.6 * 86400)
    fleet.tokens["admin"] = fleet.people.make("new admin", "admin", 1.0, "test")
    enrolment = fleet.store.make_token(60.0, "test")
    good = fleet.tokens["admin"]
    return {
        "nothing": {},
        "an empty token": {"Authorization": "Bearer "},
        "an unknown token": {"Authorization": "Bearer ew_" + "A" * 43},
        "an expired token": {"Authorization": f"Bearer {expired}"},
        "a revoked token": {"Authorization": f"Bearer {revoked}"},
        "an enrolment token": {"Authorization": f"Bearer {enrolment}"},
        "half a token": {"Authorization": f"Bearer {good[:30]}"},
        "a token and more": {"Authorization": f"Bearer {good} {good}"},
        "another scheme": {"Authorization": f"Basic {good}"},
        "no scheme": {"Authorization": good},
        "a token in a cookie": {"Cookie": f"token={good}"},
        "a token's digest": {"Authorization": "Bearer ew_" + "0" * 64},
        "an injection": {"Authorization": "Bearer ' or 1=1 --"},
    }


def test_who_shows_no_token_that_holds_gets_nowhere(fleet):
    fleet.rollout()
    found, shown = routes(fleet), strangers(fleet)
    before = state(fleet)
    for kind, headers in shown.items():
        for method, path, _ in found:
            answer = ask(fleet, method, path, None, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "token"), (kind, method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert state(fleet) == before


def test_a_device_that_signs_is_no_person(fleet, tmp_path):
    from edgewright.fleet.agent.identity import load_key, make_key
    from edgewright.fleet.disk import RealDisk
    from edgewright.fleet.protocol.enrolment import Enrolment

    (tmp_path / "device").mkdir()
    disk = RealDisk(tmp_path / "device")
    make_key(disk)
    key = load_key(disk)
    device = fleet.store.enrol(Enrolment(fleet.store.make_token(60.0, "test"), key.public, {}))
    for method, path, _ in routes(fleet):
        body = dumps(BODIES[path]) if path in BODIES and method in ("put", "post") else b""
        signed = sign(method.upper(), f"/api/v1{fleet.path(path)}", body, device, fleet.clock.now(), key.sign)
        assert fleet.ask(method, fleet.path(path), None, content=body, headers=dict(signed)).status_code == 401
    signed = sign("GET", "/v1/assignment", b"", device, fleet.clock.now(), key.sign)
    assert fleet.client.get("/v1/assignment", headers=dict(signed)).status_code == 200


def test_a_token_of_a_person_is_no_device(fleet):
    headers = {"Authorization": f"Bearer {fleet.tokens['admin']}"}
    for method, path in (("GET", "assignment"), ("POST", "reports"), ("POST", "telemetry"), ("POST", "key"), ("POST", "enrol")):
        assert fleet.client.request(method, f"/v1/{path}", headers=headers, content=b"{}").status_code in (400, 401)


def test_two_tokens_in_one_request_are_none(fleet):
    good = fleet.tokens["admin"]
    answer = fleet.client.get(
        "/api/v1/devices", headers=[("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    )
    assert answer.status_code == 401


def test_the_role_is_looked_at_before_what_was_sent(fleet):
    for content in (b"{", b"[" * 100_000, b"\xff" * 1000, b"x" * (1 << 20)):
        assert fleet.ask("POST", "/people", None, content=content).status_code == 401
        assert fleet.ask("POST", "/people", "operator", content=content).status_code == 403


@pytest.mark.parametrize("method", METHODS)
def test_an_address_that_is_none_tells_nothing(fleet, method):
    for path in ("", "/", "/nothing", "/devices/", "/devices/a/b/c/d", "/../v1/health", "/%2e%2e/openapi.json"):
        answer = fleet.ask(method, path, None)
        assert answer.status_code in (401, 404, 405), path
        assert set(answer.json()) == {"code", "error"}
