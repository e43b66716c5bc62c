"""Has the mean of a stream changed? ADWIN and Page-Hinkley on summaries of windows.

Both need no reference and tell of changes within a stream: of a share, of a mean confidence, of a latency. A window comes in as
its mean, a weight (its requests, or 1) and the variance inside it; with a weight of 1 and no variance they are the detectors on
single values. Their false alarms are bounded less well than those of `drift_sequential`: ADWIN's per test of one window,
Page-Hinkley's not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..core.errors import DataError


@dataclass
class PageHinkley:
    """Page-Hinkley's test, both ways: an alarm when deviations from the running mean have added up to more than `threshold`.

    `allowed` is what each value may deviate without adding to it, `keep` the part of what was added up that a weight of 1
    leaves, and no alarm comes before a weight of `least`. Starts anew after an alarm. Source: Page, Biometrika 41 (1954)
    100-115.
    """

    allowed: float = 0.005
    threshold: float = 50.0
    keep: float = 1 - 0.0001
    least: float = 30.0
    weight: float = 0.0
    mean: float = 0.0
    up: float = 0.0
    down: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf

    def update(self, mean: float, weight: float = 1.0) -> bool:
        """Take in a window's mean; True when it raises the alarm. A window of weight 0 changes nothing."""
        if not _is_window(mean, weight, 0.0):
            return False
        self.weight += weight
        self.mean += (mean - self.mean) * weight / self.weight
        left, deviation = self.keep**weight, mean - self.mean
        self.up = left * self.up + weight * (deviation - self.allowed)
        self.down = left * self.down + weight * (deviation + self.allowed)
        self.lowest, self.highest = min(self.lowest, self.up), max(self.highest, self.down)
        is_far = max(self.up - self.lowest, self.highest - self.down) > self.threshold
        if is_far and self.weight >= self.least:
            self.weight = self.mean = self.up = self.down = 0.0
            self.lowest, self.highest = math.inf, -math.inf
            return True
        return False


@dataclass(frozen=True)
class Bucket:
    """Neighbouring windows as one: total `weight`, `mean`, and `spread`, the weighted sum of squared deviations from it."""

    weight: float
    mean: float
    spread: float

    def joined(self, other: Bucket) -> Bucket:
        """Both as one."""
        weight = self.weight + other.weight
        gap = other.mean - self.mean
        mean = self.mean + gap * other.weight / weight
        return Bucket(weight, mean, self.spread + other.spread + gap**2 * self.weight * other.weight / weight)

    def without(self, other: Bucket) -> Bucket:
        """What is left when `other`, a part of it, is taken out."""
        weight = self.weight - other.weight
        mean = self.mean + (self.mean - other.mean) * other.weight / weight
        spread = self.spread - other.spread - (other.mean - mean) ** 2 * weight * other.weight / self.weight
        return Bucket(weight, mean, max(spread, 0.0))


@dataclass
class Adwin:
    """Adaptive windowing of values between 0 and 1: old windows are dropped while their mean and that of newer ones differ.

    `delta` bounds the chance of a false alarm at one update; neither part compared weighs less than `least`. Windows are kept
    in rows of `per_row` buckets, each row's of twice as many windows as the row's before, so n windows take about per_row
    log2(n) of them. Source: Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007, 443-448.
    """

    delta: float = 0.002
    least: float = 5.0
    per_row: int = 5
    rows: list[list[Bucket]] = field(default_factory=list)  # newest row first, in a row the oldest bucket first

    @property
    def total(self) -> Bucket | None:
        """All windows kept, as one; None before the first."""
        found = None
        for row in self.rows:
            for bucket in row:
                found = bucket if found is None else found.joined(bucket)
        return found

    def update(self, mean: float, weight: float = 1.0, variance: float = 0.0) -> bool:
        """Take in a window's mean and the variance of its values; True when older windows were dropped."""
        if not _is_window(mean, weight, variance):
            return False
        self._put(Bucket(weight, mean, weight * variance))
        is_changed = False
        while self._differs():
            self.rows[-1].pop(0)
            while self.rows and not self.rows[-1]:
                self.rows.pop()
            is_changed = True
        return is_changed

    def _put(self, bucket: Bucket) -> None:
        for row in self.rows:
            row.append(bucket)
            if len(row) <= self.per_row:
                return
            bucket = row.pop(0).joined(row.pop(0))
        self.rows.append([bucket])

    def _differs(self) -> bool:
        """Whether some cut leaves two parts whose means differ by more than chance allows."""
        whole = self.total
        if whole is None or whole.weight < 2 * self.least:
            return False
        sharpness = math.log(2 * math.log(whole.weight) / self.delta)
        variance = whole.spread / whole.weight
        old = None
        for row in reversed(self.rows):
            for bucket in row:
                old = bucket if old is None else old.joined(bucket)
                if whole.weight - old.weight < self.least:
                    return False
                if old.weight < self.least:
                    continue
                new = whole.without(old)
                spare = 1 / old.weight + 1 / new.weight
                if abs(old.mean - new.mean) > math.sqrt(2 * spare * variance * sharpness) + 2 / 3 * spare * sharpness:
                    return True
        return False


def _is_window(mean: float, weight: float, variance: float) -> bool:
    """Whether there is anything to take in; raises DataError for numbers that no window has."""
    if not (math.isfinite(mean) and math.isfinite(weight) and weight >= 0 and math.isfinite(variance) and variance >= 0):
        raise DataError(f"a window of mean {mean:g}, weight {weight:g} and variance {variance:g} cannot be; give finite ones.")
    return weight > 0
