"""Which candidate looks at `accept` next: few looks, spread over the variants, the early ones, which cost least, well spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .trial import Trial

MOST_LOOKS = 3
_LIKELY, _WORTH_TRYING = 0.5, 0.15


def next_look(
    waiting: Sequence[Trial], looked: Sequence[Trial], baseline: Trial | None, chance_of: Callable[[Trial, int], float]
) -> Trial | None:
    """The next of `waiting` (best first) after `looked` did not pass, or None; `chance_of` a candidate at the n-th look.

    Candidates of one variant share its weights, so where one fell short the others mostly will: a variant that has looked less
    often goes first. At most three look, the last of them the plain model where it has not, and the baseline in any case.

    Each look leaves a stricter level to the next. So the best does not look before a likely one that would no longer be likely
    one look later, nor where it has hardly a chance itself. The plain model in float nearly always passes, and gives way.
    """
    if len(looked) >= MOST_LOOKS:
        return next((trial for trial in waiting if trial is baseline), None)
    used = Counter(trial.variant for trial in looked)
    plain = [trial for trial in waiting if not trial.variant and trial is not baseline]
    if len(looked) == MOST_LOOKS - 1 and not used[""] and plain:
        return plain[0]
    pool = sorted(waiting, key=lambda trial: used[trial.variant])
    return _well_spent(pool, chance_of, len(looked) + 1) if pool else None


def _well_spent(pool: Sequence[Trial], chance_of: Callable[[Trial, int], float], look: int) -> Trial:
    """The first of `pool`, or the likely one for which it has to wait."""
    ahead: list[Trial] = []
    for trial in pool:
        if _is_plain_float(trial):
            return max(ahead, key=lambda item: chance_of(item, look), default=trial)
        if chance_of(trial, look) >= _LIKELY:
            worth = [item for item in ahead if chance_of(item, look) >= _WORTH_TRYING]
            return worth[0] if worth and chance_of(trial, look + 1) >= _LIKELY else trial
        ahead.append(trial)
    return max(ahead, key=lambda item: chance_of(item, look))


def _is_plain_float(trial: Trial) -> bool:
    return not trial.variant and trial.precision != "int8"
