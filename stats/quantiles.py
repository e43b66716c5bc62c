"""Upper bounds of a quantile, such as the p90 of a latency."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from ..core.errors import DataError


def quantile_upper_bound(values: ArrayLike, quantile: float = 0.90, confidence: float = 0.99) -> float | None:
    """Upper bound of a quantile at a confidence, free of any distribution; None where there are too few values.

    It is the largest value after dropping t of them, t the most for which t or fewer of n values would lie above the true
    quantile with probability at most 1 - confidence. This is MLPerf LoadGen's early-stopping estimator at tolerance 0 (MLPerf
    Inference rules, "early stopping"; order statistics as in David and Nagaraja, section 7.1). p90 at 99 % needs 44 values.
    """
    times = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not np.all(np.isfinite(times)):
        raise DataError("a quantile cannot be bounded over values that are not finite; measure again.")
    if not (0 < quantile < 1 and 0 < confidence < 1):
        raise DataError("quantile and confidence must lie between 0 and 1; give for example 0.90 and 0.99.")
    n = len(times)
    dropped = np.arange(n)
    allowed = np.flatnonzero(binom.cdf(dropped, n, 1 - quantile) <= 1 - confidence) if n else dropped
    return float(times[n - 1 - allowed[-1]]) if len(allowed) else None
