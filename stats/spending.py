"""What each further look at the same judging data may cost.

A look is a new candidate judged on the same samples. The error levels of all looks together never exceed alpha (a union bound,
so it holds however candidates depend on each other and on earlier verdicts):

    look 1              0.8 alpha
    look k, k >= 2      0.2 alpha / (k (k - 1))

Why 0.8: nearly every compile looks once, so the first look should cost almost nothing: at alpha 5 % it needs 7 % more samples
than an unguarded test at 90 % power (half of alpha would cost 23 %, nine tenths 3.5 %). The fifth kept back is what makes a
second look (0.5 %) possible at 1.7 times the samples; at nine tenths it would be twice. And Tango's bound, which at the worst
flip rate overshoots 5 % to 6.8 %, stays at 4.7 % at the 4 % level. Why a series without end: nobody says beforehand how often
he will compile.
"""

from __future__ import annotations

from ..core.errors import DataError

FIRST_SHARE = 0.8


def alpha_of_look(look: int, alpha: float = 0.05) -> float:
    """Error level of the `look`-th look (1, 2, ...) at the same data; summed over all looks it is `alpha`."""
    if look < 1:
        raise DataError(f"looks are counted from 1, not {look}; give the number of the look.")
    if look == 1:
        return FIRST_SHARE * alpha
    return (1 - FIRST_SHARE) * alpha / (look * (look - 1))


def alpha_spent(looks: int, alpha: float = 0.05) -> float:
    """Error level that `looks` looks have used together."""
    return sum(alpha_of_look(look, alpha) for look in range(1, looks + 1))
