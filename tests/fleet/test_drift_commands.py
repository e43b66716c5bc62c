"""`edgewright drift` against a running server: what a person reads, what a program reads, and the file with pictures."""

from __future__ import annotations

import json

import pytest
from commands import Asked
from control.page.drifting import HOUR, LEAD_S, Drifting
from control.page.fleet import Fleet
from control.page.reading import Page
from control_plane import Control
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
