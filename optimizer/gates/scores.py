"""Metrics of the numbers themselves, as functions of weights: ten thousand resamples are a few array operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...stats.bootstrap import Floats, Statistic, mean_statistic
from .decisions import Array, Ints, Unjudgeable, class_count, class_labels, scores_of


def score_statistic(name: str, outputs: Array, labels: Array | None, reference: Array) -> Statistic:
    """Statistic over samples of the metric `name` for `outputs` [n, ...]; raises Unjudgeable when these data do not allow it.

    `reference` are the reference's outputs: what cosine compares with, and what tells probabilities from logits.
    """
    if name == "cosine":
        return _cosine(outputs, reference)
    if labels is None:
        raise Unjudgeable(f"{name} needs labels, and the data have none.")
    if name in {"auc", "ap"}:
        return _ranking(_auc if name == "auc" else _average_precision, outputs, labels, reference)
    return _regression(name, outputs, labels)


def _cosine(outputs: Array, reference: Array) -> Statistic:
    """Mean cosine of each sample's outputs; for one number a sample, the cosine of the two columns."""
    ours, theirs = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (outputs, reference))
    if ours.shape != theirs.shape:
        raise Unjudgeable(f"the candidate's output has {ours.shape[1]} numbers a sample, the reference's {theirs.shape[1]}.")
    inner, squares = (ours * theirs).sum(axis=1), ((ours**2).sum(axis=1), (theirs**2).sum(axis=1))
    if ours.shape[1] == 1:

        def over_samples(weights: Floats) -> Floats:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray((weights @ inner) / np.sqrt((weights @ squares[0]) * (weights @ squares[1])))

        return over_samples
    length = np.sqrt(squares[0] * squares[1])
    # Two zero vectors are alike; one zero vector is like nothing.
    alike = (squares[0] == squares[1]).astype(np.float64)
    return mean_statistic(np.divide(inner, length, out=alike * (squares[0] == 0), where=length > 0))


def _ranking(rank: Callable[[Floats, Floats], Statistic], outputs: Array, labels: Array, reference: Array) -> Statistic:
    """Binary, or the mean of one class against the rest over the classes that the labels hold."""
    scores, theirs = scores_of(outputs), scores_of(reference)
    truth = class_labels(labels, class_count(scores))
    present = np.unique(truth)
    if len(present) < 2:
        raise Unjudgeable("only one class is among the labels, and a ranking metric needs two.")
    if scores.shape[1] <= 2:
        column = scores[:, -1] - (scores[:, 0] if scores.shape[1] == 2 else 0)
        return rank(column, (truth == 1).astype(np.float64))
    if not _are_probabilities(theirs):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    parts = [rank(scores[:, k], (truth == k).astype(np.float64)) for k in present]
    return lambda weights: np.mean([part(weights) for part in parts], axis=0)


def _are_probabilities(scores: Floats) -> bool:
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2))


