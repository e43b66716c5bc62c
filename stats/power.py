"""How many samples a gate needs, before and after looking."""

from __future__ import annotations

import math

from ..core.errors import DataError
from .paired import normal_quantile

POWER = 0.90


def samples_needed(psi: float, margin: float, alpha: float = 0.05, power: float = POWER) -> int:
    """Paired samples for a margin (a share, 0.01 is a point) when a share `psi` of them flips and the true loss is 0.

    (z_alpha + z_beta)^2 psi / margin^2, and never fewer than a comparison without flips needs. Source: the normal
    approximation of Tango's test, Statistics in Medicine 17 (1998) 891-908. Raises DataError for a margin of 0 or less.
    """
    if not 0 <= psi <= 1:
        raise DataError(f"a share of flips of {psi} is not between 0 and 1; give for example 0.04.")
    least = samples_without_flips(margin, alpha)
    return max(least, _up(quantile_sum(alpha, power) ** 2 * psi / margin**2))


def samples_without_flips(margin: float, alpha: float = 0.05) -> int:
    """Fewest samples with which Tango's bound can lie inside `margin`: z^2 / (n + z^2) <= margin."""
    if not 0 < margin < 1:
        raise DataError(f"a margin of {margin} cannot be shown with any number of samples; give one between 0 and 1.")
    return _up(float(normal_quantile(alpha)) ** 2 * (1 - margin) / margin)


def quantile_sum(alpha: float, power: float = POWER) -> float:
    """z_alpha + z_beta."""
    return float(normal_quantile(alpha)) + float(normal_quantile(1 - power))


def unseen_share(units: int, alpha: float) -> float:
    """Share of all cases that may still differ after `units` of them did not: z^2 / (units + z^2)."""
    square = float(normal_quantile(alpha)) ** 2
    return square / (units + square)


def _up(value: float) -> int:
    """Ceiling that forgives the last bit."""
    return math.ceil(value - 1e-9)
