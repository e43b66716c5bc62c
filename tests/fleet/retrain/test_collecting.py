"""From samples to arrays: what the deployed version takes decides which samples fit, not what one device sent."""

from __future__ import annotations

import numpy as np
from edgewright.core.executor import TensorSpec
from edgewright.fleet.retrain.collecting import collect
from edgewright.fleet.retrain.ports import Labelled
from edgewright.fleet.telemetry.sample_file import pack

FIXED = [TensorSpec("x", "float32", (1, 4))]
FREE = [TensorSpec("x", "float32", (None, None))]


def sample(number, x, sha256="new", label="1"):
    return Labelled(f"{number:064x}", sha256, label, True, pack({"input.x": x}, {"number": number}))


def collected(tmp_path, samples, inputs):
    told = collect(samples, inputs, {"new"}, tmp_path / "new.npz", tmp_path / "earlier.npz")
    return told, {path.stem: np.load(path)["x"] for path in tmp_path.glob("*.npz")}


def test_samples_that_the_model_does_not_take_throw_out_no_others(tmp_path):
    bad = [
        sample(0, np.zeros((1, 5), np.float32)),
        sample(1, np.zeros((1, 4), np.float64)),
        sample(2, np.zeros((1, 4, 1), np.float32)),
        sample(3, np.zeros((2, 4), np.float32)),
    ]
    good = [sample(9 + at, np.full((1, 4), at, np.float32), "new" if at % 2 else "old") for at in range(6)]
    told, arrays = collected(tmp_path, [*bad, *good], FIXED)
    assert told == {"new": 3, "earlier": 3, "left_out": 4}
    assert arrays["new"].tolist() == [[at] * 4 for at in (1.0, 3.0, 5.0)]
    assert arrays["earlier"].tolist() == [[at] * 4 for at in (0.0, 2.0, 4.0)]


def test_where_a_size_is_free_it_is_that_of_most(tmp_path):
    samples = [sample(0, np.zeros((1, 5), np.float32)), *(sample(at, np.ones((1, 4), np.float32)) for at in (1, 2, 3))]
    told, arrays = collected(tmp_path, samples, FREE)
    assert told == {"new": 3, "earlier": 0, "left_out": 1}
    assert arrays["new"].shape == (3, 4)
    told, arrays = collected(tmp_path, [sample(0, np.zeros((1, 4), np.float64))], FREE)
    assert (told, arrays) == ({"new": 0, "earlier": 0, "left_out": 1}, {})
