"""`edgewright bench compare` on real files: what is planted is found, what is not is not, and every error is a sentence."""

from __future__ import annotations

import json
import sqlite3
from xml.etree import ElementTree

import numpy as np
import pytest
from edgewright.core.progress import Silent
from edgewright.optimizer.compare.looks import Looks
from edgewright.optimizer.compare.measuring import Turns, measure_in_turns
from edgewright.optimizer.compare.rules import parse_rules
from edgewright.runtimes.bench.opening import open_model


@pytest.fixture(scope="module")
def regression(builds, tmp_path_factory):
    """All outputs of a comparison with a loss, a slow-down of many layers and a larger file."""
    from edgewright.cli.main import main

    out = tmp_path_factory.mktemp("out")
    files = {"markdown": "c.md", "junit": "c.xml", "html": "c.html", "json": "c.json", "history": "h.sqlite", "trend": "t.png"}
    options = [f"--{name}={out / file}" for name, file in files.items()]
    rules = ["p50_ms > +5%", "top1 < -0.5pt", "size > +2%"]
    with pytest.raises(SystemExit) as ended:
        main(
            ["bench", "compare", str(builds / "base.onnx"), str(builds / "slow.onnx"), "--data", str(builds / "lost.npz")]
            + [part for rule in rules for part in ("--fail-on", rule)]
            + [*options, "--label", "c0ffee"]
        )
    return ended.value.code, out


def test_a_planted_loss_slow_down_and_growth_are_found(regression, check):
    code, out = regression
    found = json.loads((out / "c.json").read_text())
    check(found)
    assert code == 2
    assert found["status"] == "regression"
    statuses = {item["rule"]: item["status"] for item in found["findings"] if item["rule"]}
    assert statuses["top1 < -0.5pt"] == statuses["size > +2%"] == statuses["p50_ms > +5%"] == "regression"
    lost = next(item for item in found["findings"] if item["figure"] == "top1")
    assert lost["measured"] == pytest.approx(-0.05)
    assert lost["low"] < -0.05 < lost["high"] < -0.005
    assert found["conditions"]["looks"] == 1


def test_every_output_tells_of_it(regression):
    _, out = regression
    assert "**regression**" in (out / "c.md").read_text()
    suite = ElementTree.parse(out / "c.xml").getroot()  # noqa: S314 - our own file
    failed = {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert {"top1 < -0.5pt", "size > +2%", "p50_ms > +5%"} <= failed
    assert "Regression" in (out / "c.html").read_text()
    with sqlite3.connect(out / "h.sqlite") as database:
        assert database.execute("SELECT label, status FROM comparisons").fetchall() == [("c0ffee", "regression")]
    assert (out / "t.png").read_bytes().startswith(b"\x89PNG")


def test_equal_builds_show_no_regression(builds, run):
    rules = ("--fail-on", "top1 < -0.5pt", "--fail-on", "size > +0%", "--fail-on", "p50_ms > +300%")
    code, out, _ = run(builds / "base.onnx", builds / "same.onnx", "--data", builds / "lost.npz", *rules)
    assert code == 0
    assert "No regression." in out.splitlines()[-1]
    assert max(map(len, out.splitlines()[3:7])) <= 100


def test_json_goes_to_the_terminal_alone(builds, run, check):
    code, out, _ = run(builds / "base.onnx", builds / "worse.onnx", "--seconds", "0", "--fail-on", "size > +2%", "--json")
    found = json.loads(out)
    check(found)
    assert (code, found["status"]) == (0, "none")


def test_processes_are_started_in_turns_where_a_rule_asks(builds):
    files = (builds / "base.onnx", builds / "same.onnx")
    models = (open_model(files[0]), open_model(files[1]))
    rules = parse_rules(["memory > 10GB", "cold_start_ms > 600s"])
    found, conditions = measure_in_turns(Turns(files, models, (1, 1), 1.0, 0), rules, (), Looks((1,), 0.01), 0.05, Silent())
    assert [item.figure for item in found] == ["memory", "cold_start_ms"]
    assert all(item.base > 0 and item.head > 0 and item.bounded.n == 1 for item in found)
    # One pair bounds nothing.
    assert {item.judged.status for item in found} == {"undecided"}
    assert conditions["pairs"] == 1


def test_a_slice_is_judged_on_each_of_its_values(builds, run):
    options = ("--seconds", "0", "--data", builds / "lost.npz", "--fail-on", "top1[site] < -0.5pt", "--json")
    code, out, _ = run(builds / "base.onnx", builds / "worse.onnx", *options)
    found = json.loads(out)["findings"]
    assert code == 2
    assert {item["slice"] for item in found if item["figure"] == "top1"} == {None, "site=north", "site=south"}
    # Three judgements share the level.
    assert [item["confidence"] for item in found if item["figure"] == "top1"] == pytest.approx([1 - 0.05 / 3] * 3)


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 3)])
def test_what_few_samples_leave_open_is_said_and_fails_where_it_shall(builds, run, options, code):
    told = ("--seconds", "0", "--data", builds / "few.npz", "--fail-on", "top1 < -0.5pt", *options)
    found, out, _ = run(builds / "base.onnx", builds / "worse.onnx", *told)
    assert found == code
    assert "samples would decide" in out
    assert "No regression is shown" in out.splitlines()[-1]


def test_without_rules_a_metric_that_fits_is_shown_and_nothing_judged(builds, run):
    code, out, _ = run(builds / "base.onnx", builds / "worse.onnx", "--seconds", "0", "--data", builds / "lost.npz")
    assert code == 0
    assert "90.00 %" in out
    assert "Nothing was judged" in out.splitlines()[-1]


def test_a_candidate_that_answers_nan_is_a_regression(builds, run, tmp_path):
    import onnx

    broken = onnx.load(builds / "worse.onnx")
    weights = np.full((8, 4), np.nan, dtype=np.float32)
    broken.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(broken, tmp_path / "nan.onnx")
    told = ("--seconds", "0", "--data", builds / "lost.npz", "--fail-on", "top1 < -50pt")
    code, out, _ = run(builds / "base.onnx", tmp_path / "nan.onnx", *told)
    assert code == 2
    assert "NaN or infinity on 2000 of 2000 samples" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("base.onnx", "gone.onnx"), "cannot read"),
        (("base.onnx", "lost.npz"), "kind of model file"),
        (("base.onnx", "same.onnx", "--fail-on", "top1 < -1pt"), "add --data FILE"),
        (("base.onnx", "same.onnx", "--metric", "top1"), "add --data FILE"),
        (("base.onnx", "same.onnx", "--fail-on", "p90 > +5%"), "did you mean 'p90_ms'"),
        (("base.onnx", "same.onnx", "--trend", "t.svg"), "add --history"),
        (("base.onnx", "same.onnx", "--history", "h", "--trend", "t.gif"), "neither .png nor .svg"),
        (("base.onnx", "same.onnx", "--markdown", "base.onnx"), "would overwrite BASE"),
        (("base.onnx", "same.onnx", "--markdown", "o", "--junit", "o"), "would overwrite --markdown"),
        (("base.onnx", "same.onnx", "--alpha", "0.7"), "between 0 and 0.5"),
        (("base.onnx", "same.onnx", "--data", "lost.npz", "--fail-on", "top1[town] < -1pt"), "'town'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(builds, run, monkeypatch, arguments, told):
    monkeypatch.chdir(builds)
    code, out, error = run(*arguments, "--seconds", "0")
    assert (code, out) == (1, "")
    assert error.startswith("error[")
    assert told in error
    assert error.count("\n") == 1
