"""neural-compressor 2.6, the last with an ONNX part: static quantization with its defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neural_compressor import PostTrainingQuantConfig, quantization

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


class Loader:
    """The calibration samples, one by one."""

    batch_size = 1

    def __init__(self, name: str, x: Any) -> None:
        self.name, self.x = name, x

    def __iter__(self) -> Iterator[Any]:
        for row in self.x:
            yield {self.name: row[None]}, 0


def convert(task: Task, out: Path) -> Path:
    x = task.x("calib")
    wanted = PostTrainingQuantConfig(approach="static", calibration_sampling_size=[len(x)])
    made = quantization.fit(str(task.path("onnx")), wanted, calib_dataloader=Loader(task.input, x))
    made.save(str(out / "model.onnx"))
    return out / "model.onnx"


if __name__ == "__main__":
    run(convert, "neural-compressor", "onnxruntime", "onnx")
