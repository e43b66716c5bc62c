"""How sure a classifier is of a sample: counted at compile time and on devices by one rule, so that the bins compare."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-2


class Confidence:
    """The largest probability of each sample: as a model gives it, or by softmax of its scores.

    Which of the two it is, is told by outputs [n, classes] that are known to be the model's.
    """

    def __init__(self, known: NDArray[Any] | None) -> None:
        self._is_probability = known is not None and bool(
            known.min() >= 0 and np.allclose(known.sum(axis=-1), 1, atol=_SUM_TOLERANCE)
        )

    def of(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Confidence [n] of scores [n, classes]."""
        wide = scores.astype(np.float64)
        largest = wide.max(axis=1)
        if self._is_probability:
            return np.asarray(largest)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(1 / np.exp(wide - largest[:, None]).sum(axis=1))
