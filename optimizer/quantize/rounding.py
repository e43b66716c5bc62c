"""Rounding weights so that errors cancel in the layer's output instead of adding up.

Column by column, the error of a rounded weight is spread over the weights not yet rounded, in the metric of the covariance of
the layer's inputs (GPTQ, Frantar et al., arXiv 2210.17323; for a depthwise kernel this is optimal brain quantization of its few
weights). The mean of the inputs is left to the bias, which takes its error out exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...calibration.moments import Moments
from ...core.canonical import digest

_DAMPING = 0.01
_PARTS = (1.0, 0.93, 0.86, 0.79, 0.72, 0.65, 0.58, 0.5)  # of a row's largest magnitude that its integers may reach
_SPARSE_SHARE = 0.2  # of exact zeros, above which they were made on purpose


class Rounder:
    """Rounds the layers whose moments are known; what was rounded with the same scales before is kept."""

    def __init__(self, moments: Mapping[str, Moments]) -> None:
        """`moments` by the layer's first output."""
        self._moments = moments
        self._made: dict[tuple[str, int, str, str], NDArray[np.int8]] = {}
        self._scales: dict[tuple[str, int, str], NDArray[np.float32]] = {}

    def moments(self, layer: str) -> Moments | None:
        """Moments of a layer's patches, where they were taken."""
        return self._moments.get(layer)

    def round(
        self, layer: str, rows: NDArray[np.float32], scales: NDArray[np.float32], limit: int = 127
    ) -> NDArray[np.int16] | None:
        """Integers [outputs, k] of `rows` in [-limit, limit], or None for a layer without moments or of another shape."""
        found = self._fitting(layer, rows)
        if found is None or len(scales) != len(rows):
            return None
        key = (layer, limit, _digest(rows), _digest(scales))
        if key not in self._made:
            # Integers fit in a byte: what is kept of a model is a quarter of its weights.
            self._made[key] = compensated(rows, scales, found, limit).astype(np.int8)
        return self._made[key].astype(np.int16)

    def scales(self, layer: str, rows: NDArray[np.float32], limit: int) -> NDArray[np.float32] | None:
        """Scales [outputs] with which rounding to [-limit, limit] gives the least output error, or None as `round` does.

        With few levels the scale of the least error in the weights clips those that large inputs are multiplied by.
        """
        found = self._fitting(layer, rows)
        if found is None:
            return None
        key = (layer, limit, _digest(rows))
        if key not in self._scales:
            self._scales[key] = best_scales(rows, found, limit)
        return self._scales[key]

    def _fitting(self, layer: str, rows: NDArray[np.float32]) -> Moments | None:
        found = self._moments.get(layer)
        fits = found is not None and rows.shape[1] == found.mean.shape[1] and len(rows) % len(found.mean) == 0
        return found if fits else None


def _digest(array: NDArray[np.float32]) -> str:
    return digest(np.ascontiguousarray(array).data)


def compensated(
    rows: NDArray[np.float32], scales: NDArray[np.float32], moments: Moments, limit: int = 127
) -> NDArray[np.int16]:
    """Integers [outputs, k] in [-limit, limit] of `rows` with a scale each, outputs in the order of their groups.

    Zeros of a sparse layer stay zeros.
    """
    return _sweep(rows, scales, _inverse_factor(moments.covariance), limit)


def best_scales(rows: NDArray[np.float32], moments: Moments, limit: int) -> NDArray[np.float32]:
    """Of eight scales for each of `rows` [outputs, k] the one with the least mean squared output error once compensated."""
    groups, size = moments.mean.shape
    factor = _inverse_factor(moments.covariance)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    # Scales are float32 from the start: the scale that was judged is the scale that ships.
    scales = [np.where(largest > 0, largest * part / limit, 1).astype(np.float32) for part in _PARTS]
    errors = []
    for candidate in scales:
        error = (_sweep(rows, candidate, factor, limit) * candidate[:, None] - rows).astype(np.float64)
        by_group = error.reshape(groups, -1, size)
        errors.append(((by_group @ moments.covariance) * by_group).sum(axis=2).reshape(-1))
    return np.asarray(np.stack(scales)[np.argmin(errors, axis=0), np.arange(len(rows))])


def _sweep(
    rows: NDArray[np.float32], scales: NDArray[np.float32], factor: NDArray[np.float64], limit: int
) -> NDArray[np.int16]:
    groups, size, _ = factor.shape
    weights = rows.reshape(groups, -1, size).astype(np.float64)
    steps = scales.astype(np.float64).reshape(groups, -1)
    integers = np.zeros(weights.shape, np.int16)
    zeros = kept_zeros(rows).reshape(weights.shape)
    for column in range(size):
        current = weights[:, :, column]
        rounded = np.where(zeros[:, :, column], 0, np.clip(np.rint(current / steps), -limit, limit))
        integers[:, :, column] = rounded
        error = (current - rounded * steps) / factor[:, column, column][:, None]
        weights[:, :, column:] -= error[:, :, None] * factor[:, None, column, column:]
    return integers.reshape(rows.shape)


def kept_zeros(weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which weights of a layer stay zero: all exact zeros where they are more than a fifth, else none."""
    zeros = weights == 0
    return zeros if zeros.mean() > _SPARSE_SHARE else np.zeros_like(zeros)


def _inverse_factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper Cholesky factor of the damped inverse, [groups, k, k]; damped more where rounding made it indefinite."""
    size = covariance.shape[-1]
    diagonal = np.einsum("gii->gi", covariance).mean(axis=1)
    # A covariance of any size is judged by its shape alone; inputs that never vary leave the weights to the nearest.
    scaled = covariance / np.where(diagonal > 0, diagonal, 1.0)[:, None, None]
    damping = _DAMPING
    while True:
        try:
            inverse = np.linalg.inv(scaled + damping * np.eye(size))
            lower = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
            return np.asarray(lower.transpose(0, 2, 1))
        except np.linalg.LinAlgError:
            damping *= 10


def mean_error(error: NDArray[np.float32], moments: Moments) -> NDArray[np.float64]:
    """Mean output error [outputs] of weights that are off by `error` [outputs, k]."""
    groups, size = moments.mean.shape
    return np.asarray(np.einsum("gok,gk->go", error.reshape(groups, -1, size), moments.mean).reshape(-1))
