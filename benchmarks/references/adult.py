"""Census income: a 64-32 perceptron on one-hot and standardised columns; `sex` and `race` are kept to slice by."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.references.reference import DATA, Arrays, Reference, without
from benchmarks.references.training import Schedule, as_is, cross_entropy, train

_NUMBERS = (0, 2, 4, 10, 11, 12)  # age, final weight, years of education, capital gain and loss, hours a week
_NAMES = (1, 5, 6, 7, 8, 9, 13)  # work class, marital status, occupation, relationship, race, sex, country
_RACE, _SEX, _INCOME = 8, 9, 14
_SKEWED = (10, 11)
_SEARCH = 4000


class Perceptron(nn.Module):
    """Two hidden layers of 64 and 32 units; logits [n, 2]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify rows [n, features]."""
        return self.layers(x)


def load(cache: Path) -> Reference:
    """Train, or load what was trained."""
    rows, judged = _rows("adult.data"), _rows("adult.test")
    order = np.random.default_rng(0).permutation(len(rows))
    fitted = [rows[i] for i in order[_SEARCH:]]
    accept = _encode(judged, fitted)
    search = without(_encode([rows[i] for i in order[:_SEARCH]], fitted), accept)
    learned = without(without(_encode(fitted, fitted), accept), search)
    torch.manual_seed(0)
    module = Perceptron(learned["x"].shape[1])
    schedule = Schedule(epochs=15, batch=128, peak=2e-3, weight_decay=1e-2)
    train(module, learned["x"], learned["y"], schedule, cross_entropy(), as_is, cache / "adult.pt")
    gates = ("top1[sex] >= 99% of reference", "top1[race] report-only")
    return Reference("adult", module, learned, search, accept, gates, least=0.85)


def _rows(name: str) -> list[list[str]]:
    with (DATA / "adult" / name).open(encoding="utf-8") as file:
        next(file)
        return [row for row in csv.reader(file, skipinitialspace=True) if len(row) > _INCOME]


def _encode(rows: list[list[str]], fitted: list[list[str]]) -> Arrays:
    """Columns as float32 [n, features], scaled and listed by what `fitted` holds; income above 50,000 is class 1."""
    parts = []
    for column in _NUMBERS:
        values, known = (np.array([float(row[column]) for row in part]) for part in (rows, fitted))
        if column in _SKEWED:
            values, known = np.log1p(values), np.log1p(known)
        parts.append(((values - known.mean()) / known.std())[:, None])
    for column in _NAMES:
        names = np.array(sorted({row[column] for row in fitted}))
        parts.append(np.array([row[column] for row in rows])[:, None] == names)
    return {
        "x": np.concatenate(parts, axis=1).astype(np.float32),
        "y": np.array([row[_INCOME].startswith(">50K") for row in rows]).astype(np.int64),
        "sex": np.array([row[_SEX] for row in rows]),
        "race": np.array([row[_RACE] for row in rows]),
    }
