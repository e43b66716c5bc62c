"""The budget of a compile, handed out to its trainings: only time that is spent training counts against it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..core.errors import UsageError
from .train.budget import Budget, told

_LEAST_SECONDS = 1.0


class Purse:
    """Seconds for several trainings that are weighed against each other; what one leaves goes to those after it.

    Between trainings candidates are built, judged and timed: the clock of a plain `Budget` would run on there.
    """

    def __init__(self, text: str | None, weights: Sequence[float]) -> None:
        """`text` is the budget or None for no limit, `weights` those of the trainings to come; raises UsageError."""
        self._whole = self._left = None if text is None else Budget.parse(text).whole_seconds
        self._weights = list(weights)
        least = _LEAST_SECONDS * len(self._weights)
        if self._left is not None and self._left < least:
            raise UsageError(
                f"the budget {text!r} is too small for {len(self._weights)} training(s); give at least {told(least)}, "
                "or fewer recipes."
            )

    @contextmanager
    def part(self, weight: float) -> Iterator[Budget | None]:
        """The budget of the next training, or None where there is no limit."""
        whole = sum(self._weights)
        if weight in self._weights:
            self._weights.remove(weight)
        if self._left is None:
            yield None
            return
        start = time.monotonic()
        try:
            yield Budget(self._left * (weight / whole if whole > 0 else 1.0), self._whole)
        finally:
            self._left -= time.monotonic() - start
