"""What `edgewright.compile` takes from Python: near enough is taken, anything else is one sentence."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.core.errors import DataError, UsageError
from edgewright.optimizer.arguments import recipe_of
from edgewright.optimizer.recipe import Recipe

GOOD: dict[str, Any] = {"data": "x.npz", "profiles": "arm64-linux"}


def test_one_text_stands_for_a_list_and_a_text_for_a_path() -> None:
    given = {"gates": "top1 >= -1pt", "precisions": "int8", "runtimes": "litert", "classes": "cat,dog"}
    recipe = recipe_of(
        "m.onnx", {**GOOD, **given, "out": "o", "store": Path("s"), "measurements": "m.json", "ledger": "l.jsonl"}
    )
    assert recipe.profiles == ("arm64-linux",)
    assert (recipe.gates, recipe.precisions, recipe.runtimes) == (("top1 >= -1pt",), ("int8",), ("litert",))
    assert (recipe.out, recipe.store, recipe.measurements, recipe.ledger) == tuple(map(Path, ("o", "s", "m.json", "l.jsonl")))
    assert recipe.classes == ("cat", "dog")
    assert recipe_of("m.onnx", {**GOOD, "profiles": Path("my/board.toml")}).profiles == ("my/board.toml",)
    assert recipe_of("m.onnx", {**GOOD, "seed": np.int64(3), "shapes": {"x": [1, 8]}}).shapes == {"x": (1, 8)}
    assert recipe_of("m.onnx", {**GOOD, "out": None, "name": None}) == Recipe("m.onnx", data="x.npz", profiles=("arm64-linux",))


def test_a_pair_is_inputs_and_labels() -> None:
    x, y = np.zeros((3, 2)), np.arange(3)
    assert recipe_of("m.onnx", {**GOOD, "data": (x, y)}).data == {"x": x, "y": y}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"profile": "arm64-linux"}, "unknown option 'profile'; did you mean 'profiles'?"),
        ({"profiles": 3}, "profiles is 3 of type int; give a text or a list of texts."),
        ({"profiles": {"arm64-linux": 1}}, "profiles is a value of type dict; give"),
        ({"gates": [1]}, "gates is a value of type list; give a text or a list of texts."),
        ({"precisions": 8}, "precisions is 8 of type int"),
        ({"out": 7}, "out is 7 of type int; give a text or a path."),
        ({"store": ["s"]}, "store is a value of type list"),
        ({"measurements": True}, "measurements is True of type bool"),
        ({"data": [1, 2]}, "data is a value of type list; give a path"),
        ({"accept": [1, 2]}, "accept is a value of type list; give a path"),
        ({"data": (1, 2, 3)}, "data is a tuple of 3; give (x, y)"),
        ({"audit": True}, "audit is True of type bool"),
        ({"name": 4}, "name is 4 of type int; give a text."),
        ({"preprocess": {"scale": 2}}, "preprocess is a value of type dict; give a text."),
        ({"seed": 1.5}, "seed is 1.5 of type float; give a whole number."),
        ({"threads": True}, "threads is True of type bool; give a whole number."),
        ({"search_samples": "many"}, "search_samples is 'many' of type str; give a whole number."),
        ({"trust": "yes"}, "trust is 'yes' of type str; give True or False."),
        ({"inputs": [("a", "b")]}, "inputs is a value of type list; give a mapping"),
        ({"shapes": {"x": 3}}, "shapes is a value of type dict; give a mapping"),
        ({"shapes": {"x": (1, "8")}}, "a size in shapes is '8' of type str"),
        ({"shapes": {"x": (1, 0)}}, "each must be at least 1"),
        ({"classes": 10}, "classes is 10 of type int; give a list of names"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(option: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        edgewright.compile("m.onnx", **{**GOOD, **option})
    assert words in str(caught.value)
    assert not re.search(r"[.!?] [A-Z]", str(caught.value))


def test_what_is_right_goes_on_to_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no file or folder x\.npz"):
        edgewright.compile("m.onnx", out="o", store="s", **GOOD)


def test_the_documentation_names_every_option() -> None:
    told = edgewright.compile.__doc__ or ""
    for field in dataclasses.fields(Recipe):
        assert re.search(rf"\b{field.name}\b", told + " out"), field.name
