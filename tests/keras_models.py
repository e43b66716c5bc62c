"""Makes every Keras model of the tests in one process, since TensorFlow takes seconds to import.

Run as a script with a folder. Beside the models it leaves, in `job/NAME`, what the child process of ingest answers for a file.
"""

from __future__ import annotations

import shutil
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
        if name == "pair.tf":
            rows = np.random.default_rng(4).random((6, 4), np.float32)
            np.savez(folder / "job" / name / "samples.npz", left=rows, right=1 - rows)
        if name == "asked.tf":
            (folder / "job" / name / "shapes.json").write_text('{"z": [1, 4]}')
        tensorflow_job._main(folder / "job" / name, folder / name, kind, False)


def saved_models(folder: Path) -> None:
    """SavedModels that are good (`pair`: two inputs, one answer under two names, batches of 2) and that are refused."""
    root = tf.Module()
    root.weights = tf.Variable(np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32))
    root.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [1.0, 2.0], tf.int32, tf.float32), 0.0)

    def pair(right: Any, left: Any) -> Any:
        weighed = tf.nn.softmax(left @ root.weights)
        return {"weighed": weighed, "again": tf.identity(weighed), "apart": left - 2.0 * right}

    def save(name: str, signatures: Any) -> None:
        tf.saved_model.save(root, folder / f"{name}.tf", signatures=signatures)

    def serve(name: str, function: Any, *specs: Any) -> None:
        save(name, {"serving_default": tf.function(function, input_signature=list(specs))})

    both = tf.function(pair, input_signature=[tf.TensorSpec((2, 4), name=name) for name in ("right", "left")])
    row = tf.TensorSpec((None, 4), name="x")
    save("pair", {"serving_default": both})
    save("one", {"answer": both})
    save("two", {"answer": both, "other": both})
    save("none", {})
    serve("number", lambda x: {"y": tf.reduce_sum(x @ root.weights)}, row)
    serve("words", lambda text: {"y": tf.strings.length(text)}, tf.TensorSpec((None,), tf.string, name="text"))
    serve("unranked", lambda x: {"y": x * 2.0}, tf.TensorSpec(None, name="x"))
    serve("scalar", lambda x: {"y": x * 2.0}, tf.TensorSpec((), name="x"))
    serve("clash", lambda x: {"x": x * 2.0}, row)
    serve("free", lambda x: {"y": tf.reduce_mean(x, axis=1)}, tf.TensorSpec((None, None), name="x"))
    serve("idle", lambda: {"y": root.weights * 2.0})
    serve("table", lambda x: {"y": root.table.lookup(x)}, tf.TensorSpec((None, 3), tf.int32, name="x"))
    serve("asked", lambda x: {"y": x @ root.weights}, row)
    serve("lost", lambda x: {"y": x @ root.weights}, row)
    shutil.rmtree(folder / "lost.tf" / "variables")
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
