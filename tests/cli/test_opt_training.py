"""`opt` with passes that train: without data, with data, and before `quantize`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("torch")


def test_pruning_needs_no_data(edge, digits):
    answer = edge(
        "opt", digits[0], "--pipeline", "prune{amount=0.4},sparsify{amount=0.5},fold-bn", "--json", "--out", "out/m.onnx"
    )
    assert answer.code == 0, answer
    told = json.loads(answer.out)
    assert told["macs"] < 0.6 * 24 * 64 * 9 + 0.6 * 24 * 16 * 10 + 1
    notes = " ".join(note for step in told["passes"] for note in step["notes"])
    assert "importance by l2, since taylor needs data" in notes
    assert "since there are no data to train with" in notes
    assert answer.written == ["m.onnx"]


def test_training_needs_data(edge, digits):
    edge("opt", digits[0], "--pipeline", "finetune{epochs=1}", "--out", "out/m.onnx").refused("E-DATA", "no samples")


def test_data_are_for_training_and_for_calibration(edge, digits):
    pipeline = "prune{amount=0.3},finetune{epochs=1},fold-bn,quantize"
    flags = ("--data", digits[1], "--labels", "y", "--profile", "x86-64-avx2", "--calib-samples", "32", "--json")
    answer = edge("opt", digits[0], "--pipeline", pipeline, *flags)
    assert answer.code == 0, answer
    told = json.loads(answer.out)
    assert [step["pass"] for step in told["passes"]] == ["prune{amount=0.3}", "finetune{epochs=1}", "fold-bn", "quantize"]
    assert told["operators"]["QuantizeLinear"] > 0


def test_int8_of_a_model_for_one_sample_at_a_time_is_trained_in_batches(edge, digits, model):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"])]
    weights = np.random.default_rng(0).normal(0, 0.1, (64, 10)).astype(np.float32)
    fixed = model(nodes, {"x": [1, 1, 8, 8]}, {"y": [1, 10]}, {"shape": np.array([1, 64]), "w": weights})
    flags = ("--data", digits[1], "--labels", "y", "--profile", "x86-64-avx2", "--calib-samples", "32", "--json")
    answer = edge("opt", fixed, "--pipeline", "quantize{mode=qat,epochs=1}", *flags)
    assert answer.code == 0, answer
    assert "1 epoch(s)" in " ".join(json.loads(answer.out)["passes"][0]["notes"])


@pytest.mark.parametrize("mode", ["static", "weight-only"])
def test_data_let_errors_of_rounded_weights_cancel(edge, digits, mode):
    flags = ("--data", digits[1], "--labels", "y", "--profile", "arm64-linux", "--calib-samples", "32")
    made = []
    for rounding in ("compensated", "nearest"):
        answer = edge(
            "opt", digits[0], "--pipeline", f"quantize{{mode={mode},rounding={rounding}}}", *flags, "--out", "out/m.onnx"
        )
        assert answer.code == 0, answer
        tensors = onnx.load("out/m.onnx").graph.initializer
        made.append({item.name: numpy_helper.to_array(item) for item in tensors if item.name.endswith("/weights")})
    assert made[0].keys() == made[1].keys()
    assert any((made[0][name] != made[1][name]).any() for name in made[0])
