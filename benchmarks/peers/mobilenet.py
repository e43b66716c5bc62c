"""MobileNetV2 of Keras (width 0.35, 48x48), trained on CIFAR-10: no package carries trained weights of it.

python -m benchmarks.peers.mobilenet --cache DIR [--epochs 8] [--images 40000]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import training_images

WIDTH, SIZE, CLASSES = 0.35, 48, 10
TRAINED = 40_000  # the training images after these calibrate
_BATCH, _RATE = 64, 2e-3
_MOMENTUM = 0.99  # of the moving statistics: Keras' 0.999 for this network has not forgotten its start after one epoch
_AT_LEAST = 0.6  # of the images that it was not trained on right, or nothing is written


def file_of(cache: Path) -> Path:
    return cache / "mobilenet_v2.keras"


def network() -> Any:
    """The untrained network: images [n, 48, 48, 3] in -1 to 1, probabilities [n, 10]."""
    import keras

    return keras.applications.MobileNetV2(input_shape=(SIZE, SIZE, 3), alpha=WIDTH, weights=None, classes=CLASSES)


def train(cache: Path, epochs: int, count: int = TRAINED) -> None:
    """Train with Adam and a rate that falls to nothing, on mirrored and shifted images; the file appears when all is done.

    Raises RuntimeError where it learned too little to be worth a comparison.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    images, labels = training_images(count)

    def prepared(image: Any, label: Any) -> tuple[Any, Any]:
        padded = tf.pad(image, ((4, 4), (4, 4), (0, 0)), mode="REFLECT")
        cut = tf.image.random_flip_left_right(tf.image.random_crop(padded, (32, 32, 3)))
        return tf.image.resize(tf.cast(cut, tf.float32), (SIZE, SIZE), "bicubic") / 127.5 - 1, label

    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(count, seed=0).map(prepared).batch(_BATCH)
    steps = epochs * -(-count // _BATCH)
    net = network()
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=_RATE, warmup_steps=steps // 20)
    net.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    net.fit(data, epochs=epochs, shuffle=False, verbose=2)  # the dataset shuffles
    unseen, classes = training_images(2000, TRAINED)
    resized = tf.image.resize(tf.cast(unseen, tf.float32), (SIZE, SIZE), "bicubic") / 127.5 - 1
    right = float(np.mean(net.predict(resized, verbose=0).argmax(1) == classes))
    print(f"{right:.1%} of {len(classes)} images right that it was not trained on", flush=True)
    if right < _AT_LEAST:
        raise RuntimeError(f"MobileNetV2 learned too little: {right:.1%} right, not {_AT_LEAST:.0%}; train it for longer")
    part = file_of(cache).with_suffix(".part.keras")
    net.save(part)
    np.savez(cache / "mobilenet_v2.npz", *net.get_weights())
    part.replace(file_of(cache))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=TRAINED)
    options = parser.parse_args()
    train(options.cache, options.epochs, options.images)


if __name__ == "__main__":
    main()
