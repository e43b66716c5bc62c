"""`--audit`: samples that are set aside, by share, by number, or in a file of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(("amount", "wanted"), [("0.1", 0.1), ("200", 200)])
def test_a_part_of_the_data_is_set_aside_and_counted(
    compile: Run, amount: str, wanted: float, digits_arrays: Mapping[str, np.ndarray]
) -> None:
    answer = compile("--audit", amount, "--json")
    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    wanted = wanted if wanted >= 1 else round(wanted * len(digits_arrays["x"]))
    assert abs(report["data"]["splits"]["audit"] - wanted) <= 5
    assert any("audit" in note and "set aside" in note for note in report["notes"])


@pytest.fixture
def parts(digits_arrays: Mapping[str, np.ndarray], tmp_path: Path) -> Path:
    """A folder with rest.npz, audit.npz, and overlap.npz, which shares samples with the rest."""
    rows = {"rest": slice(0, 800), "audit": slice(800, None), "overlap": slice(700, None)}
    for name, part in rows.items():
        np.savez(tmp_path / f"{name}.npz", **{key: array[part] for key, array in digits_arrays.items()})
    return tmp_path


def test_a_file_of_its_own_is_counted(compile: Run, digits_arrays: Mapping[str, np.ndarray], parts: Path) -> None:
    answer = compile("--audit", parts / "audit.npz", "--json", data=parts / "rest.npz")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["data"]["splits"]["audit"] == len(digits_arrays["x"]) - 800


def test_samples_that_are_in_both_files_are_refused(compile: Run, parts: Path) -> None:
    compile("--audit", parts / "overlap.npz", data=parts / "rest.npz").refused("E-DATA", "audit file", "in the data file too")


@pytest.mark.parametrize("amount", ["0", "-1", "0.5", "2.5", "nan", "inf"])
def test_an_amount_that_makes_no_sense_is_refused(compile: Run, amount: str) -> None:
    compile("--audit", amount).refused("E-USAGE", "audit is", "at most 0.25", "whole number")


def test_a_file_that_is_not_there_is_refused(compile: Run) -> None:
    compile("--audit", "none.npz").refused("E-DATA", "none.npz")
