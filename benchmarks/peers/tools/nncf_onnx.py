"""NNCF's post-training quantization of an ONNX model, with its defaults."""

from __future__ import annotations

from pathlib import Path

import nncf
import onnx

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    x = task.x("calib")
    data = nncf.Dataset([{task.input: row[None]} for row in x])
    kind = nncf.ModelType.TRANSFORMER if task.metric == "cosine" else None
    model = nncf.quantize(onnx.load(task.path("onnx")), data, subset_size=len(x), model_type=kind)
    onnx.save(model, out / "model.onnx")
    return out / "model.onnx"


if __name__ == "__main__":
    run(convert, "nncf", "onnx", "onnxruntime")
