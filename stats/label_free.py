"""Accuracy without labels, from counts of confidence: what the reference says is right in each bin, weighted by today's counts.

The assumption, without which the number means nothing: among requests of the same confidence (and predicted class) the share of
right answers is what it was on the labelled reference. That holds where only the inputs' mix changes (covariate shift) and
fails where the meaning of the inputs changes (concept drift), which no statistic without labels can see. So the estimate stands
until labels contradict it. Where the reference knows better than confidence alone, `confidence_shift` says so, and the estimate
follows it. Counts [bins] add up over devices and windows before they are estimated from. Source:
confidence-based performance estimation by bins (Garg, Balakrishnan, Lipton, Neyshabur and Sedghi, Leveraging unlabeled data to
predict out-of-distribution performance, ICLR 2022, on its limits).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import beta, binom, norm

from ..core.errors import DataError
from .confidence_shift import Shift

Floats = NDArray[np.float64]

# How many reference samples the curve through all bins counts as beside a bin's own; it decides where a bin has none.
PRIOR = 5.0
_STEPS, _RIDGE = 30, 0.1
_FOLDS = 5
# What labels bet on: that the accuracy lies so far below, or above, what the estimate holds possible.
_GAPS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45)
_LEAST = 1e-3  # and that it is no closer to 0 or 1 than this


@dataclass(frozen=True)
class Estimate:
    """Estimated share of right answers among `samples` requests, and the bounds of its 1 - alpha interval.

    `least` and `most` bound, at half of alpha, the accuracy that is to be expected of such requests: without the chance of
    which of these few are right. They are what labels can contradict.
    """

    accuracy: float
    low: float
    high: float
    samples: int
    least: float
    most: float


@dataclass(frozen=True)
class ClassEstimate:
    """Expected values of one class; None where nothing was predicted, or where the truth of wrong answers is not known."""

    precision: float | None
    recall: float | None
    f1: float | None


def estimate(
    counts: ArrayLike,
    ref_counts: ArrayLike,
    ref_correct: ArrayLike,
    alpha: float = 0.05,
    *,
    deff: float = 1.0,
    moved: Shift | None = None,
) -> Estimate | None:
    """Estimate of the accuracy of the requests whose confidence `counts` [bins] counts; None without requests or reference.

    `ref_counts` [bins] are the reference's samples, `ref_correct` [bins] how many of them were right. The interval holds the
    error of the reference's share in each bin (Jeffreys) and of the curve through all, and the chance of which requests are
    right, of which `deff` are worth one; it is that of the Beta distribution of the same mean and variance.

    With `moved` its bias is added. What is true may then lie anywhere between no correction and twice as much, so the interval
    is wider by that much as a standard error at level alpha; of requests that the reference does not cover, all or none may be
    right. Raises DataError for counts that do not fit.
    """
    now, then, right = _checked(counts, ref_counts, ref_correct)
    _check_level(alpha)
    total = float(now.sum())
    if total == 0 or then.sum() == 0:
        return None
    rate = _rates(then, right)
    weight, likely = now / total, (right + PRIOR * rate + 0.5) / (then + PRIOR + 1)
    bias, allowed, bare = 0.0, 0.0, 0.0
    if moved is not None:
        bias, bare = moved.bias, moved.uncovered
        allowed = moved.error**2 + (moved.bias / float(norm.isf(alpha / 2))) ** 2
    mean = min(max(float(weight @ rate) + bias, 0.0), 1.0)
    centre = min(max(float(weight @ likely) + bias, _LEAST), 1 - _LEAST)
    chance = likely * (1 - likely)
    of_reference = float((weight**2 / (then + PRIOR + 2)) @ chance) + _curve_error(then, right, weight) + allowed
    of_requests = float(weight @ chance) * deff / total
    low, high = _interval(mean, centre, of_reference + of_requests, alpha, bare)
    return Estimate(mean, low, high, int(total), *_interval(mean, centre, of_reference, alpha / 2, bare))


def variance_of(ref_counts: ArrayLike, ref_correct: ArrayLike) -> float:
    """Variance of how one sample of the reference came out, given its bin; 0 without any."""
    _, then, right = _checked(ref_counts, ref_counts, ref_correct)
    rate = _rates(then, right)
    return float(then @ (rate * (1 - rate)) / max(float(then.sum()), 1.0))


def unexplained(place: ArrayLike, right: ArrayLike, bins: int) -> Floats:
    """Of each labelled sample [n]: 1 if it was `right`, 0 if not, less the share of right answers in its bin `place` [n].

    That share is learnt without the sample's own fifth of all, so that none explains itself.
    """
    at, hits = np.asarray(place, dtype=np.int64), np.asarray(right, dtype=np.float64)
    fold, found = np.arange(len(at)) % _FOLDS, np.zeros(len(at))
    for number in range(_FOLDS):
        own = fold == number
        then = np.bincount(at[~own], minlength=bins).astype(np.float64)
        was_right = np.asarray(np.bincount(at[~own], hits[~own], bins), np.float64)
        found[own] = hits[own] - _rates(then, was_right)[at[own]]
    return found


def _interval(mean: float, centre: float, variance: float, alpha: float, bare: float) -> tuple[float, float]:
    """Bounds around `mean`, of which a share `bare` of all requests may be right or wrong, whatever the rest is."""
    # A Beta distribution's variance is below centre (1 - centre); the bound keeps its parameters positive.
    most = 0.99 * centre * (1 - centre)
    scale = centre * (1 - centre) / min(max(variance, 1e-12), most) - 1
    low, high = (float(beta.ppf(part, centre * scale, (1 - centre) * scale)) for part in (alpha / 2, 1 - alpha / 2))
    return (1 - bare) * min(low, mean), (1 - bare) * max(high, mean) + bare


def confusion(counts: ArrayLike, ref_counts: ArrayLike, ref_correct: ArrayLike, mistakes: ArrayLike | None = None) -> Floats:
    """Expected confusion [classes (truth), classes (predicted)] of the requests in `counts` [classes (predicted), bins].

    Each class's confidence is counted apart, so what is right among the requests predicted as it follows as in `estimate`.
    Where the wrong ones belong says `mistakes` [classes (truth), classes (predicted)], the reference's confusion; of two
    classes it follows. Without it, for more classes, all but the diagonal is NaN.
    """
    now, then, right = _checked(counts, ref_counts, ref_correct)
    if now.ndim != 2:
        raise DataError("counts of confidence by class have the shape [classes, bins]; give one row a class.")
    classes = len(now)
    hits = (now * _rates(then, right)).sum(axis=-1)
    hits = np.where(then.sum(axis=-1) > 0, hits, np.where(now.sum(axis=-1) > 0, np.nan, 0.0))
    wrong = now.sum(axis=-1) - hits
    if mistakes is None and classes != 2:
        found = np.full((classes, classes), np.nan)
    else:
        apart = 1 - np.eye(classes)
        named = apart if mistakes is None else np.asarray(mistakes, dtype=np.float64) * apart
        total = named.sum(axis=0)
        # A class that the reference was never wrong about: all others are as likely.
        split = np.where(total > 0, named / np.maximum(total, 1e-300), apart / max(classes - 1, 1))
        found = split * wrong
    np.fill_diagonal(found, hits)
    return found


def classes(table: ArrayLike, predicted: ArrayLike) -> tuple[ClassEstimate, ...]:
    """Precision, recall and F1 of each class from an expected `confusion` and how many requests were `predicted` [classes]."""
    cells, named = np.asarray(table, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    hits, there = np.diag(cells), cells.sum(axis=1)
    return tuple(
        ClassEstimate(_share(hit, by_name), _share(hit, by_truth), _share(2 * hit, by_name + by_truth))
        for hit, by_name, by_truth in zip(hits, named, there, strict=True)
    )


def contradiction(found: Estimate, right: int, labelled: int, alpha: float = 0.05) -> bool:
    """Whether labels refute an estimate, at one look: `right` of `labelled` random requests of the same window were right.

    They do when, at each accuracy inside the estimate's interval, so many or so few right answers have a chance of alpha / 2 or
    less.
    """
    _check_labels(right, labelled)
    _check_level(alpha)
    too_few = binom.cdf(right, labelled, found.low) <= alpha / 2
    too_many = binom.sf(right - 1, labelled, found.high) <= alpha / 2
    return bool(labelled > 0 and (too_few or too_many))


def contradiction_log_e(windows: Iterable[tuple[float, float, int, int]], deff: float = 1.0) -> float:
    """Logarithm of an e-value against "in every window the accuracy lay between its bounds", after the last window.

    Each window comes as its lower and upper bound, how many of its labelled answers were right, and how many were labelled,
    drawn at random; `deff` of them are worth one. It may be looked at after every window: while the bounds hold, the chance
    that it ever reaches ln(1 / alpha) is at most alpha. The money is spread over bets that the accuracy lies one of several
    gaps below, or above, its bounds, each from one of the windows on: the t-th brings in 1 / (t (t + 1)) of it. A bet wins the
    ratio of likelihoods to the nearer bound's, which no accuracy between the bounds makes larger than 1 on average. Source:
    Ramdas, Grünwald, Vovk and Shafer, Game-theoretic statistics and safe anytime-valid inference, Statistical Science 38 (2023)
    576-601.
    """
    if not deff >= 1:
        raise DataError("a design effect is 1 for independent answers and more for clusters; give 1 or more.")
    gaps = np.array(_GAPS)
    wealth, time = np.full(2 * len(gaps), -np.inf), 0
    for low, high, right, labelled in windows:
        _check_labels(right, labelled)
        if not labelled:
            continue
        time += 1
        near = np.repeat(np.clip([low, high], _LEAST, 1 - _LEAST), len(gaps))
        bet = np.concatenate([np.maximum(near[0] - gaps, _LEAST), np.minimum(near[-1] + gaps, 1 - _LEAST)])
        won = right * np.log(bet / near) + (labelled - right) * np.log((1 - bet) / (1 - near))
        wealth = won / deff + np.logaddexp(wealth, -math.log(time * (time + 1)))
    return float(np.logaddexp.reduce(wealth)) - math.log(len(wealth))


def _rates(then: Floats, right: Floats) -> Floats:
    """Share of right answers in each bin [..., bins]: its own, and `PRIOR` samples' worth of the curve through all bins."""
    return np.asarray((right + PRIOR * _curve(then, right)) / (then + PRIOR))


