"""TFMOT's way beside the compiler's in one report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import edgewright
import numpy as np
import pytest
from edgewright.core.errors import UsageError
from sklearn.datasets import load_digits

MAKE = """
import sys
import keras, numpy as np
from keras import layers
from sklearn.datasets import load_digits
keras.utils.set_random_seed(3)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
model = keras.Sequential([
    layers.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(10, activation="softmax")
])
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
model.fit(x[:900], y[:900], batch_size=64, epochs=6, verbose=0)
model.save(sys.argv[1])
"""


def test_a_keras_step_is_judged_beside_the_plain_model(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    path = tmp_path / "digits.keras"
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", MAKE, str(path)], check=True, capture_output=True, env=quiet)
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
