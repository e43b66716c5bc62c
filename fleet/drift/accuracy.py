"""Accuracy without labels of one window, what makes it doubtful, and whether labels that came later contradict it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...stats.confidence_shift import Shift, reach, shift, uncovered
from ...stats.label_free import contradiction_log_e, estimate, variance_of
from .verdict import Estimated
from .watched import Watched

Counts = NDArray[np.int64]

ALPHA = 0.05
# From which share of uncovered requests, or size of a correction, on the calibration of compile time is not believed any more,
# and below which reach of the reference where nothing is known of how right answers lie over a measure.
MOST_UNCOVERED, MOST_BIAS, LEAST_REACH = 0.1, 0.1, 0.2
_OF_SAMPLES = ("input", "prediction")


def estimated(
    watched: Sequence[Watched], counts: Sequence[Counts], deff: NDArray[np.float64], alpha: float = ALPHA
) -> Estimated | None:
    """The accuracy that a window's counts of confidence make likely; None where no labels were there at compile time.

    It is corrected by the measure that says most of how confidence misleads where requests now lie. `counts` are of the
    measures in their order, `deff` [measures] how many values stand for an independent one.
    """
    place = next((place for place, item in enumerate(watched) if item.correct is not None), None)
    if place is None:
        return None
    reference, correct = watched[place].reference, watched[place].correct or ()
    own = Shift(0.0, 0.0, uncovered(counts[place], reference))
    moved = {watched[place].name: own, **_moved(watched, counts, variance_of(reference, correct))}
    best = max(moved.values(), key=lambda item: abs(item.bias))
    bare = max(item.uncovered for item in moved.values())
    found = estimate(
        counts[place], reference, correct, alpha, deff=float(deff[place]), moved=Shift(best.bias, best.error, bare)
    )
    if found is None:
        return None
    doubt = _doubt(watched, counts, moved)
    return Estimated(found.accuracy, found.low, found.high, found.samples, found.least, found.most, doubt)


def contradicted(windows: Iterable[tuple[Estimated, int, int]], alpha: float = ALPHA, deff: float = 1.0) -> str | None:
    """Why the estimates do not hold, by their windows in order, each with how many of its labelled answers were right and all.

    A test that may be looked at after every window, whenever the contradiction begins (`stats.label_free.contradiction_log_e`);
    `deff` labelled answers are worth one. Half of alpha is the bounds' and half the labels'. An estimate that labels agree with
    for long enough after that is believed again.
    """
    told = [(found, right, labelled) for found, right, labelled in windows if labelled]
    bounds = [
        (found.low if found.least is None else found.least, found.high if found.most is None else found.most, right, labelled)
        for found, right, labelled in told
    ]
    if not told or contradiction_log_e(bounds, deff) < -math.log(alpha / 2):
        return None
    _, right, labelled = told[-1]
    return (
        f"labels contradict it: of the newest window's {labelled:,} labelled answers {right:,} were right; "
        "the meaning of inputs changed, not their mix alone."
    )


def _moved(watched: Sequence[Watched], counts: Sequence[Counts], variance: float) -> dict[str, Shift]:
    """What each measure that knows where confidence misleads says of this window, by name."""
    knowing = [(item, seen) for item, seen in zip(watched, counts, strict=True) if item.surplus is not None]
    return {
        item.name: shift(seen, item.reference, item.surplus or (), variance, measures=len(knowing)) for item, seen in knowing
    }


def _doubt(watched: Sequence[Watched], counts: Sequence[Counts], moved: dict[str, Shift]) -> str:
    for name, found in moved.items():
        if found.uncovered >= MOST_UNCOVERED:
            share = f"{100 * found.uncovered:.0f} % of the requests"
            return f"{share} lie where the data of compile time had next to nothing ({name})."
        if abs(found.bias) >= MOST_BIAS:
            return f"where requests now lie ({name}), confidence misled by {100 * abs(found.bias):.0f} points at compile time."
    for item, seen in zip(watched, counts, strict=True):
        if item.kind not in _OF_SAMPLES or item.name in moved:
            continue
        bare, worth = uncovered(seen, item.reference), reach(seen, item.reference)
        if bare >= MOST_UNCOVERED or worth < LEAST_REACH:
            return (
                f"{item.name} moved to where the data of compile time say little: {100 * min(worth, 1 - bare):.0f} % of them "
                "speak for what comes now."
            )
    return ""
