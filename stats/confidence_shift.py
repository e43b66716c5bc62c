"""Where requests moved to parts of the inputs in which confidence promises too much or too little, by the reference's own word.

Accuracy from counts of confidence supposes that a confidence means the same everywhere. It does not: on blurred images a model
may be too modest, of cut files too sure. The reference shows by how much. For each bin of a measure (a feature, a channel's
mean, the predicted class) it keeps the `surplus`: how many samples were right, less what their confidence promised, where the
promise was learnt from other samples. Where today's requests lie in other bins than the reference's did, their surpluses say
how wrong the estimate is to be expected.

Bins differ by chance, too: each surplus a sample is shrunk towards the mean of all, by how far bins differ beyond that (a
random-effects model). Source: DerSimonian and Laird, Meta-analysis in clinical trials, Controlled Clinical Trials 7 (1986)
177-188.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from ..core.errors import DataError

Floats = NDArray[np.float64]

# Bins in which the reference has fewer samples say nothing of requests that lie there.
FEWEST = 5
_ALPHA = 0.05
_ERRORS = 3.0  # standard errors that are no uncovered requests


@dataclass(frozen=True)
class Shift:
    """What a measure says of an estimate: add `bias` to it, which has a standard `error`.

    `uncovered` is the share of requests, beyond chance and the reference's own share, that lie where the reference has next to
    nothing: of these nothing is known.
    """

    bias: float
    error: float
    uncovered: float


def shift(counts: ArrayLike, ref_counts: ArrayLike, surplus: ArrayLike, variance: float, *, measures: int = 1) -> Shift:
    """Shift of requests `counts` [bins] against the reference's `ref_counts` and `surplus` [bins].

    `variance` is that of one sample's surplus. Bins are taken to differ where chance makes them do so in one of 20 references
    at most, over so many `measures`. Without requests there is no shift. Raises DataError for bins that do not fit.
    """
    now, then, more = (np.asarray(values, dtype=np.float64) for values in (counts, ref_counts, surplus))
    if now.ndim != 1 or now.shape != then.shape or then.shape != more.shape:
        raise DataError(f"counts {now.shape}, reference {then.shape} and surplus {more.shape} need the same bins.")
    total, known = float(now.sum()), float(then.sum())
    if total == 0 or known == 0:
        return Shift(0.0, 0.0, 0.0)
    between = _between(then, more, variance, _ALPHA / measures)
    moved = now / total - then / known
    own = more - then * more.sum() / known
    held = then * between + variance
    bias, error = 0.0, 0.0
    if between > 0:
        bias = float(moved @ (own * between / held))
        error = math.sqrt(float(moved**2 @ (variance * between / held)))
    return Shift(bias, error, uncovered(now, then))


def uncovered(counts: ArrayLike, ref_counts: ArrayLike) -> float:
    """Share of requests [bins] in bins where the reference has fewer than `FEWEST`, beyond its own share there and chance."""
    now, then = np.asarray(counts, dtype=np.float64), np.asarray(ref_counts, dtype=np.float64)
    total, known = float(now.sum()), float(then.sum())
    if total == 0 or known == 0:
        return 0.0
    is_bare = then < FEWEST
    share, usual = float(now[is_bare].sum()) / total, float(then[is_bare].sum()) / known
    chance = math.sqrt(max(share * (1 - share), 1 / total) / total + usual * (1 - usual) / known)
    return max(0.0, share - usual - _ERRORS * chance)


def reach(counts: ArrayLike, ref_counts: ArrayLike) -> float:
    """Share of the reference, 0 to 1, that as many samples like today's would be worth: Kish's effective size over bins.

    1 where nothing moved, 0.5 where half of the bins hold everything; NaN below two counts. An empty bin of the reference
    counts as half a sample.
    """
    now, then = np.asarray(counts, dtype=np.float64), np.maximum(np.asarray(ref_counts, dtype=np.float64), 0.5)
    total = float(now.sum())
    if total <= 1:
        return float("nan")
    pairs = now * np.maximum(now - 1, 0) / (total * (total - 1))  # unbiased for squared shares, however few there are
    return min(1.0, 1 / max(float((pairs * then.sum() / then).sum()), 1e-12))


def _between(then: Floats, more: Floats, variance: float, alpha: float) -> float:
    """Variance of bins' mean surplus beyond chance; 0 where the chance of it is above `alpha`, or fewer than two bins speak."""
    is_seen = then > 0
    size = then[is_seen]
    spare = size.sum() - (size**2).sum() / size.sum()
    if len(size) < 2 or variance <= 0 or spare <= 0:
        return 0.0
    mean = more[is_seen] / size
    spread = float(size @ (mean - more.sum() / size.sum()) ** 2)
    if chi2.sf(spread / variance, len(size) - 1) > alpha:
        return 0.0
    return max(0.0, float(spread - (len(size) - 1) * variance) / float(spare))
