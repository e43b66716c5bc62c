"""Accuracy without labels, from counts of confidence: what the reference says is right in each bin, weighted by today's counts.

The assumption, without which the number means nothing: among requests of the same confidence (and predicted class) the share of
right answers is what it was on the labelled reference. That holds where only the inputs' mix changes (covariate shift) and
fails where the meaning of the inputs changes (concept drift), which no statistic without labels can see. So the estimate stands
until labels contradict it. Counts [bins] add up over devices and windows before they are estimated from. Source:
confidence-based performance estimation by bins (Garg, Balakrishnan, Lipton, Neyshabur and Sedghi, Leveraging unlabeled data to
predict out-of-distribution performance, ICLR 2022, on its limits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import beta, binom

from ..core.errors import DataError

Floats = NDArray[np.float64]

# How many reference samples the curve through all bins counts as beside a bin's own; it decides where a bin has none.
PRIOR = 5.0
_STEPS, _RIDGE = 30, 0.1


@dataclass(frozen=True)
class Estimate:
    """Estimated share of right answers among `samples` requests, and the bounds of its 1 - alpha interval."""

    accuracy: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class ClassEstimate:
    """Expected values of one class; None where nothing was predicted, or where the truth of wrong answers is not known."""

    precision: float | None
    recall: float | None
    f1: float | None


def estimate(
    counts: ArrayLike, ref_counts: ArrayLike, ref_correct: ArrayLike, alpha: float = 0.05, *, deff: float = 1.0
) -> Estimate | None:
    """Estimate of the accuracy of the requests whose confidence `counts` [bins] counts; None without requests or reference.

    `ref_counts` [bins] are the reference's samples, `ref_correct` [bins] how many of them were right. The interval holds the
    error of the reference's share in each bin (Jeffreys) and the chance of which requests are right, of which `deff` are worth
    one; it is that of the Beta distribution of the same mean and variance. Raises DataError for counts that do not fit.
    """
    now, then, right = _checked(counts, ref_counts, ref_correct)
    _check_level(alpha)
    total = float(now.sum())
    if total == 0 or then.sum() == 0:
        return None
    rate = _rates(then, right)
    weight, likely = now / total, (right + PRIOR * rate + 0.5) / (then + PRIOR + 1)
    mean, centre = float(weight @ rate), float(weight @ likely)
    doubt = weight**2 / (then + PRIOR + 2) + weight * deff / total
    variance = float(doubt @ (likely * (1 - likely)))
    # A Beta distribution's variance is below centre (1 - centre); the bound keeps its parameters positive.
    scale = centre * (1 - centre) / min(variance, 0.99 * centre * (1 - centre)) - 1
    low, high = (float(beta.ppf(part, centre * scale, (1 - centre) * scale)) for part in (alpha / 2, 1 - alpha / 2))
    return Estimate(mean, min(low, mean), max(high, mean), int(total))


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


def contradiction_log_e(found: Estimate, right: int, labelled: int) -> float:
    """Logarithm of an e-value against "the accuracy lies in the estimate's interval"; those of several windows add up.

    Their sum may be looked at after every window: the estimate is refuted at level alpha when it reaches ln(1 / alpha). The
    likelihood of all accuracies alike (Beta(1, 1)) over the largest one inside the interval. Source: Wasserman, Ramdas and
    Balakrishnan, Universal inference, PNAS 117 (2020) 16880-16890.
    """
    _check_labels(right, labelled)
    if labelled == 0:
        return 0.0
    nearest = min(max(right / labelled, found.low), found.high)
    likelihood = float(binom.logpmf(right, labelled, nearest))
    return -math.log(labelled + 1) - likelihood


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
