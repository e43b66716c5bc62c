"""The wall-clock time that training may take, shared by every training of a compile."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence

from ...core.errors import UsageError

_TEXT = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_SECONDS = 366 * 24 * 3600.0


class Budget:
    """Seconds of wall-clock time from when it is made (`whole_seconds`), cut into parts that are taken one after the other.

    `plan` names the weights of the parts to come, `part` takes the next: its share, by weight, of the time that is left then,
    so that time one part did not use goes to those after it. Without a plan, or after its end, a part is all that is left. A
    part is a budget itself, and can be cut again (a pass that trains several times plans its own part).

    `share_seconds` is what a part has by weights alone: it is the same in every run of a request, however much time is left.
    `is_felt`: whether a training that got this budget, or a part of it, came out shorter than without one.
    """

    def __init__(self, seconds: float, whole_seconds: float | None = None, share_seconds: float | None = None) -> None:
        """`seconds` from now, of a budget of `whole_seconds`."""
        self.whole_seconds = seconds if whole_seconds is None else whole_seconds
        self.share_seconds = seconds if share_seconds is None else share_seconds
        self.is_felt = False
        self._deadline = time.monotonic() + seconds
        self._weights: tuple[float, ...] = ()
        self._planned = 0.0
        self._parent: Budget | None = None

    @staticmethod
    def parse(text: str) -> Budget:
        """Budget of "90s", "10m" or "1.5h", which begins now; raises UsageError."""
        match = _TEXT.fullmatch(text.strip())
        seconds = float(match["number"]) * _UNITS[match["unit"]] if match else 0.0
        if not 0 < seconds <= _MOST_SECONDS:
            raise UsageError(f"the budget {text[:40]!r} is no time; write for example 90s, 10m or 1.5h.")
        return Budget(seconds)

    def __str__(self) -> str:
        """The whole, for people."""
        return told(self.whole_seconds)

    def left_seconds(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._deadline - time.monotonic()

    def plan(self, weights: Sequence[float]) -> None:
        """Say how many parts are to come, and how much each weighs (epochs, for example); raises UsageError on none above 0."""
        if any(not math.isfinite(weight) or weight <= 0 for weight in weights):
            raise UsageError("the parts of a budget must weigh more than nothing; correct their weights.")
        self._weights, self._planned = tuple(weights), sum(weights)

    def part(self) -> Budget:
        """The next part, which begins now."""
        share = self._weights[0] / sum(self._weights) if self._weights else 1.0
        by_weight = self._weights[0] / self._planned if self._weights else 1.0
        self._weights = self._weights[1:]
        made = Budget(self.left_seconds() * share, self.whole_seconds, self.share_seconds * by_weight)
        made._parent = self
        return made

    def feel(self) -> None:
        """Say that a training came out shorter for this budget, and so for all that it is part of."""
        self.is_felt = True
        if self._parent is not None:
            self._parent.feel()


def told(seconds: float) -> str:
    """A time as people read it: "45 s", "10 min", "1.5 h"."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
