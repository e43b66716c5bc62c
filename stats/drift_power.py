"""What drift can be seen: the power of one window's test, and how many windows the sequential test takes to its alarm.

And how much requests that belong together (of one device, of one minute) are worth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from ..core.errors import DataError
from .binned_tests import bridge_tail
from .distances import shares
from .drift_sequential import DriftState, DriftTest

Floats = NDArray[np.float64]


def window_power(reference: ArrayLike, changed: ArrayLike, requests: float, alpha: float, *, deff: float = 1.0) -> float:
    """Chance, or slightly less, that `ks_test` at level alpha sees one window of `requests` from `changed` [bins] (shares).

    `reference` are counts [bins]. The chance that the difference at the best edge exceeds the critical value, by the normal
    distribution; that another edge's does so alone is left out.
    """
    then, shape = np.asarray(reference, dtype=np.float64), shares(changed)
    base = shares(then)
    size, other = requests / deff, float(then.sum())
    if not 0 < alpha < 1 or size <= 0 or other <= 0:
        raise DataError("power needs 0 < alpha < 1, requests and a reference that are not empty.")
    pooled = np.cumsum((shape * size + then) / (size + other))[:-1]
    scale = np.sqrt(size * other / (size + other))
    critical = brentq(lambda far: float(bridge_tail(far, pooled)) - alpha, 1e-6, 6.0) / scale
    below, before = np.cumsum(shape)[:-1], np.cumsum(base)[:-1]
    spread = np.sqrt(below * (1 - below) / size + before * (1 - before) / other)
    reach = (np.abs(below - before) - critical) / np.maximum(spread, 1e-12)
    return float(norm.cdf(reach.max()))


def windows_to_alarm(
    test: DriftTest,
    changed: ArrayLike,
    requests: float,
    bound: float,
    *,
    after: float = 0.0,
    deff: float = 1.0,
    most: int = 10_000,
) -> NDArray[np.int64]:
    """Windows [measures] to an alarm when each brings `requests` spread as `changed` [measures, bins]; 0 if none in `most`.

    About the median of what chance makes of it. `after` is how many windows (of `FULL` requests or more) came before the
    change, whose bets are counted as lost.
    """
    window = shares(changed) * requests
    empty = test.start()
    state = DriftState(empty.money, np.full_like(empty.time, after))
    found = np.zeros(test.measures, dtype=np.int64)
    for number in range(1, most + 1):
        state = test.update(state, window, deff)
        found[(found == 0) & (test.log_e(state) >= bound)] = number
        if found.all():
            break
    return found


def design_effect(counts: ArrayLike) -> float:
    """How many requests are worth one independent one, from counts [clusters, bins] of clusters (devices); 1 or more.

    The variance of the cumulative shares between clusters over what independent requests would have, averaged over edges. 1 for
    fewer than two clusters. Source: Rao and Scott, The analysis of categorical data from complex sample surveys, JASA 76 (1981)
    221-230.
    """
    values = np.asarray(counts, dtype=np.float64)
    values = values[values.sum(axis=-1) > 0]
    if len(values) < 2:
        return 1.0
    below, size = np.cumsum(values, axis=-1)[:, :-1], values.sum(axis=-1, keepdims=True)
    rate = below.sum(axis=0) / size.sum()
    independent = size.sum() * rate * (1 - rate)
    between = ((below - size * rate) ** 2).sum(axis=0) * len(values) / (len(values) - 1)
    is_open = independent > 0
    if not is_open.any():
        return 1.0
    return max(1.0, float(between[is_open].sum() / independent[is_open].sum()))
