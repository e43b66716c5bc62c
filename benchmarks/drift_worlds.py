"""Streams in which the world changes: a model, what it was released on, and windows of what comes after.

`covariate` streams are made so that only the mix of what was known changes (the assumption of every estimate of accuracy
without labels); `unseen` ones bring what the model was never shown, `real` ones are recordings, in which anything may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from edgewright.stats.drift_power import design_effect
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.references.reference import DATA

Kind = Literal["covariate", "unseen", "real"]
_WEEK = 336  # half hours
_KNOWN_WEEKS = 27


@dataclass(frozen=True)
class Piece:
    """Samples: inputs [n, ...] as the model gets them, its probabilities [n, classes], and what is true [n]."""

    x: NDArray[Any]
    scores: NDArray[Any]
    y: NDArray[np.int64]
    what: str = ""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which answers [n] are right."""
        return np.asarray(self.scores.argmax(axis=1) == self.y)


@dataclass(frozen=True)
class Stream:
    """`changes` is the first window that differs from the reference by construction; None where nobody knows.

    `deff` is how many samples stand for an independent one, and `labels_deff` how many labelled answers.
    """

    name: str
    kind: Kind
    reference: Piece
    windows: tuple[Piece, ...]
    changes: int | None
    deff: float = 1.0
    labels_deff: float = 1.0


def elec2(seed: int = 0) -> Stream:
    """New South Wales' electricity market: does the price rise above its mean of a day? One window a week, two years.

    The model is fitted to two days of three of the first 27 weeks; the third days are the reference. Half hours of a day are
    alike, so a day counts as one independent sample; how alike its right answers are, the reference says. `seed` says which
    days are the third, and draws for the model.
    """
    rows = np.loadtxt(DATA / "elec2" / "elec.csv", delimiter=",", skiprows=1)
    x, y = rows[:, :-1].astype(np.float32), rows[:, -1].astype(np.int64)
    known = np.arange(len(y)) < _KNOWN_WEEKS * _WEEK
    is_held = np.arange(len(y)) // 48 % 3 == seed % 3
    model = HistGradientBoostingClassifier(max_iter=60, random_state=seed).fit(x[known & ~is_held], y[known & ~is_held])
    reference = piece(model.predict_proba, x[known & is_held], y[known & is_held])
    starts = range(_KNOWN_WEEKS * _WEEK, len(y) - _WEEK + 1, _WEEK)
    weeks = tuple(piece(model.predict_proba, x[a : a + _WEEK], y[a : a + _WEEK], f"week {a // _WEEK}") for a in starts)
    by_day = reference.right.reshape(-1, 48).sum(axis=1)
    alike = design_effect(np.stack([by_day, 48 - by_day], axis=1))
    return Stream("elec2", "real", reference, weeks, None, deff=48, labels_deff=alike)


def gas(seed: int = 0, window: int = 100) -> Stream:
    """Sixteen gas sensors that age: fitted to batches 1 and 2, of which some are the reference and the first windows.

    Within a batch samples are shuffled: the files have them gas by gas, not as they were taken.
    """
    with np.load(DATA / "gas" / "gas_batches_1_6.npz") as archive:
        batches = [(archive[f"x{number}"], archive[f"y{number}"] - 1) for number in range(1, 7)]
    x, y = (np.concatenate(parts) for parts in zip(*batches[:2], strict=True))
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(y))
    fitted, held, first = np.split(order, [800, 1389])
    model = make_pipeline(StandardScaler(), MLPClassifier((32,), alpha=1e-2, max_iter=600, random_state=seed))
    model.fit(x[fitted], y[fitted])
    windows = [piece(model.predict_proba, a, b, "batches 1 and 2") for a, b in chunks(x[first], y[first], window)]
    changes = len(windows)
    for number, (later_x, later_y) in enumerate(batches[2:], 3):
        order = draw.permutation(len(later_y))
        pieces = chunks(later_x[order], later_y[order], window)
        windows += [piece(model.predict_proba, a, b, f"batch {number}") for a, b in pieces]
    return Stream("gas sensors", "real", piece(model.predict_proba, x[held], y[held]), tuple(windows), changes)


def piece(answers: Callable[[Any], Any], x: NDArray[Any], y: NDArray[Any], what: str = "") -> Piece:
    return Piece(x, np.asarray(answers(x), np.float32), y.astype(np.int64), what)


def chunks(x: NDArray[Any], y: NDArray[Any], size: int) -> Iterable[tuple[NDArray[Any], NDArray[Any]]]:
    """Whole windows in their order; what is left over is dropped."""
    for start in range(0, len(y) - size + 1, size):
        yield x[start : start + size], y[start : start + size]


def all_streams(cache: Path) -> dict[str, Callable[[int], Stream]]:
    """What makes each stream from a seed, by name; trained models and slow answers are kept in `cache`."""
    from benchmarks import drift_files, drift_images

    return {
        "elec2": elec2,
        "gas": gas,
        "mnist-known": lambda seed: drift_images.mnist_known(cache, seed),
        "mnist-unseen": lambda seed: drift_images.mnist_unseen(cache, seed),
        "cifar-unseen": lambda seed: drift_images.cifar_unseen(cache, seed),
        "magika-mix": lambda seed: drift_files.magika_mix(cache, seed),
        "magika-cut": lambda seed: drift_files.magika_cut(cache, seed),
        "magika-unseen": lambda seed: drift_files.magika_unseen(cache, seed),
    }
