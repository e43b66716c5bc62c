"""ONNX Runtime's dynamic quantization, which its guide names for transformers: ranges of activations at run time."""

from __future__ import annotations

from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    ready, target = out / "prepared.onnx", out / "model.onnx"
    quant_pre_process(str(task.path("onnx")), str(ready), skip_symbolic_shape=True)
    quantize_dynamic(str(ready), str(target), per_channel=True, weight_type=QuantType.QInt8)
    ready.unlink()
    return target


if __name__ == "__main__":
    run(convert, "onnxruntime", "onnx")
