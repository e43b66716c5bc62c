"""TensorFlow's converter: full-integer kernels by its default optimization and a representative data set, float at the ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    source = task.path("keras", "saved_model")
    if source.is_file():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(source, compile=False))
    else:
        import tf_keras  # noqa: F401  # knows the optimizers that old SavedModels carry

        converter = tf.lite.TFLiteConverter.from_saved_model(str(source))
    x = task.x("calib")

    def samples() -> Iterator[list[Any]]:
        for row in x:
            yield [row[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    (out / "model.tflite").write_bytes(converter.convert())
    return out / "model.tflite"


if __name__ == "__main__":
    run(convert, "tensorflow", "keras")
