"""ONNX Runtime's static quantization as its guide says: prepared graph, QDQ, signed weights a channel, unsigned activations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """The calibration samples, one by one."""

    def __init__(self, name: str, x: np.ndarray) -> None:
        self.name = name
        self.rows: Iterator[np.ndarray] = iter(x)

    def get_next(self) -> dict[str, Any] | None:
        """The next, or None after the last."""
        row = next(self.rows, None)
        return None if row is None else {self.name: row[None]}


def convert(task: Task, out: Path) -> Path:
    source, ready, target = task.path("onnx"), out / "prepared.onnx", out / "model.onnx"
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(target),
        Reader(task.input, task.x("calib")),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    ready.unlink()
    return target


if __name__ == "__main__":
    run(convert, "onnxruntime", "onnx")
