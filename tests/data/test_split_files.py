"""What a recipe asks of the splits: groups hold within a file and across files, named or taken from the gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from edgewright.calibration.dataset import read_column
from edgewright.calibration.splits import Splits
from edgewright.core.errors import DataError
from edgewright.ir.model import Model
from edgewright.optimizer.prepare import bind_data, open_data, split_data
from edgewright.optimizer.recipe import Recipe

TEXT = '<ir_version: 10, opset_import: ["" : 18]> g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }'


def _file(folder: Path, name: str, start: int, first: int) -> Path:
    """100 samples of 20 patients, numbered from `first`."""
    values = np.arange(start, start + 100, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    patients = np.array([f"p{first + row // 5}" for row in range(100)])
    np.savez(folder / name, x=values, y=np.arange(100) % 3, patient=patients, clinic=np.arange(100) % 3)
    return folder / name


def _split(model: Model, **options: Any) -> Splits:
    options = {"search_samples": 20, "calib_samples": 20} | options
    recipe = Recipe(model="m.onnx", profiles=("arm64-linux",), **options)
    return split_data(recipe, bind_data(recipe, open_data(recipe), model), model, 60)


def _is_apart(splits: Splits) -> bool:
    found = [set(read_column(part.data, "patient", part.indices).tolist()) for part in splits.parts() if len(part)]
    return len(set().union(*found)) == sum(map(len, found))


@pytest.fixture
def model() -> Model:
    return Model.from_bytes(onnx.parser.parse_model(TEXT).SerializeToString())


GROUPED = ({"group": "patient"}, {"gates": ("top1 by patient >= -5pt",)})


@pytest.mark.parametrize("asked", GROUPED)
def test_one_file(model: Model, tmp_path: Path, asked: dict[str, Any]) -> None:
    data = _file(tmp_path, "data.npz", 0, 0)
    assert _is_apart(_split(model, data=data, **asked))
    assert not _is_apart(_split(model, data=data))


@pytest.mark.parametrize("asked", GROUPED)
def test_files_of_their_own(model: Model, tmp_path: Path, asked: dict[str, Any]) -> None:
    data, accept = _file(tmp_path, "data.npz", 0, 0), _file(tmp_path, "accept.npz", 100, 20)
    assert _is_apart(_split(model, data=data, accept=accept, **asked))
    assert not _is_apart(_split(model, data=data, accept=accept))
    mixed = _file(tmp_path, "mixed.npz", 200, 19)
    with pytest.raises(DataError, match="'patient' in the calib file, the first 'p19', are in the accept file too"):
        _split(model, data=mixed, accept=data, **asked)
    with pytest.raises(DataError, match="'patient' in the audit file, the first 'p19', are in the data file too"):
        _split(model, data=data, audit=mixed, **asked)


def test_the_column_that_is_asked_for_wins(model: Model, tmp_path: Path) -> None:
    data = _file(tmp_path, "data.npz", 0, 0)
    splits = _split(model, data=data, group="clinic", gates=("top1 by patient >= -5pt",), search_samples=30, calib_samples=30)
    found = [set(read_column(part.data, "clinic", part.indices).tolist()) for part in splits.parts()]
    assert sorted(map(len, found)) == [1, 1, 1]
