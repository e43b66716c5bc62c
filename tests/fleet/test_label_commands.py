"""`edgewright labels` and `samples`: from what devices sent, over a CSV that a person fills in, to a data set."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from commands import Asked
from control.device import Device
from control_plane import Control
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import DataError, UsageError
from edgewright.fleet.agent.identity import load_identity
from edgewright.fleet.protocol.assignment import Wanted
from edgewright.fleet.telemetry import sample_file

N = 6


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    found = Control(tmp_path_factory.mktemp("control") / "data")
    yield found
    found.close()


@pytest.fixture(scope="module")
def device(control, tmp_path_factory):
    found = Device(tmp_path_factory.mktemp("device") / "data")
    found.enrol(control)
    control.store.assign(load_identity(found.disk).device, Wanted("filled", "ab" * 32), "test")
    return found


@pytest.fixture(scope="module")
def asked(control, tmp_path_factory):
    return Asked(control, tmp_path_factory.mktemp("me") / "token", "operator")


def send(device, model, shapes=((1, 3),) * N):
    for number, shape in enumerate(shapes):
        about = {
            "artifact": "ab" * 32, "at": 7200.0 + number, "confidence": 0.25, "consent": "A. Person", "model": model,
            "predicted": 1, "reasons": ["random", "low confidence"], "upload": True,
        }  # fmt: skip
        arrays = {"input.x": np.full(shape, number, np.float32), "output.y": np.zeros((1, 2), np.float32)}
        assert device.server.send_sample(sample_file.pack(arrays, about))


def test_what_a_person_fills_in_becomes_a_data_set(asked, device, tmp_path):
    send(device, "filled", [(1, 3)] * N + [(1, 4)])
    sheet = tmp_path / "labels.csv"
    told = asked("labels", "list", "--model", "filled", "--unlabelled", "--csv", sheet)
    assert len(told.splitlines()) == 1 + N + 1
    with sheet.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["device"] for row in rows} == {load_identity(device.disk).device}
    assert rows[0]["at"].startswith("1970-01-01T02:00:0")
    for number, row in enumerate(rows):
        row["label"] = "" if number == 0 else ("cat", "dog")[number % 2]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    push = ("labels", "push", sheet, "--model", "filled", "--classes", "cat,dog")
    assert f"{N:,} labels of filled, {N:,} of them news" in asked(*push)
    assert "were pushed before" in asked(*push)
    (left,) = json.loads(asked("labels", "list", "--model", "filled", "--unlabelled", "--json"))["samples"]
    assert left["id"] == rows[0]["sample"]
    look = tmp_path / "look.npz"
    assert json.loads(asked("samples", "export", "--model", "filled", "--unlabelled", "--out", look, "--json"))["samples"] == 1
    with np.load(look, allow_pickle=False) as found:
        assert found["sample"].tolist() == [left["id"]]
        assert "x" in found.files
        assert "y" not in found.files
    out = tmp_path / "new.npz"
    told = json.loads(asked("samples", "export", "--model", "filled", "--out", out, "--json"))
    assert told["samples"] + len(told["passed_over"]) == N
    with np.load(out, allow_pickle=False) as found:
        assert set(found.files) == {"x", "y", "sample", "device", "at", "artifact", "confidence", "reasons"}
        assert found["x"].dtype == np.float32
        labels = {row["sample"]: int(row["label"] == "dog") for row in rows[1:]}
        assert dict(zip(found["sample"], found["y"], strict=True)).items() <= labels.items()
    data = open_dataset(out)
    assert len(data) == told["samples"]
    assert data.has_labels


def test_answers_are_pushed_with_times_as_people_write_them(asked, device, tmp_path):
    name = load_identity(device.disk).device
    sheet = tmp_path / "answers.csv"
    sheet.write_text(f"device,at,predicted,label\n{name},1970-01-01T02:00:00Z,1,0\n{name}, 7300.5 ,1,1\n")
    found = json.loads(asked("labels", "push", sheet, "--model", "timed", "--json"))
    assert (found["rows"], found["is_new"]) == (2, True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "0 rows"),
        ("sample,label\n", "0 rows"),
        ("sample,sample\na,b\n", "a column twice"),
        ("a,b\n1,2\n", "has the columns a, b"),
        ("sample,label\nabc,1\n", "row 1: 'abc' is no sample"),
        (f"sample,label\n{'0' * 64},\n", "no label in any row"),
        (f"sample,label\n{'0' * 64},cat\n", "row 1: the label 'cat' is neither a number nor one of --classes"),
        (f"sample,label\n{'0' * 64},1,2\n", "row 1 .* as many values"),
        (f"sample,label\n{'0' * 64}\n", "row 1 .* as many values"),
        ("device,at,predicted,label\nd,noon,1,1\n", "row 1: the time 'noon' is no time"),
        ("device,at,predicted,label\nd,1,one,1\n", "row 1: 'one' is neither a class number"),
        ("device,at,predicted,label\nd,1,1,1\n", "row 1: no device 'd' has enrolled"),
        ('sample,label\n"a,1\n', "is no CSV"),
    ],
)
def test_a_file_that_cannot_be_taken_is_one_sentence(asked, tmp_path, content, sentence):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(UsageError, match=sentence):
        asked("labels", "push", tmp_path / "labels.csv", "--model", "digits")


def test_without_labels_there_is_nothing_to_export(asked, tmp_path):
    with pytest.raises(DataError, match="no such samples with inputs"):
        asked("samples", "export", "--model", "nothing", "--out", tmp_path / "new.npz")
