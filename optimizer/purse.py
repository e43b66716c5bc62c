"""The budget of a compile, handed out to its trainings: only time that is spent training counts against it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..core.errors import UsageError
from .train.budget import Budget, told

_LEAST_SECONDS = 1.0

Job = tuple[str, str]
"""A training of a compile: the variant's name, and which of its trainings it is."""


class Purse:
    """Seconds for several trainings that are weighed against each other; what one leaves goes to those after it.

    Between trainings candidates are built, judged and timed: the clock of a plain `Budget` would run on there.
    """

    def __init__(self, text: str | None, weights: Mapping[Job, float]) -> None:
        """`text` is the budget or None for no limit, `weights` those of all trainings to come; raises UsageError."""
        self._whole = self._left = None if text is None else Budget.parse(text).whole_seconds
        self._weights = dict(weights)
        self._to_come = set(weights)
        least = _LEAST_SECONDS * len(weights)
        if self._left is not None and self._left < least:
            raise UsageError(
                f"the budget {text!r} is too small for {len(weights)} training(s); give at least {told(least)}, "
                "or fewer recipes."
            )

    def share_seconds(self, job: Job) -> float | None:
        """What the request alone gives this training, whatever the others leave; None where there is no limit."""
        return None if self._whole is None else self._whole * self._weights[job] / sum(self._weights.values())

    @contextmanager
    def part(self, job: Job) -> Iterator[Budget | None]:
        """The budget of a training that begins now, or None where there is no limit."""
        self._to_come.discard(job)
        if self._left is None:
            yield None
            return
        weight = self._weights[job]
        rest = sum(self._weights[other] for other in self._to_come)
        start = time.monotonic()
        try:
            yield Budget(self._left * weight / (rest + weight), self._whole, self.share_seconds(job))
        finally:
            self._left -= time.monotonic() - start

    def give_back(self, job: Job) -> None:
        """This training needs no time, or no more: what it has left is for those to come."""
        self._to_come.discard(job)

    def give_back_all(self, variant: str) -> None:
        """As `give_back`, for every training of a variant that goes no further."""
        self._to_come = {job for job in self._to_come if job[0] != variant}
