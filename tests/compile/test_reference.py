"""What the source model's own answers say of labels and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.core.errors import DataError

QUICK: dict[str, Any] = {
    "profiles": ["arm64-linux"],
    "gates": ["top1 >= -3pt"],
    "precisions": ("float32",),
    "runtimes": ("onnxruntime",),
    "search_samples": 64,
    "calib_samples": 32,
}


def _compile(digits: tuple[Path, Path], folder: Path, change: Any, **options: Any) -> Any:
    data = dict(np.load(digits[1]))
    places = {"out": folder / "out", "store": digits[0].parent / "store", "ledger": folder / "ledger.jsonl"}
    return edgewright.compile(digits[0], data=change(data), **(QUICK | places | options))


def test_labels_of_another_order_are_refused(digits: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no more than guessing among 10 classes"):
        _compile(digits, tmp_path, lambda data: {"x": data["x"], "y": (data["y"] + 1) % 10})
    assert not list((tmp_path / "out").glob("*"))


def test_the_reference_is_told(digits: tuple[Path, Path], tmp_path: Path) -> None:
    result = _compile(digits, tmp_path, lambda data: {"x": data["x"], "y": data["y"]})
    assert any("the source model is right on 9" in note for note in result.report.notes)


def test_float32_is_tried_as_the_baseline_though_not_asked_for(digits: tuple[Path, Path], tmp_path: Path) -> None:
    result = _compile(digits, tmp_path, lambda data: {"x": data["x"], "y": data["y"]}, precisions=("float16",))
    target = result.report.targets[0]
    assert {item.precision for item in target.candidates} == {"float32", "float16"}
    assert target.winner is not None
    assert target.winner.precision == "float16"
    assert target.baseline == "onnxruntime/float32"
