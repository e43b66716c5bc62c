"""Guards: what of a new version may be worse than of the version that ran before, device by device.

    errors <= +1pt          share of requests that failed, the new version's less the old one's
    slow <= +5pt            share of requests above the old version's p90 on the same device, beyond the 10 % there anyway
    confidence >= -5pt      mean confidence of the answers, the new version's less the old one's

`slow <= +5pt to promote` must also be shown to hold before a stage is promoted; others only abort. A point is a hundredth.

Each device gives one value, because its requests are alike. For `slow` the value is a share itself: the bound is the lowest
edge of a latency bin above which (n_above + 1) / (n + 1) of the old version's n requests are at most 10 %. If both versions
are equally fast, a new request lies above it with a probability of at most 10 %, whatever the device, by the argument of
conformal prediction (Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005): a device that is slow by itself
is no evidence.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ...core.errors import UsageError, unknown
from ...core.manifest import HistogramBins
from ...core.statistic import VALUES
from ...stats.sequential import MeanTest
from ..protocol.window import Window

GuardKind = Literal["errors", "slow", "confidence"]
KINDS: tuple[GuardKind, ...] = get_args(GuardKind)

FEWEST_REQUESTS = 20  # of a device and version that can be compared
SLOW_SHARE = 0.10  # of the old version's requests lie above the bound
_TEXT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([+-]?)\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*pt(\s+to\s+promote)?\s*", re.ASCII)


@dataclass(frozen=True)
class Guard:
    """At most `margin` (a share) worse than the old version; `to_promote`: that must be shown before a stage is promoted."""

    kind: GuardKind
    margin: float
    to_promote: bool = False

    @staticmethod
    def parse(text: str) -> Guard:
        """Inverse of `str`; raises UsageError."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UsageError(
                f"the guard {text[:100]!r} cannot be read; write for example 'slow <= +5pt' or 'errors <= +1pt to promote'."
            )
        kind, sign, direction, points, promote = found.groups()
        if kind not in KINDS:
            raise UsageError(unknown("guard", kind, KINDS))
        is_confidence = kind == "confidence"
        if (sign, direction or ("+" if not is_confidence else "")) != ((">=", "-") if is_confidence else ("<=", "+")):
            hint = "confidence >= -5pt" if is_confidence else f"{kind} <= +5pt"
            raise UsageError(f"the guard {text[:100]!r} has the wrong sign; write for example {hint!r}.")
        margin = float(points) / 100
        if not 0 < margin < 1 - (SLOW_SHARE if kind == "slow" else 0):
            raise UsageError(f"the guard {text[:100]!r} has a margin that nothing can exceed or keep; give 0.1 to 80 points.")
        return Guard(cast(GuardKind, kind), margin, promote is not None)

    def __str__(self) -> str:
        sign = ">= -" if self.kind == "confidence" else "<= +"
        return f"{self.kind} {sign}{round(100 * self.margin, 3):g}pt{' to promote' if self.to_promote else ''}"

    @property
    def worse(self) -> MeanTest:
        """The test of "at most the margin worse" on the devices' values."""
        if self.kind == "slow":
            return MeanTest(SLOW_SHARE + self.margin, 0.0)
        return MeanTest(self.margin, -1.0)

    @property
    def no_worse(self) -> MeanTest:
        """The test of "at least the margin worse", on the devices' values with the other sign."""
        return MeanTest(-self.worse.null, -1.0)


def value_of(guard: GuardKind, old: Window, new: Window, bins: tuple[Bins | None, Bins | None] = (None, None)) -> float | None:
    """What one device tells of a guard, the higher the worse, from -1 to 1 (`slow`: 0 to 1).

    `old` and `new` are its counts of the two versions, `bins` the histograms of their artifacts, in the windows'
    order. None where there are too few requests, or no bins of confidence.
    """
    if min(_tried(old), _tried(new)) < FEWEST_REQUESTS:
        return None
    if guard == "errors":
        return sum(new.errors) / _tried(new) - sum(old.errors) / _tried(old)
    if guard == "slow":
        return _slow(old.latency, new.latency)
    means = [mean_confidence(window, held) for window, held in zip((old, new), bins, strict=True)]
    return None if means[0] is None or means[1] is None else means[0] - means[1]


Bins = Sequence[HistogramBins]


def mean_confidence(window: Window, bins: Bins | None) -> float | None:
    """Mean confidence of a window's answers, 0 to 1, each taken as the middle of its bin; None without bins or answers.

    Half a bin is the most that a mean can be wrong by, and about the same in both versions.
    """
    if bins is None or [len(item.counts) for item in bins] != [len(counts) for counts in window.tensors]:
        return None
    for item, counts in zip(bins, window.tensors, strict=True):
        answers = sum(counts)
        if item.kind == "confidence" and item.statistic == VALUES and answers:
            edges = [0.0, *(min(max(edge, 0.0), 1.0) for edge in item.edges), 1.0]
            middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
            return math.fsum(middle * count for middle, count in zip(middles, counts, strict=True)) / answers
    return None


def _tried(window: Window) -> int:
    return window.requests + sum(window.errors)


def _slow(old: Sequence[int], new: Sequence[int]) -> float | None:
    """Share of the new version's requests above the old version's bound; None where one has too few, or too few lie below."""
    total, timed = sum(old), sum(new)
    if min(total, timed) < FEWEST_REQUESTS:
        return None
    above, place = 0, len(old)  # bins from `place` on lie above the bound
    while (above + old[place - 1] + 1) / (total + 1) <= SLOW_SHARE:
        place -= 1
        above += old[place]
    return sum(new[place:]) / timed
