"""`opt` with passes that train: without data, with data, and before `quantize`."""

from __future__ import annotations

import json

import pytest

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
