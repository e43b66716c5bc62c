"""p-values of several tests, adjusted: compare the result with alpha itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import DataError

Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> Floats:
    """Adjusted p-values [..., tests] with family-wise control: the chance of any false alarm is at most alpha.

    Holds whatever the tests depend on. NaN (nothing was tested) stays NaN and is not counted. Source: Holm, Scandinavian
    Journal of Statistics 6 (1979) 65-70.
    """
    values, order, count = _sorted(p)
    rank = np.arange(values.shape[-1])
    scaled = np.take_along_axis(values, order, axis=-1) * np.maximum(count - rank, 1)
    return _back(np.maximum.accumulate(np.minimum(scaled, 1.0), axis=-1), order)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Adjusted p-values [..., tests] with control of the false discovery rate, which is less than family-wise control.

    Of the alarms a share of alpha on average is false, if tests are independent or positively dependent; where nothing drifts
    at all, that is one false alarm with a chance of alpha. NaN stays NaN and is not counted. Source: Benjamini and Hochberg,
    JRSS B 57 (1995) 289-300.
    """
    values, order, count = _sorted(p)
    rank = np.arange(1, values.shape[-1] + 1)
    scaled = np.take_along_axis(values, order, axis=-1) * count / rank
    scaled = np.where(np.isnan(scaled), np.inf, scaled)
    least = np.minimum(np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1], 1.0)
    return _back(np.where(rank <= count, least, np.nan), order)


def _sorted(p: ArrayLike) -> tuple[Floats, NDArray[np.intp], NDArray[np.int64]]:
    """Values, their order with NaN last, and how many are not NaN [..., 1]."""
    values = np.asarray(p, dtype=np.float64)
    if values.ndim == 0 or np.any((values < 0) | (values > 1)):
        raise DataError("p-values lie between 0 and 1; give an array [..., tests].")
    return values, np.argsort(values, axis=-1, kind="stable"), np.sum(~np.isnan(values), axis=-1, keepdims=True)


def _back(adjusted: Floats, order: NDArray[np.intp]) -> Floats:
    found = np.empty_like(adjusted)
    np.put_along_axis(found, order, adjusted, axis=-1)
    return found
