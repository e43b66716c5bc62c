"""An autoencoder of one MNIST digit: what it rebuilds badly is another digit. Judged by the AUC of its error."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.references.lenet5 import mnist
from benchmarks.references.reference import Arrays, Reference, take
from benchmarks.references.training import Schedule, as_is, train

DIGIT = 0
_SEARCH = 400  # a metric of one's own is computed thousands of times a candidate
_WIDTHS = (784, 128, 32, 8, 32, 128, 784)
_CODE = 5  # the ReLU after the 8 units, which are linear


class Autoencoder(nn.Module):
    """784-128-32-8-32-128-784; rebuilds images [n, 784] in 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(_WIDTHS):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        del layers[-1], layers[_CODE]
        self.layers = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Rebuild."""
        return self.layers(x)


def load(cache: Path) -> Reference:
    """Train, or load what was trained; `y` is 1 where an image shows another digit."""
    parts = {name: _flat(part) for name, part in mnist().items()}
    torch.manual_seed(0)
    module = Autoencoder()
    x = parts["train"]["x"][parts["train"]["y"] == 0]
    schedule = Schedule(epochs=40, batch=64, peak=2e-3, weight_decay=1e-4)
    train(module, x, x, schedule, nn.BCELoss(), as_is, cache / "autoencoder.pt")
    gates = (f"{__name__}:separation >= 99% of reference",)
    search = take(_thinned(parts["search"]), slice(_SEARCH))
    return Reference("autoencoder", module, {"x": x}, search, _thinned(parts["accept"]), gates, 0.97)


def separation(
    outputs: NDArray[Any], labels: NDArray[Any], inputs: Mapping[str, NDArray[Any]], columns: Mapping[str, NDArray[Any]]
) -> float:
    """AUC of the squared error of what is rebuilt: the chance that another digit has a larger one than this digit."""
    x = next(iter(inputs.values()))
    difference = outputs - x
    error = np.einsum("ij,ij->i", difference, difference)
    rank = np.empty(len(error))
    rank[np.argsort(error, kind="stable")] = np.arange(1, len(error) + 1)
    others = labels == 1
    count = int(others.sum())
    if count in (0, len(labels)):
        return 0.5
    return float((rank[others].sum() - count * (count + 1) / 2) / (count * (len(labels) - count)))


def _flat(part: Arrays) -> Arrays:
    return {"x": part["x"].reshape(len(part["x"]), -1), "y": (part["y"] != DIGIT).astype(np.int64)}


def _thinned(part: Arrays) -> Arrays:
    """All of the digit and the first of the others, about two of them for each."""
    same, others = np.flatnonzero(part["y"] == 0), np.flatnonzero(part["y"] == 1)
    return take(part, np.sort(np.r_[same, others[: 2 * len(same)]]))
