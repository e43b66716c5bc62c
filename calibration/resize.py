"""Bilinear resizing of image batches, as Pillow does it: a triangle filter that widens when it shrinks (antialiasing)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize_bilinear(images: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Images [n, h, w, c] of any type as [n, height, width, c] of the same type; integers are rounded and kept in range."""
    if images.shape[1:3] == (height, width):
        return images
    values: NDArray[Any] = images.astype(np.float32, copy=False)
    # The two products are separable; horizontally first, as Pillow does.
    values = np.matmul(_weights(images.shape[2], width), values)
    count, rows, _, channels = values.shape
    values = np.matmul(_weights(rows, height), values.reshape(count, rows, width * channels))
    values = values.reshape(count, height, width, channels)
    if images.dtype.kind in "iu":
        limits = np.iinfo(images.dtype)
        values = np.clip(np.floor(values + np.float32(0.5)), limits.min, limits.max)
    made: NDArray[Any] = values.astype(images.dtype, copy=False)
    return made


@lru_cache(maxsize=256)
def _weights(source: int, target: int) -> NDArray[np.float32]:
    """Matrix [target, source] of the triangle filter at half-pixel centres; its rows sum to one."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centres) / support
    weights = np.maximum(0.0, 1.0 - distance)
    made: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return made
