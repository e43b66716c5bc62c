"""ai-edge-quantizer's static int8 recipe (int8 weights a channel, int8 activations) on a float TFLite file."""

from __future__ import annotations

from pathlib import Path

from ai_edge_quantizer import quantizer, recipe

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    made = quantizer.Quantizer(str(task.path("tflite")), quantization_recipe=recipe.static_wi8_ai8())
    x = task.x("calib")
    name = _input_name(task.path("tflite"))
    statistics = made.calibrate({None: [{name: row[None]} for row in x]})
    made.quantize(statistics).export_model(str(out / "model.tflite"), overwrite=True)
    return out / "model.tflite"


def _input_name(path: Path) -> str:
    """The argument of the file's signature, or its tensor where it has none."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    signatures = interpreter.get_signature_list()
    if signatures:
        return str(next(iter(signatures.values()))["inputs"][0])
    return str(interpreter.get_input_details()[0]["name"])


if __name__ == "__main__":
    run(convert, "ai-edge-quantizer")
