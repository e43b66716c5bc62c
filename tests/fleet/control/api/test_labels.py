"""Samples and labels over the API: who may see what, pages, sizes, and refusals in one sentence."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from control.api.fleet import SHA256
from edgewright.core.canonical import digest
from edgewright.fleet.control.api.guard import MAX_BODY_BYTES
from edgewright.fleet.control.samples import Samples
from edgewright.fleet.protocol.sample import About
from edgewright.fleet.telemetry import sample_file


def keep(fleet, number=0):
    about = {
        "artifact": SHA256, "at": 10.0, "confidence": 0.25, "consent": "A. Person", "model": "digits", "predicted": 1,
        "reasons": ["random"], "upload": True,
    }  # fmt: skip
    data = sample_file.pack({"input.x": np.full(2, number, np.float32)}, about)
    with fleet.database.transaction() as connection:
        assert Samples(fleet.database).keep(connection, fleet.devices[0], About.read(data), data)
    return digest(data), data


def push(fleet, rows, role="operator", key="samples", **given):
    return fleet.ask("POST", "/labels", role, json={"model": "digits", key: rows}, **given)


def test_a_label_finds_its_sample_and_the_file_is_for_operators(fleet):
    name, data = keep(fleet)
    (shown,) = fleet.ask("GET", "/samples?model=digits", "viewer").json()["samples"]
    assert (shown["id"], shown["label"], shown["bytes"]) == (name, None, len(data))
    assert fleet.ask("GET", "/samples/files?model=digits", "viewer").status_code == 403
    assert fleet.ask("GET", "/samples/files?model=digits", "operator").json() == {"samples": [], "next": None}
    assert push(fleet, [{"sample": name, "label": "2"}]).json()["changed"] == 1
    assert push(fleet, [{"sample": name, "label": "2"}]).json()["is_new"] is False
    (found,) = fleet.ask("GET", "/samples/files?model=digits", "operator").json()["samples"]
    assert (found["label"], base64.b64decode(found["file"])) == ("2", data)
    assert fleet.ask("GET", "/samples?model=digits&state=unlabelled", "viewer").json()["samples"] == []
    assert fleet.ask("GET", "/audit", "viewer").json()["entries"][-1]["action"] == "push-labels"


def test_pages_go_through_all_samples_once(fleet):
    names = sorted(keep(fleet, number)[0] for number in range(5))
    push(fleet, [{"sample": name, "label": "1"} for name in names])
    for path in ("/samples", "/samples/files"):
        seen, after = [], ""
        while after is not None:
            page = fleet.ask("GET", path, "operator", params={"model": "digits", "limit": 2, "after": after}).json()
            seen += [item["id"] for item in page["samples"]]
            after = page["next"]
        assert seen == names


def test_a_push_may_be_larger_than_other_requests(fleet):
    name, _ = keep(fleet)
    body = json.dumps({"model": "digits", "samples": [{"sample": name, "label": "1"}] * 1000}).encode()
    assert len(body) > MAX_BODY_BYTES
    told = {"Content-Type": "application/json"}
    assert fleet.ask("POST", "/labels", "operator", content=body, headers=told).json()["rows"] == 1000
    too_many = json.dumps({"model": "digits", "samples": [{"sample": name, "label": "1"}] * 180_000}).encode()
    answer = fleet.ask("POST", "/labels", "operator", content=too_many)
    assert (answer.status_code, answer.json()["code"]) == (413, "size")
    assert fleet.ask("POST", "/people", "admin", content=body).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        {}, {"model": "digits"}, {"model": "digits", "samples": []},
        {"model": "digits", "samples": [{"sample": "a", "label": "1"}]},
        {"model": "digits", "samples": [{"sample": "0" * 64, "label": "1"}]}, {"model": "digits", "more": 1},
        {"model": "digits", "samples": [{"sample": "0" * 64, "label": "cat"}]},
        {"model": "digits", "answers": [{"device": "d", "at": -1.0, "predicted": 1, "label": 1}]},
        {"model": "digits", "answers": [{"device": "nobody", "at": 1.0, "predicted": 1, "label": 1}]},
        {"model": "digits", "answers": [{"device": "d", "at": 1.0, "predicted": 1.5, "label": 1}]},
        {"model": "digits", "answers": [{"device": "d", "at": 1.0, "predicted": 1, "label": 1}],
         "samples": [{"sample": "0" * 64, "label": "1"}]},
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_in_a_sentence(fleet, body):
    keep(fleet)
    answer = fleet.ask("POST", "/labels", "operator", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert fleet.ask("GET", "/samples?model=digits&state=labelled", "viewer").json()["samples"] == []


def test_answers_are_taken(fleet):
    row = {"device": fleet.devices[0], "at": 15.0, "predicted": 1, "label": 0}
    assert push(fleet, [row, {**row, "sha256": SHA256}], key="answers").json()["rows"] == 2
