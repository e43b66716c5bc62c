"""AIMET ONNX: cross-layer equalization, min-max ranges, exported as QDQ with its integers."""

from __future__ import annotations

from pathlib import Path

import onnx
from aimet_onnx import QuantizationSimModel
from aimet_onnx.cross_layer_equalization import equalize_model

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    model = onnx.load(task.path("onnx"))
    equalize_model(model)
    simulated = QuantizationSimModel(model, param_type="int8", activation_type="int8")
    simulated.compute_encodings([{task.input: row[None]} for row in task.x("calib")])
    onnx.save(simulated.to_onnx_qdq(prequantize_constants=True), out / "model.onnx")
    return out / "model.onnx"


if __name__ == "__main__":
    run(convert, "aimet-onnx", "onnxruntime")
