"""Tests that may be looked at after every observation: e-processes, in the standard library alone.

An e-process is a wealth that starts at 1 and, while its hypothesis holds, does not grow on average, whatever the rule to stop
by. By Ville's inequality it then ever reaches 1 / alpha with a probability of at most alpha, so a hypothesis is given up, at
any moment, when it does. Wealth is told as its natural logarithm. Source: Ramdas, Grünwald, Vovk and Shafer, Game-theoretic
statistics and safe anytime-valid inference, Statistical Science 38 (2023) 576-601.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..core.errors import DataError

# Alternatives of a test against a rate of at most `allowed`: from these odds, times the allowed ones, up to this rate. They get
# the less weight the higher they are, since rates that are a little too high take longest to see.
_NEAREST_ODDS, _FARTHEST_RATE, _ALTERNATIVES = 2.8, 0.6, 12
# Alternatives of a test against a rate of at least `unacceptable`: from this share of the rate that is hoped for, up to the
# middle between the two.
_SMALLEST_SHARE = 0.1
_BELOW_ALTERNATIVES = 8
# Shares of the largest bet that cannot ruin; the mixture of constant bets does nearly as well as the best of them.
BETS = (0.1, 0.3, 0.6, 0.95)


@dataclass(frozen=True)
class RateTest:
    """An e-process against one rate of failures, `null`: likelihood ratios of `rates` to it, averaged with `weights`.

    With all rates above `null` it tests "the rate is at most `null`", with all below "at least": a ratio's mean is at most 1
    under each of those, not at `null` alone, because the likelihood ratio rises with the number of failures. Source: the
    method of mixtures, Robbins, Annals of Mathematical Statistics 41 (1970) 1397-1409.
    """

    null: float
    rates: tuple[float, ...]
    weights: tuple[float, ...]

    def log_e(self, bad: int, count: int) -> float:
        """Logarithm of the wealth after `bad` failures in `count` trials."""
        steps = zip(self.weights, self.log_ratios, strict=True)
        return _log_sum([math.log(weight) + bad * up + (count - bad) * down for weight, (up, down) in steps])

    def path(self, failures: Iterable[bool]) -> list[float]:
        """Logarithm of the wealth after each trial, in their order."""
        ratios = self.log_ratios
        terms = [math.log(weight) for weight in self.weights]
        found = []
        for is_bad in failures:
            terms = [term + ratio[0 if is_bad else 1] for term, ratio in zip(terms, ratios, strict=True)]
            found.append(_log_sum(terms))
        return found

    @property
    def log_ratios(self) -> tuple[tuple[float, float], ...]:
        """For each rate the logarithms of its ratio to `null` for a failure and for a success."""
        return _log_ratios(self.null, self.rates)


@lru_cache
def _log_ratios(null: float, rates: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple((math.log(rate / null), math.log1p(-rate) - math.log1p(-null)) for rate in rates)


@lru_cache
def at_most(allowed: float) -> RateTest:
    """The test of "the rate is at most `allowed`", 0 < allowed < 1; its wealth grows where the rate is clearly higher."""
    _check_rate(allowed)
    nearest = _rate(_NEAREST_ODDS * _odds(allowed))
    farthest = max(_FARTHEST_RATE, _rate(_NEAREST_ODDS * _odds(nearest)))
    rates = _between(nearest, farthest, _ALTERNATIVES)
    return RateTest(allowed, rates, _normal([rate**-0.5 for rate in rates]))


@lru_cache
def at_least(unacceptable: float, hoped: float) -> RateTest:
    """The test of "the rate is at least `unacceptable`", made to give up soonest where the rate is about `hoped` or less.

    0 < hoped < unacceptable < 1; raises DataError otherwise.
    """
    _check_rate(unacceptable)
    if not 0 < hoped < unacceptable:
        raise DataError(f"a rate of {hoped:g} is not below {unacceptable:g}; give an allowed rate below the unacceptable one.")
    rates = _between(_SMALLEST_SHARE * hoped, math.sqrt(hoped * unacceptable), _BELOW_ALTERNATIVES)
    return RateTest(unacceptable, rates, _normal([1.0] * len(rates)))


def fewest_without_failure(test: RateTest, alpha: float) -> int:
    """Trials, none of them a failure, after which a test of "at least" is given up at level `alpha`."""
    bound, count = log_bound(alpha), 1
    while test.log_e(0, count) < bound:
        count += 1
    return count


@dataclass(frozen=True)
class MeanTest:
    """An e-process by betting against "the mean is at most `null`", for values from `low` up, however high they may be.

    A bet of `stake` multiplies the wealth by 1 + stake (value - null), which no value can make negative for stakes up to
    1 / (null - low). The wealth is the average over `BETS`, shares of that largest stake. Sources: Waudby-Smith and Ramdas,
    Estimating means of bounded random variables by betting, JRSS B 86 (2024) 1-27; the average of constant bets: Cover,
    Universal portfolios, Mathematical Finance 1 (1991) 1-29.
    """

    null: float
    low: float

    def __post_init__(self) -> None:
        """Raise DataError for a mean that no values have."""
        if not (math.isfinite(self.null) and math.isfinite(self.low) and self.low < self.null):
            raise DataError(f"a mean of {self.null:g} is not above {self.low:g}, the least value; give a larger margin.")

    def path(self, values: Sequence[float]) -> list[float]:
        """Logarithm of the wealth after each value, in their order; raises DataError for one below `low`."""
        stakes = [share / (self.null - self.low) for share in BETS]
        wealth = [0.0] * len(stakes)
        found = []
        for value in values:
            if not value >= self.low:
                raise DataError(f"a value of {value:g} is below {self.low:g}, the least that there can be.")
            steps = [math.log1p(stake * (value - self.null)) for stake in stakes]  # no share is 1, so none is ruined
            wealth = [held + step for held, step in zip(wealth, steps, strict=True)]
            found.append(_log_sum(wealth) - math.log(len(stakes)))
        return found


def log_bound(alpha: float) -> float:
    """What the logarithm of a wealth must reach for a level of `alpha`; raises DataError outside 0 < alpha < 1."""
    if not 0 < alpha < 1:
        raise DataError(f"an error level of {alpha:g} does not lie between 0 and 1; give for example 0.05.")
    return -math.log(alpha)


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise DataError(f"a rate of failures of {rate:g} does not lie between 0 and 1; give for example 0.03.")


def _log_sum(terms: Sequence[float]) -> float:
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def _odds(rate: float) -> float:
    return rate / (1 - rate)


def _rate(odds: float) -> float:
    return odds / (1 + odds)


def _between(first: float, last: float, count: int) -> tuple[float, ...]:
    """Rates in equal ratios."""
    return tuple(first * (last / first) ** (step / (count - 1)) for step in range(count))


def _normal(weights: Sequence[float]) -> tuple[float, ...]:
    return tuple(weight / sum(weights) for weight in weights)