def _ties(values: Floats) -> tuple[Ints, Ints, bool]:
    """Order of `values`, the first place of each run of equals in that order, and whether there are equals."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0])
    return order, starts, len(starts) < len(values)


def _auc(scores: Floats, positive: Floats) -> Statistic:
    """Area under the ROC curve: the chance that a positive ranks above a negative, equals counting half."""
    hits, misses = np.flatnonzero(positive == 1), np.flatnonzero(positive == 0)
    misses = misses[np.argsort(scores[misses], kind="stable")]
    below, up_to = (np.searchsorted(scores[misses], scores[hits], side) for side in ("left", "right"))
    has_ties = bool((below != up_to).any())

    def statistic(weights: Floats) -> Floats:
        drawn = weights[:, hits]
        lower = np.zeros((len(weights), len(misses) + 1))
        np.cumsum(weights[:, misses], axis=1, out=lower[:, 1:])
        won = (lower[:, below] + lower[:, up_to]) / 2 if has_ties else lower[:, below]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.einsum("ij,ij->i", drawn, won) / (drawn.sum(axis=1) * lower[:, -1]))

    return statistic


def _average_precision(scores: Floats, positive: Floats) -> Statistic:
    """Precision at each distinct threshold, weighted by the recall that it adds."""
    order, starts, has_ties = _ties(-scores)
    sign = positive[order]

    def statistic(weights: Floats) -> Floats:
        drawn = weights[:, order]
        hits = drawn * sign
        if has_ties:
            hits, drawn = np.add.reduceat(hits, starts, axis=1), np.add.reduceat(drawn, starts, axis=1)
        found = np.cumsum(hits, axis=1)
        named = np.cumsum(drawn, axis=1)
        precision = np.divide(found, named, out=np.zeros_like(found), where=named > 0)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.einsum("ij,ij->i", hits, precision) / found[:, -1])

    return statistic


def _regression(name: str, outputs: Array, labels: Array) -> Statistic:
    if np.asarray(labels).dtype.kind not in "biuf":
        raise Unjudgeable(f"labels of type {np.asarray(labels).dtype} are not numbers, and {name} needs numbers.")
    ours, truth = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (outputs, labels))
    if ours.shape != truth.shape:
        raise Unjudgeable(
            f"the output has {ours.shape[1]} numbers a sample and the labels {truth.shape[1]}; {name} needs as many."
        )
    if not np.isfinite(truth).all():
        raise Unjudgeable(f"labels hold values that are not finite, and {name} needs numbers.")
    if name == "mae":
        return mean_statistic(np.abs(ours - truth).mean(axis=1))
    if name == "rmse":
        mean = mean_statistic(((ours - truth) ** 2).mean(axis=1))
        return lambda weights: np.sqrt(mean(weights))
    if name == "r2":
        return _r2(ours, truth)
    if np.ptp(truth, axis=0).min() == 0:
        raise Unjudgeable("labels never vary, so they have no ranks to compare.")
    columns = [_spearman(ours[:, k], truth[:, k]) for k in range(ours.shape[1])]
    return lambda weights: np.mean([column(weights) for column in columns], axis=0)


def _r2(outputs: Floats, labels: Floats) -> Statistic:
    """One minus residual over total sum of squares, the mean over columns; not a number where the labels do not vary."""
    residual, square = (outputs - labels) ** 2, (labels - labels.mean(axis=0)) ** 2
    centred = labels - labels.mean(axis=0)

    def statistic(weights: Floats) -> Floats:
        total = weights @ square - (weights @ centred) ** 2 / weights.sum(axis=1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            value = 1 - (weights @ residual) / np.where(total > 1e-12 * square.sum(axis=0), total, np.nan)
        return np.asarray(value.mean(axis=1))

    return statistic


def _spearman(outputs: Floats, labels: Floats) -> Statistic:
    """Correlation of ranks, the ranks taken anew in each resample, where equal and repeated values share their mean rank."""
    first, second = _ranks(outputs), _ranks(labels)

    def statistic(weights: Floats) -> Floats:
        a, b = first(weights), second(weights)
        total = weights.sum(axis=1, keepdims=True)
        middle = (total + 1) / 2
        a -= middle
        b -= middle
        above = np.einsum("ij,ij,ij->i", weights, a, b)
        spread = np.einsum("ij,ij,ij->i", weights, a, a) * np.einsum("ij,ij,ij->i", weights, b, b)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(above / np.sqrt(spread))

    return statistic


def _ranks(values: Floats) -> Callable[[Floats], Floats]:
    order, starts, has_ties = _ties(values)
    place = np.empty(len(values), dtype=np.intp)
    place[order] = (np.cumsum(np.bincount(starts, minlength=len(values))) - 1) if has_ties else np.arange(len(values))

    def ranks(weights: Floats) -> Floats:
        drawn = weights[:, order]
        if has_ties:
            drawn = np.add.reduceat(drawn, starts, axis=1)
        return (np.cumsum(drawn, axis=1) - (drawn - 1) / 2)[:, place]

    return ranks
