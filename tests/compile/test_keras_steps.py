"""TFMOT's way beside the compiler's in one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.core.canonical import digest_file
from edgewright.core.errors import UsageError
from edgewright.optimizer.ingest import tensorflow_job
from sklearn.datasets import load_digits


@pytest.fixture
def converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow converts each file the first time alone."""
    original, made = tensorflow_job.convert_in_child, {}

    def convert(path: Path, *rest: Any) -> Any:
        key = digest_file(path)
        if key not in made:
            made[key] = original(path, *rest)
        return replace(made[key], model=made[key].model.clone())

    monkeypatch.setattr(tensorflow_job, "convert_in_child", convert)


@pytest.mark.usefixtures("converted_once")
def test_a_keras_step_is_judged_beside_the_plain_model(tfmot_files: Path, tmp_path: Path) -> None:
    path = tfmot_files / "digits.keras"
    x, y = load_digits(return_X_y=True)
    options: dict[str, Any] = {
        "data": {"x": (x / 16).astype(np.float32).reshape(-1, 8, 8, 1), "y": y},
        "profiles": "arm64-linux",
        "runtimes": "litert",
        "precisions": "int8",
        "gates": "top1 >= -4pt",
        "search_samples": 100,
        "keras_steps": "theirs: tfmot{kind=qat,epochs=1,batch=64}",
        "out": tmp_path / "dist",
        "store": tmp_path / "store",
        "ledger": tmp_path / "ledger.json",
    }
    result = edgewright.compile(path, **options)
    candidates = {item.key: item for target in result.report.targets for item in target.candidates}
    theirs, ours = candidates["litert/int8/theirs"], candidates["litert/int8"]
    assert theirs.size_bytes is not None
    assert ours.size_bytes is not None
    assert abs(theirs.size_bytes - ours.size_bytes) < 2000
    (variant,) = [item for item in result.report.variants if item.name == "theirs"]
    assert variant.pipeline == "tfmot{kind=qat,epochs=1,batch=64}"
    assert "tensorflow-model-optimization" in variant.passes[0].notes[-1]
    again = edgewright.compile(path, **options)
    (found,) = [item for item in again.report.variants if item.name == "theirs"]
    assert found.passes[0].seconds == variant.passes[0].seconds
    assert result.report.data.splits["train"] > 0


def test_a_keras_step_of_another_model_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    options = {"profiles": "x86-64-avx2", "store": tmp_path / "store", "out": tmp_path / "dist"}
    with pytest.raises(UsageError, match="no Keras model"):
        edgewright.compile(tmp_path / "model.onnx", data={"x": np.zeros((4, 2))}, keras_steps="tfmot", **options)
