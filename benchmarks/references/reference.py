"""What every reference offers: a trained module, and data for training, choosing and judging."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

Arrays = Mapping[str, NDArray[Any]]
DATA = Path(os.environ.get("EDGEWRIGHT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Reference:
    """A model and what it is judged by.

    `train`, `search` and `accept` hold arrays of equal length by name: `x` for the model, `y` labels, every other one a
    column to slice by. No sample is in two of them, and `accept` took no part in anything that was chosen. `preprocess` is
    what turns `x` into the module's input, `augment` names the function that varies it in training.
    `least` is what the module must reach on `accept`, `gates` are those of the headline.
    """

    name: str
    module: nn.Module
    train: Arrays
    search: Arrays
    accept: Arrays
    gates: tuple[str, ...]
    least: float
    preprocess: str = ""
    augment: str | None = None


def take(arrays: Arrays, index: NDArray[Any] | slice) -> Arrays:
    """The samples of `index`, in that order."""
    return {name: np.ascontiguousarray(array[index]) for name, array in arrays.items()}


def without(arrays: Arrays, others: Arrays) -> Arrays:
    """The samples whose `x` is none of the others': people with the same answers are in both files of the census."""
    known = {row.tobytes() for row in others["x"]}
    return take(arrays, np.array([row.tobytes() not in known for row in arrays["x"]]))
