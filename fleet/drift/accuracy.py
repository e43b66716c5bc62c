"""Accuracy without labels of one window, and whether labels that came later contradict it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...stats.label_free import Estimate, contradiction_log_e, estimate
from .verdict import Estimated
from .watched import Watched

ALPHA = 0.05


def estimated(
    watched: Sequence[Watched], counts: Sequence[NDArray[np.int64]], deff: NDArray[np.float64], alpha: float = ALPHA
) -> Estimated | None:
    """The accuracy that a window's counts of confidence make likely; None where no labels were there at compile time.

    `counts` are of the measures in their order, `deff` [measures] how many values stand for an independent one.
    """
    for item, seen, effect in zip(watched, counts, deff, strict=True):
        if item.correct is not None:
            found = estimate(seen, item.reference, item.correct, alpha, deff=float(effect))
            return None if found is None else Estimated(found.accuracy, found.low, found.high, found.samples)
    return None


def contradicted(windows: Iterable[tuple[Estimated, int, int]], alpha: float = ALPHA) -> str | None:
    """Why the estimates do not hold, by their windows in order, each with how many of its labelled answers were right and all.

    A test that may be looked at after every window, whenever the contradiction begins: each window's e-value multiplies what
    bets on earlier beginnings have won, and the t-th brings in 1 / (t (t + 1)) of the money. An estimate that labels agree
    with for long enough after that is believed again.
    """
    log_wealth, last, time = -math.inf, (0, 0), 0
    for found, right, labelled in windows:
        if not labelled:
            continue
        time += 1
        e = contradiction_log_e(Estimate(found.accuracy, found.low, found.high, found.count), right, labelled)
        log_wealth = e + float(np.logaddexp(log_wealth, -math.log(time * (time + 1))))
        last = right, labelled
    if log_wealth < -math.log(alpha):
        return None
    return (
        f"labels contradict it: of the newest window's {last[1]:,} labelled answers {last[0]:,} were right; "
        "the meaning of inputs changed, not their mix alone."
    )
