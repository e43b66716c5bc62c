"""`edgewright check`: declarations told good or wrong without compiling, and the pre-commit hook that calls it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from edgewright.cli.main import group

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
GOOD = """
model = "digits.onnx"
data = "data.npz"
profiles = ["arm64-linux"]
gates = ["top1 >= -3pt"]
"""


@pytest.fixture
def declare(tmp_path: Path) -> Callable[[str, str], str]:
    """`declare(text, folder)`: a declaration in a folder of its own; its path from the working folder."""

    def write(text: str, folder: str = "project") -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edgewright.toml").write_text(text)
        return f"{folder}/edgewright.toml"

    return write


def test_a_good_declaration_needs_no_model_yet(edge: Run, declare: Run, tmp_path: Path) -> None:
    answer = edge("check", declare(GOOD))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "project/edgewright.toml: good, for arm64-linux (not there yet: project/digits.onnx, project/data.npz)\n"
    )
    (tmp_path / "project" / "digits.onnx").touch()
    (tmp_path / "project" / "data.npz").touch()
    again = edge("check", "--files", "project/edgewright.toml")
    assert (again.code, again.out) == (0, "project/edgewright.toml: good, for arm64-linux\n")


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        ("gates", "gate", "E-USAGE", ["unknown key 'gate'", "did you mean 'gates'?"]),
        ("top1", "top12x", "E-GATE", ["unknown metric 'top12x'", "did you mean 'top1'?"]),
        ('"arm64-linux"', '"arm65-linux"', "E-PROFILE", ["'arm65-linux'", "did you mean 'arm64-linux'?"]),
        ('"arm64-linux"', '"arm64-linux", "arm64-linux"', "E-USAGE", ["given twice"]),
        ("model =", 'pipelines = ["prune{amont=0.5}"]\nmodel =', "E-PASS", ["unknown option 'amont'", "'amount'"]),
        ("model =", 'recipes = ["tny"]\nmodel =', "E-USAGE", ["unknown recipe 'tny'", "'tiny'"]),
        ("model =", "model", "E-USAGE", ["is not TOML"]),
    ],
)
def test_what_is_wrong_is_told_with_its_file(
    edge: Run, declare: Run, before: str, after: str, kind: str, words: list[str]
) -> None:
    sentence = edge("check", declare(GOOD.replace(before, after))).refused(kind, "project/edgewright.toml", *words)
    assert sentence.count("project/edgewright.toml") == 1


def test_every_file_is_told_and_one_wrong_fails(edge: Run, declare: Run) -> None:
    wrong = [declare(GOOD.replace("top1", "top12x"), "a"), declare(GOOD.replace("-3pt", "-3pz"), "b")]
    answer = edge("check", wrong[0], declare(GOOD, "c"), wrong[1], "none.toml")
    assert answer.code == 1
    assert re.findall(r"^error\[(E-\w+)\].* ?(a|b|none)(?:/edgewright)?\.toml", answer.err, re.MULTILINE) == [
        ("E-GATE", "a"),
        ("E-GATE", "b"),
        ("E-USAGE", "none"),
    ]
    assert answer.out.startswith("c/edgewright.toml: good")


def test_files_that_are_asked_for_must_be_there(edge: Run, declare: Run) -> None:
    edge("check", "--files", declare(GOOD)).refused("E-USAGE", "project/digits.onnx", "model", "make or fetch it")


def test_json_tells_the_same(edge: Run, declare: Run) -> None:
    answer = edge("check", declare(GOOD), "none.toml", "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["ok"], [item["ok"] for item in told["declarations"]]) == (1, False, [True, False])
    assert told["declarations"][0] == {
        "file": "project/edgewright.toml",
        "ok": True,
        "profiles": ["arm64-linux"],
        "gates": ["top1 >= -3pt"],
        "missing": {"model": "project/digits.onnx", "data": "project/data.npz"},
    }
    assert told["declarations"][1]["code"] == "E-USAGE"


def test_the_hook_calls_a_command_that_is_there_on_the_files_that_are_meant() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, command = shlex.split(hook["entry"])
    assert program == "edgewright"
    assert command in group.list_commands(None)  # type: ignore[arg-type]
    files = re.compile(hook["files"])
    assert all(files.search(name) for name in ("edgewright.toml", "models/a/edgewright.toml", "edgewright-tiny.toml"))
    assert not any(files.search(name) for name in ("pyproject.toml", "my-edgewright.toml", "edgewright.toml.bak"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(hook["additional_dependencies"]) <= set(project["optional-dependencies"]["compiler"])