def _curve(then: Floats, right: Floats) -> Floats:
    """Share of right answers [..., bins] that a logistic regression on the bin's number expects, with a weak prior on its two
    parameters; by Newton's method.
    """
    place = np.linspace(-1, 1, then.shape[-1])
    level, slope = np.zeros(then.shape[:-1]), np.zeros(then.shape[:-1])
    for _ in range(_STEPS):
        expected = expit(level[..., None] + slope[..., None] * place)
        gap, sure = right - then * expected, then * expected * (1 - expected)
        up, tilt = gap.sum(axis=-1) - _RIDGE * level, gap @ place - _RIDGE * slope
        a, b, c = sure.sum(axis=-1) + _RIDGE, sure @ place, sure @ place**2 + _RIDGE
        scale = a * c - b**2
        # A step is bounded, so that it cannot leave for where the curve is flat.
        level = level + np.clip((c * up - b * tilt) / scale, -1, 1)
        slope = slope + np.clip((a * tilt - b * up) / scale, -1, 1)
    return np.asarray(expit(level[..., None] + slope[..., None] * place))


def _curve_error(then: Floats, right: Floats, weight: Floats) -> float:
    """Variance that the error of the curve [bins], which all bins share, leaves in the rates weighted by `weight` [bins]."""
    place, expected = np.linspace(-1, 1, len(then)), _curve(then, right)
    sure = expected * (1 - expected)
    information = np.array([[(then * sure) @ place**power for power in (low, low + 1)] for low in (0, 1)]) + _RIDGE * np.eye(2)
    slope = weight * PRIOR / (then + PRIOR) * sure
    change = np.array([slope.sum(), slope @ place])
    return float(change @ np.linalg.solve(information, change))


def _checked(counts: ArrayLike, ref_counts: ArrayLike, ref_correct: ArrayLike) -> tuple[Floats, Floats, Floats]:
    now, then, right = (np.asarray(values, dtype=np.float64) for values in (counts, ref_counts, ref_correct))
    if now.shape != then.shape or then.shape != right.shape or now.ndim == 0:
        raise DataError(f"counts {now.shape}, reference {then.shape} and right answers {right.shape} need the same bins.")
    if np.any(now < 0) or np.any(right < 0) or np.any(right > then):
        raise DataError("of each bin's reference samples 0 to all can have been right; give counts of the same samples.")
    return now, then, right


def _check_labels(right: int, labelled: int) -> None:
    if not 0 <= right <= labelled:
        raise DataError(f"{right} right answers of {labelled} cannot be; give 0 up to all of them.")


def _check_level(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise DataError(f"an error level of {alpha:g} does not lie between 0 and 1; give for example 0.05.")


def _share(part: float, whole: float) -> float | None:
    if math.isnan(part) or math.isnan(whole) or whole <= 0:
        return None
    return float(part / whole)
