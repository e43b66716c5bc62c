"""`edgewright compile edgewright.toml`: what is declared, what flags override, and every way to write it wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgewright.optimizer.recipe import Recipe
from edgewright.optimizer.recipes import RECIPES
from edgewright.optimizer.variants import variants_of

Run = Callable[..., Any]
GOOD = """
model = "digits.onnx"
data = "data.npz"
profiles = ["arm64-linux"]
gates = ["top1 >= -3pt"]
runtimes = ["onnxruntime"]
precisions = ["float32"]
search-samples = 64
calib_samples = 32
"""


@pytest.fixture
def recipe(edge: Run, digits: tuple[Path, Path], tmp_path: Path, store: Path) -> Run:
    """`recipe(text, *flags)`: compile by a recipe that lies in a folder of its own, beside model and data."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(digits[0], folder / "digits.onnx")
    shutil.copy(digits[1], folder / "data.npz")

    def run(text: str | bytes, *flags: Any) -> Any:
        (folder / "edgewright.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return edge("compile", "project/edgewright.toml", "--out", "out", "--store", store, *flags)

    return run


def test_a_recipe_is_declared_from_its_own_folder(recipe: Run) -> None:
    answer = recipe(GOOD)
    assert answer.code == 0
    assert answer.written == ["digits-arm64-linux.ewa", "measurements.json", "report.html", "report.json"]


def test_flags_override_what_is_declared(recipe: Run) -> None:
    answer = recipe(GOOD, "--gate", "top1 >= -5pt", "--name", "mine", "--precision", "float16", "--json")
    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    assert report["gates"] == ["top1 >= -5pt"]
    assert [item["precision"] for item in report["targets"][0]["candidates"]] == ["float32", "float16"]
    assert "mine-arm64-linux.ewa" in answer.written


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('outt = "x"', ["edgewright.toml", "unknown key 'outt'", "did you mean 'out'?"]),
        ("[modell]\nx = 1", ["unknown key 'modell'", "did you mean 'model'?"]),
        ('seed = "x"', ["seed must be a whole number", "'x'"]),
        ("seed = true", ["seed must be a whole number"]),
        ("threads = 1.5", ["threads must be a whole number"]),
        ('trust = "yes"', ["trust must be true or false"]),
        ("out = 3", ["out must be a text"]),
        ("labels = 3", ["labels must be a text"]),
        ('shapes = { x = "1x1" }', ["shapes must be a table of lists of sizes"]),
        ('shapes = { x = [1, "a", 8, 8] }', ["shapes must be a table of lists of sizes"]),
        ("shapes = { x = [1, 0, 8, 8] }", ["shapes must be a table of lists of sizes"]),
        ("inputs = { x = 1 }", ["inputs must be a table of names of arrays"]),
        ("search_samples = 10", ["'search_samples' twice"]),
        ("threads = 0", ["threads is 0"]),
        ('objective = "latencyy"', ["unknown objective 'latencyy'", "did you mean 'latency'?"]),
        ('name = "../up"', ["the name '../up'", "letters, digits"]),
        ('recipes = ["smal"]', ["unknown recipe 'smal'", "did you mean 'small'?"]),
        ('recipes = ["small"]\nbudget = 10', ["budget must be a text"]),
        ('budget = "10m"', ["--budget is given and nothing trains"]),
        ("= =", ["is not TOML", "line 10", "correct it there"]),
        ("data = 'again'", ["is not TOML"]),
    ],
)
def test_a_line_that_is_wrong_is_named(recipe: Run, line: str, words: list[str]) -> None:
    recipe(f"{GOOD}{line}\n").refused("E-USAGE", *words)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('["arm64-linux"]', "[1]", ["profiles must be a list of texts"]),
        ('["float32"]', '["float33"]', ["unknown precision 'float33'", "did you mean 'float32'?"]),
        ('["onnxruntime"]', '["onnxruntme"]', ["unknown runtime 'onnxruntme'", "did you mean 'onnxruntime'?"]),
        ('model = "digits.onnx"', "", ["names no model", 'add `model = "FILE"`']),
        ('data = "data.npz"', "", ["no data are given", "--data FILE"]),
        ('profiles = ["arm64-linux"]', "", ["no device profile is given", "--profile"]),
    ],
)
def test_a_value_that_is_wrong_is_named(recipe: Run, before: str, after: str, words: list[str]) -> None:
    recipe(GOOD.replace(before, after)).refused("E-USAGE", *words)


def test_pipelines_are_declared_and_checked_before_any_work(recipe: Run) -> None:
    recipe(f"{GOOD}pipelines = ['quantize,finetune']\n").refused("E-PASS", "'finetune' after fold-bn")
    answer = recipe(f"{GOOD}pipelines = ['mine: canonicalize']\n", "--json")
    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    assert [(item["name"], item["pipeline"]) for item in report["variants"]] == [("mine", "canonicalize,fold-bn")]
    assert [item["variant"] for item in report["targets"][0]["candidates"]] == ["", "mine"]


def test_the_named_recipes_are_listed_with_texts_that_compile_reads(edge: Run) -> None:
    told = edge("recipes")
    listed = json.loads(edge("recipes", "--json").out)
    assert set(listed) == set(RECIPES)
    for name, item in listed.items():
        assert f"--pipeline '{item['pipeline']}'" in told.out
        given = {"data": "d", "profiles": ("p",)}
        (copied,) = variants_of(Recipe("m", **given, pipelines=(f"{name}: {item['pipeline']}",)))[1:]
        assert copied == variants_of(Recipe("m", **given, recipes=(name,)))[1]


def test_the_documentation_shows_the_named_recipes_as_they_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
    for name, item in RECIPES.items():
        assert f"| `{name}` | `{item.text}` |" in text
    pipelines = re.findall(r"--pipeline '([^']+)'|pipelines = \[\"([^\"]+)\"", text)
    assert len(pipelines) == 2
    for given in pipelines:
        assert variants_of(Recipe("m", data="d", profiles=("p",), pipelines=("".join(given),)))[1].trains


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x = " + b"[" * 5000])
def test_what_is_no_toml_is_refused(recipe: Run, content: bytes) -> None:
    recipe(content).refused("E-USAGE", "edgewright.toml is not TOML")


def test_a_recipe_that_is_not_there_is_refused(edge: Run, tmp_path: Path) -> None:
    edge("compile", "none.toml").refused("E-USAGE", "none.toml", "No such file", "check the path")
    (tmp_path / "folder.toml").mkdir()
    edge("compile", "folder.toml").refused("E-USAGE", "folder.toml", "Is a directory")


def test_a_flag_that_is_wrong_is_refused_beside_a_good_recipe(recipe: Run) -> None:
    recipe(GOOD, "--gate", "tpo1 >= -1pt").refused("E-GATE", "unknown metric 'tpo1'", "did you mean 'top1'?")
