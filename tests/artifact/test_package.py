"""What a compile puts into an artifact beside the model: tolerances that can tell answers apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.core.executor import TensorSpec
from edgewright.core.manifest import DataRecord, SourceRecord
from edgewright.optimizer.package import Origin, _vectors
from edgewright.optimizer.trial import Trial

N = 100
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
SHARE = np.random.default_rng(1).uniform(size=(N, 3)).astype(np.float32)


def vectors(precision: Any = "int8", **outputs: np.ndarray) -> Any:
    specs = tuple(TensorSpec(name, array.dtype.name, (1, *array.shape[1:])) for name, array in outputs.items())
    origin = Origin(
        "tiny", SourceRecord("tiny", "onnx", "0" * 64), DataRecord("data", "1" * 64), 0, None,
        (TensorSpec("x", "float32", (1, 4)),), specs, {},
    )  # fmt: skip
    split = Split("search", open_dataset({"x": X}), tuple(range(N)))
    return _vectors(origin, Trial("onnxruntime", precision, "target", outputs=outputs), split)


def test_a_small_output_beside_a_large_one_is_not_overlooked() -> None:
    made = vectors(share=SHARE, large=SHARE * 1000)
    answers = dict(made.outputs)
    assert made.mismatch(answers) is None
    assert "output 'share'" in made.mismatch({**answers, "share": 1 - answers["share"]})
    assert "output 'share'" in made.mismatch({**answers, "share": np.zeros_like(answers["share"])})
    assert made.mismatch({**answers, "large": answers["large"] + 1}) is None


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_large_offset_does_not_widen_the_tolerance(precision: Any) -> None:
    made = vectors(precision, y=SHARE + 1000)
    tolerance = made.tolerances["y"]
    assert tolerance.absolute + tolerance.relative * 1001 <= np.ptp(SHARE) / 4 * 1.01
    assert made.mismatch({"y": np.full_like(made.outputs["y"], 1000.5)}) is not None


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_output_that_never_varies_has_a_tolerance_all_the_same(value: float) -> None:
    made = vectors("float32", y=np.full((N, 2), value, np.float32))
    assert made.mismatch({"y": made.outputs["y"] * np.float32(1.0001)}) is None
    assert made.mismatch({"y": made.outputs["y"] + 1}) is not None
    assert vectors(y=np.array([[0], [255]] * (N // 2), np.uint8)).tolerances["y"].absolute == pytest.approx(0.05 * 255)
