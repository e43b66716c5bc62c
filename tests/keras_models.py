"""Makes every Keras model of the tests in one process, since TensorFlow takes seconds to import.

Run as a script with a folder. Beside the models it leaves, in `job/NAME`, what the child process of ingest answers for a file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from edgewright.optimizer.ingest import tensorflow_job
from edgewright.optimizer.ingest.lean import lean

with lean():
    import keras
    import tensorflow as tf
    from keras import layers


def conversions(folder: Path) -> None:
    """`net`: what ingest must convert, in every format; `row` is sequential, `code` holds code of its own."""
    keras.utils.set_random_seed(3)
    x = layers.Input((12, 12, 3), name="picture")
    y = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y))
    y = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(layers.Activation("hard_swish")(y)))
    net = keras.Model(x, layers.Dense(5, activation="softmax")(y))
    for layer in net.layers:
        layer.set_weights([np.abs(np.random.default_rng(5).standard_normal(w.shape)) * 0.5 + 0.1 for w in layer.get_weights()])
    net.save(folder / "net.keras")
    net.save(folder / "net.h5")
    net.save_weights(folder / "net.weights.h5")
    (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    row = [layers.Input((12, 12, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(5)]
    keras.Sequential(row).save(folder / "row.keras")
    z = layers.Input((4,))
    code = keras.Model(z, layers.Lambda(lambda v: v * 2.0)(z))
    code.save(folder / "code.keras")
    code.save(folder / "code.h5")
    kinds: dict[str, Any] = {"net.tflite": "tflite", "net.keras": "keras", "row.keras": "keras"}
    for name, kind in kinds.items():
        (folder / "job" / name).mkdir(parents=True)
        tensorflow_job._main(folder / "job" / name, folder / name, kind, False)


def steps(folder: Path) -> None:
    """`small`: what a Keras step works on."""
    keras.utils.set_random_seed(3)
    x = layers.Input((8, 8, 1), name="picture")
    y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    z = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
    y = layers.GlobalAveragePooling2D()(layers.Add()([y, z]))
    small = keras.Model(x, layers.Dense(4, activation="softmax")(y))
    small.save(folder / "small.keras")
    small.save(folder / "small.h5")


def digits(folder: Path) -> None:
    """`digits`: a sequential model that tells digits apart."""
    from sklearn.datasets import load_digits

    keras.utils.set_random_seed(3)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x[:900], y[:900], batch_size=64, epochs=6, verbose=0)
    model.save(folder / "digits.keras")


if __name__ == "__main__":
    for make in (conversions, steps, digits):
        make(Path(sys.argv[1]))
