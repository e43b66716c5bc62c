"""TFMOT's quantization-aware training, then TensorFlow's converter: labels of the training samples, one epoch, Adam."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from benchmarks.peers.child import run
from benchmarks.peers.task import Cannot, Task

_BATCH, _RATE = 64, 1e-5


def _network(task: Task) -> Any:
    """A model of Keras 3 does not load into Keras 2: built anew, with its weights."""
    if "weights" not in task.forms:
        return tf_keras.models.load_model(task.path("keras"), compile=False)
    if task.name != "mobilenet_v2":
        raise Cannot("loads files of Keras 2 only")
    with np.load(task.path("weights")) as archive:
        weights = [archive[name] for name in archive.files]
    size, classes = task.x("calib").shape[1], len(weights[-1])
    width = 0.35
    net = tf_keras.applications.MobileNetV2(input_shape=(size, size, 3), alpha=width, weights=None, classes=classes)
    net.set_weights(weights)
    return net


def convert(task: Task, out: Path) -> Path:
    tf_keras.utils.set_random_seed(0)
    data = task.data("train")
    net = tfmot.quantization.keras.quantize_model(_network(task))
    net.compile(tf_keras.optimizers.Adam(_RATE), tf_keras.losses.SparseCategoricalCrossentropy())
    net.fit(data["x"], data["y"], batch_size=_BATCH, epochs=1, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (out / "model.tflite").write_bytes(converter.convert())
    return out / "model.tflite"


if __name__ == "__main__":
    run(convert, "tensorflow-model-optimization", "tf-keras", "tensorflow")
