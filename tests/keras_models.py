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
    net.export(folder / "net.tf", verbose=False)
    saved_models(folder)
    kinds: dict[str, Any] = {"net.tflite": "tflite", "net.keras": "keras", "row.keras": "keras"}
    kinds |= {path.name: "saved_model" for path in folder.glob("*.tf")}
    for name, kind in kinds.items():
        (folder / "job" / name).mkdir(parents=True)
        tensorflow_job._main(folder / "job" / name, folder / name, kind, False)


def saved_models(folder: Path) -> None:
    """SavedModels that are good (two inputs and outputs, batches of 2), that would act, and that have nothing to serve."""
    root = tf.Module()
    root.weights = tf.Variable(np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32))

    def pair(right: Any, left: Any) -> Any:
        return {"weighed": tf.nn.softmax(left @ root.weights), "apart": left - 2.0 * right}

    def writer(x: Any) -> Any:
        tf.io.write_file("canary", "written")
        return {"y": x @ root.weights}

    def typed(function: Any, batch: int | None, *names: str) -> Any:
        return tf.function(function, input_signature=[tf.TensorSpec((batch, 4), name=name) for name in names])

    made = {"pair": typed(pair, 2, "right", "left"), "writer": typed(writer, None, "x")}
    for name, function in made.items():
        tf.saved_model.save(root, folder / f"{name}.tf", signatures={"serving_default": function})
    tf.saved_model.save(root, folder / "one.tf", signatures={"answer": made["pair"]})
    tf.saved_model.save(root, folder / "two.tf", signatures={"answer": made["pair"], "other": made["pair"]})
    tf.saved_model.save(root, folder / "none.tf", signatures={})
    (folder / "broken.tf").mkdir()
    (folder / "broken.tf" / "saved_model.pb").write_bytes(b"no such thing")


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
