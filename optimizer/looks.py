"""Which candidate looks at `accept` next: few looks, spread over the variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .trial import Trial

MOST_LOOKS = 3


def next_look(waiting: Sequence[Trial], looked: Sequence[Trial], baseline: Trial | None) -> Trial | None:
    """The next of `waiting` (best first) after `looked` did not pass, or None.

    Candidates of one variant share its weights, so where one fell short the others mostly will: a variant that has looked less
    often goes first. At most three look, the last of them the plain model where it has not, and the baseline in any case.
    """
    if len(looked) >= MOST_LOOKS:
        return next((trial for trial in waiting if trial is baseline), None)
    used = Counter(trial.variant for trial in looked)
    plain = [trial for trial in waiting if not trial.variant and trial is not baseline]
    if len(looked) == MOST_LOOKS - 1 and not used[""] and plain:
        return plain[0]
    return min(waiting, key=lambda trial: used[trial.variant], default=None)
