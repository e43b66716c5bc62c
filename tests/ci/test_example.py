"""examples/digits-ci holds together: what it trains can be compiled, and its CI's files ask for what there is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from click.testing import CliRunner
from edgewright.cli.check import check

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "digits-ci"
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
GITLAB = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text("utf-8"))[".edgewright"]


def test_what_it_trains_can_be_compiled_and_tells_digits_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgewright.toml").write_text((EXAMPLE / "edgewright.toml").read_text())
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE / "train.py"), run_name="__main__")
    done = CliRunner().invoke(check, ["--files", "edgewright.toml"], standalone_mode=False)
    assert done.return_value == 0, done.output
    with np.load("test.npz") as test:
        (scores,) = onnxruntime.InferenceSession("digits.onnx").run(None, {"x": test["x"]})
        assert (scores.argmax(1) == test["y"]).mean() > 0.9


def test_its_workflow_gives_inputs_that_the_action_has() -> None:
    workflow = yaml.safe_load((EXAMPLE / ".github" / "workflows" / "edgewright.yml").read_text("utf-8"))
    (given,) = [step["with"] for step in workflow["jobs"]["edgewright"]["steps"] if "/edgewright@" in step["uses"]]
    assert set(given) <= set(ACTION["inputs"])


def test_its_gitlab_job_gives_variables_that_the_template_has() -> None:
    job = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text("utf-8"))["edgewright"]
    assert set(job["variables"]) <= set(GITLAB["variables"])


def test_the_page_names_every_input_output_and_variable() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == set(ACTION["inputs"])
    told = re.search(r"^Outputs: (.*)\. The", PAGE, re.MULTILINE)
    assert told is not None
    assert set(re.findall(r"`([^`]+)`", told[1])) == set(ACTION["outputs"])
    assert set(re.findall(r"`(EDGEWRIGHT_\w+)`", PAGE)) == {*GITLAB["variables"], "EDGEWRIGHT_GITLAB_TOKEN"}
