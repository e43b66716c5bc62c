"""`edgewright drift` against a running server: what a person reads, what a program reads, and the file with pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from commands import Asked
from control.page.drifting import HOUR, LEAD_S, Drifting
from control.page.fleet import Fleet
from control.page.reading import Page
from control_plane import Control
from edgewright.cli.drift import drift
from edgewright.core.errors import UsageError
from edgewright.fleet.control.database import MEMORY


@pytest.fixture(scope="module")
def control():
    found = Control(MEMORY)
    yield found
    found.close()


@pytest.fixture(scope="module")
def world(control):
    """A model that drifts on one batch of its devices, and one that nothing happens to."""

    def move(seconds):
        control.clock.ahead_s += seconds

    control.clock.ahead_s = -5 * HOUR - LEAD_S
    fleet = Fleet(control.database)
    calm = Drifting(fleet, lambda seconds: None, devices=2, of_batch=1, model="keywords", seed=1)
    found = Drifting(fleet, move, devices=6, of_batch=2)
    for _ in range(5):
        calm.pass_hours(1)
        found.pass_hours(1, samples=500, labels=40, shift=1.5)
    control.clock.ahead_s = 0.0
    return found


@pytest.fixture(scope="module")
def viewer(control, world, tmp_path_factory):
    return Asked(control, tmp_path_factory.mktemp("viewer") / "token", "viewer")


@pytest.fixture(scope="module")
def operator(control, world, tmp_path_factory):
    return Asked(control, tmp_path_factory.mktemp("operator") / "token", "operator")


def test_a_report_says_what_where_since_when_and_how_much(viewer):
    told = viewer("drift", "report", "--model", "digits", "--since", "1d", code=2)
    assert max(map(len, told.splitlines())) <= 100
    words = " ".join(told.split())
    assert "drift of digits, version 4, raspberry-pi-4b: severe" in told
    assert "Severe drift in devices with batch = 7" in words
    assert "lie above" in words
    assert "if only the inputs changed" in words
    assert "neither inputs nor confidence need to, and without labels nothing here can see it" in words
    assert "agree with the answers" in words
    assert "attribute batch = 7" in words


def test_a_model_that_nothing_happens_to(viewer):
    told = viewer("drift", "report", "--model", "keywords")
    assert "drift of keywords, version 4, raspberry-pi-4b: no drift found" in told
    assert "No drift is proven. Farthest from its reference in the last hour is" in " ".join(told.split())


def test_a_program_reads_the_same(viewer, world):
    found = json.loads(viewer("drift", "report", "--model", "digits", "--json", code=2))
    assert found["artifact"]["sha256"] == world.sha256
    assert found["summary"][0].startswith("Severe drift in devices with batch = 7")
    (drifting, *_) = found["drifting"]
    assert (drifting["scope"], drifting["newest"]["measure"]) == ("attribute batch = 7", "input x[3]")
    assert drifting["newest"]["low"] < drifting["newest"]["distance"] < drifting["newest"]["high"]
    same = viewer("drift", "report", "--model", "digits", "--sha256", world.sha256, "--json", code=2)
    assert json.loads(same)["artifact"] == found["artifact"]


def test_a_file_with_pictures(viewer, tmp_path):
    file = tmp_path / "made" / "drift.html"
    told = viewer("drift", "report", "--model", "digits", "--html", file, code=2)
    assert f"with pictures: {file}" in told
    shown = Page(file.read_text())
    assert shown.tags.count("svg") > 10
    assert "script" not in shown.tags
    assert "Severe drift in devices with batch = 7" in shown.words
    assert json.loads(viewer("drift", "report", "--model", "digits", "--html", file, "--json", code=2))["model"] == "digits"


def test_alerts_are_listed_and_acknowledged(viewer, operator):
    told = viewer("drift", "list")
    assert told.index("digits") < told.index("keywords")
    number = json.loads(viewer("drift", "list", "--json"))["alerts"][-1]["id"]
    with pytest.raises(UsageError, match="needs the role operator"):
        viewer("drift", "acknowledge", number)
    assert operator("drift", "acknowledge", number).startswith(f"alert {number} is acknowledged by the operator: ")
    assert "acknowledged" in viewer("drift", "list", "--model", "digits")
    assert "no alert is open" in viewer("drift", "list", "--model", "keywords")
    assert "no alert is closed" in viewer("drift", "list", "--model", "keywords", "--closed")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("report", "--model", "nothing"), "nothing was counted of a model 'nothing'"),
        (("report", "--model", "digits", "--since", "soon"), "is no time"),
        (("report", "--model", "digits", "--since", "400d"), "since_s"),
        (("report", "--model", "digits", "--sha256", "cd" * 32), "no device counted the artifact cdcdcdcdcdcd"),
        (("acknowledge", "999"), "there is no alert 999"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(operator, arguments, sentence):
    with pytest.raises(UsageError, match=sentence) as found:
        operator("drift", *arguments)
    assert "\n" not in str(found.value)


def test_other_distances_and_corrections_are_told_and_called_what_they_are(viewer):
    told = viewer(
        "drift", "report", "--model", "digits", "--distance", "hellinger", "--test", "g", "--correction", "bh", code=2
    )
    words = " ".join(told.split())
    assert "hellinger" in words
    assert "p by g, bh" in words
    assert "false discovery rate: the share of false ones among those found, which is weaker" in words
    plain = json.loads(viewer("drift", "report", "--model", "digits", "--json", code=2))
    assert all(item["chosen"] is None for item in plain["measures"])
    found = {}
    for correction in ("holm", "bh", "none"):
        ask = ("--distance", "total-variation", "--correction", correction, "--json")
        measures = json.loads(viewer("drift", "report", "--model", "digits", *ask, code=2))["measures"]
        found[correction] = {item["newest"]["measure"]: item["chosen"] for item in measures if item["chosen"]}
    moved = found["holm"]["input x[3]"]
    assert moved["low"] <= moved["value"] <= moved["high"]
    assert moved["p"] < 0.01
    assert all(found["none"][name]["p"] <= found["bh"][name]["p"] <= found["holm"][name]["p"] for name in found["holm"])
    unit = json.loads(viewer("drift", "report", "--model", "digits", "--distance", "wasserstein", "--json", code=2))["measures"]
    assert next(item for item in unit if item["newest"]["measure"] == "input x[3]")["chosen"]["value"] > 0.2
    with pytest.raises(UsageError, match="belong to a --distance"):
        viewer("drift", "report", "--model", "digits", "--correction", "bh")


def test_a_report_says_what_can_be_seen_and_how_soon(viewer):
    sights = json.loads(viewer("drift", "report", "--model", "digits", "--json", code=2))["sights"]
    assert [item["distance"] for item in sights] == [0.05, 0.1, 0.2]
    assert sights[0]["power"] < sights[1]["power"] <= sights[2]["power"]
    assert sights[2]["windows"] <= sights[1]["windows"]
    assert sights[0]["windows"] is None  # as far as is allowed
    assert "shows it in" in viewer("drift", "report", "--model", "digits", code=2)


def test_samples_are_compared_in_all_respects(tmp_path):
    draw = np.random.default_rng(1)
    same, other = (draw.normal(size=(120, 2)) for _ in range(2))
    turned = draw.normal(size=(120, 1)) @ [[1.0, -1.0]] + 0.1 * other  # each column as before, together another
    for name, values in (("old", same), ("same", other), ("turned", turned)):
        np.savez(tmp_path / f"{name}.npz", x=values, embedding=values)
    old, new = tmp_path / "old.npz", tmp_path / "turned.npz"
    run = CliRunner()
    found = json.loads(run.invoke(drift, ["compare", str(new), str(old), "--json"], catch_exceptions=False).output)
    assert found["p"] < 0.01
    alike = run.invoke(drift, ["compare", str(tmp_path / "same.npz"), str(old), "--array", "embedding", "--json"])
    assert json.loads(alike.output)["p"] > 0.05
    linear = run.invoke(drift, ["compare", str(new), str(old), "--linear"])
    assert "squared discrepancy" in linear.output
    with pytest.raises(UsageError, match="has no array 'y'; it has embedding, x"):
        run.invoke(drift, ["compare", str(new), str(old), "--array", "y"], catch_exceptions=False)
