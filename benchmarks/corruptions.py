"""What can happen to a camera's images, in five severities: noise, blur, dusk, glare, a covered spot.

Kinds as in Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions, 1903.12261; own strengths,
made for small images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Images = NDArray[Any]  # float [n, channels, height, width] in 0 to 1
SEVERITIES = 6  # 0 is none
_NOISE = (0, 0.2, 0.4, 0.6, 0.8, 1.0)  # standard deviation
_BLUR = (0, 0.8, 1.2, 1.6, 2.0, 2.6)  # pixels
_DUSK = (1, 0.6, 0.4, 0.25, 0.15, 0.1)  # share of the light that is left
_GLARE = (0, 0.1, 0.2, 0.35, 0.5, 0.65)  # light that is added
_SPOT = (0, 0.2, 0.3, 0.35, 0.43, 0.5)  # side of the covered square, as a share of the image's


def noise(images: Images, severity: int, draw: np.random.Generator) -> Images:
    return np.clip(images + draw.normal(0, _NOISE[severity], images.shape), 0, 1)


def blur(images: Images, severity: int, draw: np.random.Generator) -> Images:
    return gaussian_filter(images, (0, 0, _BLUR[severity], _BLUR[severity]))


def dusk(images: Images, severity: int, draw: np.random.Generator) -> Images:
    return images * _DUSK[severity]


def glare(images: Images, severity: int, draw: np.random.Generator) -> Images:
    return np.clip(images + _GLARE[severity], 0, 1)


def spot(images: Images, severity: int, draw: np.random.Generator) -> Images:
    covered, side = images.copy(), round(_SPOT[severity] * images.shape[-1])
    for image in covered:
        down, right = draw.integers(0, images.shape[-1] - side + 1, 2)
        image[:, down : down + side, right : right + side] = 0
    return covered


Corruption = Callable[[Images, int, np.random.Generator], Images]
KINDS: tuple[Corruption, ...] = (noise, blur, dusk, glare, spot)


def mixed(images: Images, shares: Sequence[float], draw: np.random.Generator) -> Images:
    """Every image with one corruption of any kind; `shares` [SEVERITIES] tells how often each severity is drawn."""
    made = images.copy()
    kinds, severities = draw.integers(len(KINDS), size=len(images)), draw.choice(SEVERITIES, len(images), p=shares)
    for kind, corrupt in enumerate(KINDS):
        for severity in range(1, SEVERITIES):
            chosen = (kinds == kind) & (severities == severity)
            if chosen.any():
                made[chosen] = corrupt(images[chosen], severity, draw)
    return made.astype(images.dtype)
