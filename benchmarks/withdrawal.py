"""How often labels withdraw an estimate of accuracy that holds, and how soon one that does not.

Each run draws a labelled reference, and windows whose confidence shifts ever further (covariate shift, as the estimate
supposes), with labels of some answers; the server looks after every window. In other runs the model is worse from the eleventh
window on, at every confidence (concept drift), which no count shows.

    python -m benchmarks.withdrawal --runs 200
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from edgewright.fleet.drift.accuracy import ALPHA
from edgewright.stats.confidence_shift import Shift, uncovered
from edgewright.stats.label_free import contradiction_log_e, estimate
from numpy.typing import NDArray

_BINS, _WINDOWS, _SIZE, _LABELS, _BEGINS = 32, 60, 500, 100, 10


def drawn(draw: np.random.Generator, size: int, tilt: float, loss: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The bins of confidence of `size` requests, and which are right: less often than confidence says."""
    confidence = 0.5 + draw.beta(4 - tilt, 1 + tilt / 2, size) / 2
    return np.digitize(confidence, np.linspace(0.5, 1, _BINS + 1)[1:-1]), draw.random(size) < confidence**1.5 - loss


def withdrawn(draw: np.random.Generator, samples: int, loss: float) -> tuple[int | None, float]:
    """The window after which labels withdraw the estimate, None if never; and the share of intervals that hold the truth."""
    place, right = drawn(draw, samples, 0.0, 0.0)
    then, correct = np.bincount(place, minlength=_BINS), np.bincount(place, weights=right, minlength=_BINS)
    known, inside = [], []
    for number in range(_WINDOWS):
        place, right = drawn(draw, _SIZE, 1.5 * number / _WINDOWS, loss if number >= _BEGINS else 0.0)
        counts = np.bincount(place, minlength=_BINS)
        found = estimate(counts, then, correct, moved=Shift(0.0, 0.0, uncovered(counts, then)))
        if found is None:
            continue
        inside.append(found.low <= right.mean() <= found.high)
        known.append((found.least, found.most, int(right[:_LABELS].sum()), _LABELS))
        if contradiction_log_e(known) >= -math.log(ALPHA / 2):
            return number, float(np.mean(inside))
    return None, float(np.mean(inside))


def main() -> int:
    """0 when estimates that hold are withdrawn in no more runs than 5 %, and chance, allow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    is_well = True
    for samples in (500, 2000):
        for loss in (0.0, 0.05, 0.1, 0.2):
            found = [withdrawn(np.random.default_rng([seed, samples]), samples, loss) for seed in range(options.runs)]
            ends = [end for end, _ in found if end is not None]
            told = (
                f"reference {samples:,}: accuracy lower by {100 * loss:.0f} points: withdrawn in {len(ends)} of {options.runs}"
            )
            if loss:
                print(told + (f", half of them by {np.median(ends) - _BEGINS + 1:.0f} windows after it began" if ends else ""))
                continue
            print(f"{told}; {100 * np.mean([share for _, share in found]):.1f} % of the intervals hold what is true")
            is_well &= len(ends) <= ALPHA * options.runs + 2 * math.sqrt(ALPHA * options.runs)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
