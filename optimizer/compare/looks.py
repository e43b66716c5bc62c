"""When to look at the evidence, and what a look may spend, so that the level holds over all of them.

The looks are fixed beforehand and share a rule's level equally (a union bound, whatever the looks have in common); measuring
stops at a look that decides, or when time is up. So more rounds are measured exactly where fewer leave it undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...stats.rank_bounds import least_pairs

LOOKS = 5
_LEAST, _SPARE, _GROWTH = 8, 2, 1.5


@dataclass(frozen=True)
class Looks:
    """After how many pairs each look comes, and the error level of one look at one judgement."""

    pairs: tuple[int, ...]
    alpha: float


def plan_looks(alpha: float, judgements: int) -> Looks:
    """Looks at `judgements` that together err with a chance of at most `alpha`, each way."""
    level = alpha / max(judgements, 1) / LOOKS
    first = max(_LEAST, least_pairs(level) + _SPARE)
    return Looks(tuple(math.ceil(first * _GROWTH**look) for look in range(LOOKS)), level)
