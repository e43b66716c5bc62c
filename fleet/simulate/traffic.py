"""What applications ask of a simulated device, and the windows of telemetry that come of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..protocol.window import ERROR_KINDS, LATENCY_BINS, Window
from .artifacts import CONFIDENCE_COUNTS, MODEL

_SPREAD = (1, 4, 12, 30, 28, 14, 6, 3, 2)  # of latencies over the bins, from the device's fastest one on
_SLOW_BINS = 6  # eight a decade: five and a half times as long
_SLOW_SHARE = 0.8  # of the requests of a slow version
_UNSURE_BINS = 3  # of a tenth each, that the confidence of an unsure version lies lower
_MOST_COUNTED = 400  # requests that are drawn one by one; more are these, times a whole number


@dataclass(frozen=True)
class Habit:
    """Of one device: requests a second, the bin of its fastest requests, and the share that fails."""

    rate: float
    fastest: int
    errors: float

    @staticmethod
    def drawn(draw: random.Random) -> Habit:
        """Some device's."""
        rate = min(50.0, max(0.02, draw.lognormvariate(-1.0, 1.0)))
        return Habit(rate, draw.randint(12, 24), 0.001 * draw.random())


def window(draw: random.Random, habit: Habit, sha256: str, span: tuple[int, int], way: str | None) -> Window:
    """The counts of `span` [from, to], seconds by the device's clock; `way` is how the version fails here, if it does."""
    requests = max(1, round(habit.rate * max(1, span[1] - span[0]) * draw.uniform(0.8, 1.2)))
    times = -(-requests // _MOST_COUNTED)
    counted = -(-requests // times)
    latency = [0] * LATENCY_BINS
    for place in draw.choices(range(len(_SPREAD)), cum_weights=_LATENCY, k=counted):
        latency[habit.fastest + place] += times
    if way == "slow":
        latency = _slower(latency)
    confidence = [0] * len(CONFIDENCE_COUNTS)
    lower = _UNSURE_BINS if way == "unsure" else 0
    for place in draw.choices(range(len(CONFIDENCE_COUNTS)), cum_weights=_CONFIDENCE, k=counted):
        confidence[max(1, place - lower)] += times
    failed = sum(draw.random() < habit.errors for _ in range(counted)) * times
    errors = tuple(failed if kind == "runtime" else 0 for kind in ERROR_KINDS)
    total = counted * times
    return Window(MODEL, sha256, *span, 1, total, total, 0, errors, tuple(latency), (tuple(confidence),))


def _slower(latency: Sequence[int]) -> list[int]:
    moved = [0] * len(latency)
    for place, count in enumerate(latency):
        late = round(count * _SLOW_SHARE)
        moved[place] += count - late
        moved[min(place + _SLOW_BINS, len(latency) - 1)] += late
    return moved


_LATENCY = list(accumulate(_SPREAD))
_CONFIDENCE = list(accumulate(CONFIDENCE_COUNTS))
