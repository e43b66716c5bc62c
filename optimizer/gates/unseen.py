"""What samples that nobody saw may cost.

n samples (or groups) without a fault leave a share of z^2 / (n + z^2) that may still be faulty, and no resampling of those n
can know. Each metric says here what its value becomes when such a share goes as wrong as it can. What that is must be
assumed: one answer is off by no more than the range that labels and outputs were seen to span (for a share of the reference's
own error: no more than the largest error seen of either model), classes are as frequent as seen, and an unseen group is of
average size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...stats.bootstrap import Floats
from .decisions import Array, Ints, Unjudgeable, class_count, class_labels, scores_of

# (the metric's value, share of units that goes wrong) -> the worst value that this can leave
Worst = Callable[[float, float], float]

# Ranks of n samples: one that goes from one end to the other costs 6 n^2 / n^3.
_SPEARMAN = 6.0


def worst_of_costs(most: float, is_higher_better: bool) -> Worst:
    """Each faulty unit costs at most `most`, over the number of units."""
    sign = -1 if is_higher_better else 1
    return lambda value, share: value + sign * most * share


def worst_decision(name: str, labels: Ints) -> Worst:
    """Precision, recall or F1: a macro average suffers most when the rarest class bears it all.

    A sample that leaves one class enters another, whose precision (and so F1) falls too.
    """
    kind, _, average = name.partition("-")
    counts = np.unique(labels, return_counts=True)[1]
    most = 1.0 if average == "weighted" else len(labels) / (len(counts) * int(counts.min()))
    return worst_of_costs(most if kind == "recall" else 2 * most, is_higher_better=True)


def worst_score(name: str, candidate: Array, reference: Array, labels: Array | None, *, as_seen: bool = False) -> Worst:
    """Any metric of the numbers themselves, for outputs [n, ...] that `score_statistic` accepts.

    `as_seen`: an error of a regression is at most the largest that either model was seen to make, not the whole range.
    """
    if name == "cosine":
        is_positive = bool(candidate.min() >= 0 and reference.min() >= 0)
        return worst_of_costs(1.0 if is_positive else 2.0, is_higher_better=True)
    if name == "spearman":
        return worst_of_costs(_SPEARMAN, is_higher_better=True)
    if labels is None:
        raise Unjudgeable(f"{name} needs labels, and the data have none.")
    if name in {"auc", "ap"}:
        return _worst_ranking(name, reference, labels)
    truth = _columns(labels)
    ours, theirs = _columns(candidate), _columns(reference)
    if as_seen:
        reach = np.abs(np.concatenate([ours - truth, theirs - truth])).max(axis=0)
    else:
        reach = np.ptp(np.concatenate([truth, theirs, ours]), axis=0)
    if name == "mae":
        return worst_of_costs(float(reach.mean()), is_higher_better=False)
    square = float((reach**2).mean())
    if name == "rmse":
        return lambda value, share: math.sqrt(value**2 + share * square)
    spread = truth.var(axis=0)
    return worst_of_costs(float(np.mean(np.divide(reach**2, spread, out=np.ones_like(spread), where=spread > 0))), True)


def _worst_ranking(name: str, reference: Array, labels: Array) -> Worst:
    """All faulty samples are of one class, rank last for it and first for all others."""
    scores = scores_of(reference)
    classes = class_labels(labels, class_count(scores))
    counts = np.unique(classes, return_counts=True)[1]
    shares = counts / counts.sum()
    is_binary = scores.shape[1] <= 2
    if name == "auc":
        own, other = 1 / shares, 1 / (1 - shares)
        most = own.max() if is_binary else ((own - other).max() + other.sum()) / len(shares)
        return worst_of_costs(float(most), is_higher_better=True)
    ranked = shares[-1:] if is_binary else shares

    def average_precision(value: float, share: float) -> float:
        # A share s of wrong ones ahead of p right ones leaves a precision of p r / (p r + s) at recall r.
        return value - float(np.mean(share / ranked * (1 + np.log1p(ranked / share))))

    return average_precision


def _columns(values: Array) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)
