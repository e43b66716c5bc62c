"""Bins with too little in them, pooled with their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def groups(amounts: Floats, least: float) -> NDArray[np.int64]:
    """Group [..., bins], 0 and up, of each bin: neighbours until a group has `least`; the last one takes what is left."""
    held = np.zeros(amounts.shape[:-1])
    number = np.zeros(amounts.shape[:-1], dtype=np.int64)
    group = np.empty(amounts.shape, dtype=np.int64)
    for column in range(amounts.shape[-1]):
        group[..., column] = number
        held = held + amounts[..., column]
        is_full = held >= least
        number = number + is_full
        held = np.where(is_full, 0.0, held)
    return np.minimum(group, np.maximum(number - 1, 0)[..., None])


def pooled(values: Floats, group: NDArray[np.int64]) -> Floats:
    """Sums [..., bins] of `values` [..., bins] by group, zeros behind the last group."""
    flat, where = values.reshape(-1, values.shape[-1]), group.reshape(-1, group.shape[-1])
    found = np.zeros_like(flat)
    np.add.at(found, (np.arange(len(flat))[:, None], where), flat)
    return found.reshape(values.shape)
