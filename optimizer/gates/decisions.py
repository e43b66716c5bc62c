"""Metrics of predicted classes: from outputs to classes, and from counts of (label, class) to precision, recall and F1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.errors import GateError
from ...stats.bootstrap import Floats, Statistic

Array = NDArray[np.generic]
Ints = NDArray[np.intp]


class Unjudgeable(GateError):
    """These data do not let a metric be computed; the verdict is then never `passed`."""


def scores_of(outputs: Array) -> Floats:
    """Outputs [n, ...] as [n, k] numbers, axes of size 1 dropped; raises Unjudgeable for more than one class axis."""
    values = np.asarray(outputs, dtype=np.float64)
    if values.size == 0:
        raise Unjudgeable(f"an output of shape {list(outputs.shape)} is empty; name an output [n, classes].")
    wide = [size for size in values.shape[1:] if size != 1]
    if len(wide) > 1:
        raise Unjudgeable(
            f"an output of shape {list(outputs.shape)} holds more than one class axis; name an output [n, classes]."
        )
    return values.reshape(len(values), -1)


def cut_of(reference: Floats) -> float:
    """Where a single column turns positive: 0.5 for probabilities, 0 for logits, judged by the reference's range."""
    return 0.5 if reference.size and reference.min() >= 0 and reference.max() <= 1 else 0.0


def predicted(scores: Floats, cut: float) -> Ints:
    """Predicted classes [n]: the largest column (the first among equals), or the cut of a single one."""
    if scores.shape[1] == 1:
        return np.asarray(scores[:, 0] > cut, dtype=np.intp)
    return np.asarray(np.argmax(scores, axis=1), dtype=np.intp)


def is_in_top(scores: Floats, labels: Ints, k: int) -> NDArray[np.bool_]:
    """Whether the label is among the k largest columns [n]; equals before it count against it, so that ties never help."""
    if k >= scores.shape[1]:
        raise GateError(f"top{k} of {scores.shape[1]} classes is always right; ask for fewer, for example top1.")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    above = scores > own
    ties_before = (scores == own) & (np.arange(scores.shape[1])[None, :] < labels[:, None])
    return np.asarray((above | ties_before).sum(axis=1) < k)


def class_labels(labels: Array, classes: int) -> Ints:
    """Labels as class numbers [n]: from [n], [n, 1] or one-hot [n, classes]; raises Unjudgeable for anything else."""
    values = np.asarray(labels)
    if values.dtype.kind not in "biuf":
        raise Unjudgeable(f"labels of type {values.dtype} are not class numbers; give whole numbers from 0 to {classes - 1}.")
    flat = values.reshape(len(values), -1) if values.size else values.reshape(len(values), 1)
    if flat.shape[1] > 1:
        if flat.shape[1] != classes or not (np.isin(flat, (0, 1)).all() and (flat.sum(axis=1) == 1).all()):
            raise Unjudgeable(
                f"labels of shape {list(values.shape)} are neither class numbers nor one-hot over {classes} classes."
            )
        return np.asarray(np.argmax(flat, axis=1), dtype=np.intp)
    column = flat[:, 0].astype(np.float64)
    if not np.isfinite(column).all() or (column != np.round(column)).any():
        raise Unjudgeable("labels hold values that are not whole numbers; a metric of classes needs class numbers.")
    if column.size and (column.min() < 0 or column.max() >= classes):
        worst = int(column.max() if column.max() >= classes else column.min())
        raise Unjudgeable(f"label {worst} is none of the model's {classes} classes; labels run from 0 to {classes - 1}.")
    return np.asarray(column, dtype=np.intp)


def class_count(scores: Floats) -> int:
    """Number of classes that scores [n, k] can tell apart."""
    return max(2, int(scores.shape[1]))


def decision_statistic(name: str, labels: Ints, classes: Ints, over: Ints) -> Statistic:
    """Precision, recall or F1 of rows (label, predicted class), averaged over the classes in `over`.

    `name` is as in the registry: plain is the macro average, "-weighted" weighs by support. As in scikit-learn 0 / 0 is 0;
    a class that no drawn row has as its label is left out of the average.
    """
    kind, _, average = name.partition("-")
    is_label = (labels[:, None] == over[None, :]).astype(np.float64)
    is_class = (classes[:, None] == over[None, :]).astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        support, named = weights @ is_label, weights @ is_class
        hits = weights @ (is_label * is_class)
        below = {"precision": named, "recall": support, "f1": (support + named) / 2}[kind]
        value = np.divide(hits, below, out=np.zeros_like(hits), where=below > 0)
        share = support if average == "weighted" else (support > 0).astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray((value * share).sum(axis=1) / share.sum(axis=1))

    return statistic
