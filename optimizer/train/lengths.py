"""How many epochs a training under a budget is planned for: the plans that were made so far, and which of them stands.

The learning rate falls to its end over the planned epochs, so a state of one plan cannot go on in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.store import StepStore

_LONGER = 2.0


@dataclass(frozen=True)
class Length:
    """A plan: its epochs, and the share of a budget, in seconds, that it was made for."""

    epochs: int
    share_seconds: float


class Lengths:
    """The plans of one training, in the order in which they were made, in the step store."""

    def __init__(self, store: StepStore | None, known: Mapping[str, Any], whole: int, done: Callable[[int], float]) -> None:
        """Of the training that is all of `known`; `whole`: epochs that its schedule asks for.

        `done` tells which share of a plan of so many epochs lies in the store: 1 where it came to its end. Without a store
        nothing is remembered.
        """
        self._store, self._known, self._whole, self._done = store, known, whole, done

    def standing(self, share_seconds: float) -> int | None:
        """Epochs of the longest plan that such a share goes on with, or None where one must be made."""
        return self._longest(lambda plan: share_seconds / plan.share_seconds)

    def planned(self, room: float, share_seconds: float) -> int | None:
        """Epochs for a share of a budget that has `room` for so many, remembered; None where there is no room for one.

        A plan that is there is gone on with where that is as good.
        """
        epochs = self._longest(lambda plan: room / plan.epochs)
        if epochs is None:
            if room < 1:
                return None
            epochs = min(int(room), self._whole)
        if self._store is not None:
            self._store.json_step(self._key(len(self._made())), lambda: [epochs, share_seconds])
        return epochs

    def _longest(self, room: Callable[[Length], float]) -> int | None:
        """Epochs of the longest plan that stands; `room` tells how much of a plan would fit if it began anew."""
        return max((plan.epochs for plan in self._made() if self._stands(plan, room(plan))), default=None)

    def _stands(self, plan: Length, room: float) -> bool:
        """Whether going on is no worse than a new plan.

        It is where going on gets to the end, or where it is further already than a new beginning would get, and where no plan
        of twice the length, or more, would fit.
        """
        is_longest = plan.epochs >= self._whole or room < _LONGER
        return is_longest and self._done(plan.epochs) >= min(room, 1 - room)

    def _made(self) -> list[Length]:
        found: list[Length] = []
        while self._store is not None and self._store.find(self._key(len(found))) is not None:
            epochs, share_seconds = self._store.json_step(self._key(len(found)), list)
            found.append(Length(epochs, share_seconds))
        return found

    def _key(self, number: int) -> str:
        return StepStore.key("plan training", number=number, **self._known)
