"""A control plane with two devices, an artifact, a rollout, telemetry, an alert and a person of each role; and its client."""

from __future__ import annotations

import json
from urllib.parse import quote

from edgewright.core.canonical import digest
from edgewright.fleet.control.app import make_app
from edgewright.fleet.control.attributes import set_attributes
from edgewright.fleet.control.database import Database
from edgewright.fleet.control.people import People
from edgewright.fleet.control.store import Store
from edgewright.fleet.control.tables import ALERTS, ARTIFACTS
from edgewright.fleet.protocol.enrolment import Enrolment
from edgewright.fleet.protocol.offer import Offer
from edgewright.fleet.protocol.report import Report
from edgewright.fleet.protocol.window import LATENCY_BINS, Batch, Window
from starlette.testclient import TestClient

API = "/api/v1"
SHA256 = digest(b"an artifact")
ROOT_SHA256 = digest(b"a root")
ROLES = ("viewer", "operator", "admin")
PLAN = {"model": "digits", "version": 2, "query": "site = lab", "stages": [{"count": 1}, {"share": 1.0}]}


class Fleet:
    def __init__(self, where, clock):
        self.clock = clock
        self.database = Database(where, clock)
        self.store, self.people = Store(self.database), People(self.database)
        app = make_app(self.database, clock, "http://127.0.0.1:1/repository", root_sha256=ROOT_SHA256)
        self.client = TestClient(app, base_url="http://control.test", raise_server_exceptions=False)
        self.tokens = {role: self.people.make(f"the {role}", role, 1.0, "test") for role in ROLES}
        self.devices = [self._enrolled(number) for number in (1, 2)]
        for version in (1, 2):
            self._offer(version)
        self._alert()

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *given):
        self.client.__exit__(*given)
        self.database.close()

    def ask(self, method, path, token=None, **given):
        """The answer to a request; `path` behind /api/v1, `token` a role or a token. What is no text is sent as an escape."""
        headers = {} if token is None else {"Authorization": f"Bearer {self.tokens.get(token, token)}"}
        if given.get("json") is not None:
            headers["Content-Type"] = "application/json"
            given["content"] = json.dumps(given["json"])
        given.pop("json", None)
        return self.client.request(method, API + path, headers={**headers, **given.pop("headers", {})}, **given)

    def rollout(self, **changes):
        """The number of a new rollout."""
        answer = self.ask("POST", "/rollouts", "operator", json={**PLAN, **changes})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def path(self, template, rollout=1):
        """The address of a route, of something that is there."""
        names = {
            "device": self.devices[0], "model": "digits", "name": "beta", "rollout": str(rollout), "verb": "pause",
            "alert": "1", "retraining": "1", "bench": "1",
        }  # fmt: skip
        for name, value in names.items():
            template = template.replace(f"{{{name}}}", quote(value, safe=""))
        return template

    def _enrolled(self, number):
        secret = self.store.make_token(60.0, "test")
        facts = {"arch": "aarch64", "profile": "pi", "host": f"pi-{number}"}
        device = self.store.enrol(Enrolment(secret, number.to_bytes(32, "big"), facts))
        set_attributes(self.store, device, {"site": "lab"}, "test")
        self.store.take(Report(device, "1-a", 1, "digits", SHA256, None, "Idle", "SUCCESSFUL", "", 0.0))
        latency = (9, *([0] * (LATENCY_BINS - 1)))
        window = Window("digits", SHA256, 10, 20, 1, 9, 9, 0, (0, 0, 0, 0), latency, ((4, 5),))
        self.store.take_windows(device, Batch("stream", ((1, window.encode()),)))
        return device

    def _alert(self):
        """An alert as the engine opens one."""
        evidence = {"sentence": "It drifts.", "compared": {"distance": 0.4, "low": 0.3, "high": 0.5}, "devices": self.devices}
        values = {
            "key": "digits|input x|fleet", "model": "digits", "sha256": SHA256, "measure": "input x", "scope": "fleet",
            "severity": "severe", "state": "open", "first_at": self.clock.now(), "last_at": self.clock.now(), "windows": 1,
            "evidence": json.dumps(evidence),
        }  # fmt: skip
        with self.database.transaction() as connection:
            connection.execute(ALERTS.insert().values(**values))

    def _offer(self, version):
        sha256 = SHA256 if version == 1 else digest(str(version).encode())
        offer = Offer(
            "digits", version, "pi", "aarch64", ("asimd",), "onnxruntime", "1.20", "int8", 1000, sha256
        ).to_json()  # fmt: skip
        values = {
            "name": f"digits/pi/{version}.ewa", "model": "digits", "version": version, "profile": "pi", "is_canary": False,
            "sha256": sha256, "length": 1000, "offer": json.dumps(offer), "first_seen_at": 0.0,
        }  # fmt: skip
        with self.database.transaction() as connection:
            connection.execute(ARTIFACTS.insert().values(**values))
