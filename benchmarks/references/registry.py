"""The references by name, and what one reaches on a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from edgewright.calibration.preprocess import Preprocessing

from benchmarks.references import adult, autoencoder, lenet5, resnet20, spoken_digits
from benchmarks.references.reference import Arrays, Reference

REFERENCES: Mapping[str, Callable[[Path], Reference]] = {
    "lenet5": lenet5.load,
    "spoken_digits": spoken_digits.load,
    "resnet20": resnet20.load,
    "adult": adult.load,
    "autoencoder": autoencoder.load,
}
_BATCH = 250


def score(reference: Reference, arrays: Arrays) -> float:
    """Share of right answers; for the autoencoder the AUC of its error."""
    preprocessing = Preprocessing.parse(reference.preprocess)
    outputs = []
    with torch.no_grad():
        for start in range(0, len(arrays["x"]), _BATCH):
            x = arrays["x"][start : start + _BATCH]
            outputs.append(reference.module(torch.from_numpy(preprocessing.apply(x))).numpy())
    answers = np.concatenate(outputs)
    if reference.name == "autoencoder":
        return autoencoder.separation(answers, arrays["y"], {"x": arrays["x"]}, {})
    return float((answers.argmax(axis=1) == arrays["y"]).mean())
