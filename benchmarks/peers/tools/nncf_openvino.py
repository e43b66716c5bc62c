"""NNCF's post-training quantization of an OpenVINO model, with its defaults."""

from __future__ import annotations

from pathlib import Path

import nncf
import openvino

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    x = task.x("calib")
    data = nncf.Dataset([{task.input: row[None]} for row in x])
    kind = nncf.ModelType.TRANSFORMER if task.metric == "cosine" else None
    model = openvino.convert_model(str(task.path("onnx")))
    openvino.save_model(nncf.quantize(model, data, subset_size=len(x), model_type=kind), str(out / "model.xml"))
    return out / "model.xml"


if __name__ == "__main__":
    run(convert, "nncf", "openvino")
