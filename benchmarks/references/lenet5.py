"""MNIST: LeNet-5 (LeCun 1998) with 61,706 parameters, ReLU and max pooling in place of tanh and trained pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.references.reference import DATA, Reference
from benchmarks.references.training import Schedule, cross_entropy, train

_TRAIN = 56000
_SHIFT = 2


class LeNet5(nn.Module):
    """Logits [n, 10] of images [n, 1, 28, 28] in 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        return self.head(self.features(x).flatten(1))


def load(cache: Path) -> Reference:
    """Train, or load what was trained."""
    parts = mnist()
    torch.manual_seed(0)
    module = LeNet5()
    x, y = parts["train"]["x"], parts["train"]["y"]
    train(module, x, y, Schedule(epochs=8, batch=64, peak=3e-3), cross_entropy(), shift, cache / "lenet5.pt")
    gates = ("top1 >= 99% of reference",)

    return Reference("lenet5", module, parts["train"], parts["search"], parts["accept"], gates, 0.989)


def mnist() -> dict[str, dict[str, NDArray[Any]]]:
    """Images [n, 1, 28, 28] in 0 to 1 and digits of each split; the test images are those that judge."""
    with np.load(DATA / "mnist" / "mnist.npz") as archive:
        x, y, judged_x, judged_y = (archive[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    learned, search = np.split(np.random.default_rng(0).permutation(len(x)), [_TRAIN])
    splits = {"train": (x[learned], y[learned]), "search": (x[search], y[search]), "accept": (judged_x, judged_y)}
    return {
        name: {"x": (images[:, None] / np.float32(255)).astype(np.float32), "y": digits.astype(np.int64)}
        for name, (images, digits) in splits.items()
    }


def shift(x: NDArray[Any], generator: np.random.Generator, done: float) -> Tensor:
    """Each image moved by up to two pixels."""
    padded = np.pad(x, ((0, 0), (0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT)))
    down, right = generator.integers(0, 2 * _SHIFT + 1, (2, len(x)))
    return torch.from_numpy(
        np.stack([image[:, a : a + 28, b : b + 28] for image, a, b in zip(padded, down, right, strict=True)])
    )
