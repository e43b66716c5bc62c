"""Learned scales: positive numbers that start where calibration put them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .fake import scaled_gradient


class Scale(nn.Module):  # type: ignore[misc]
    """`start * exp(ratio)`, of which `ratio` is learned: positive whatever the optimizer does, and at first exactly `start`.

    The gradient of `ratio` is divided by the square root of `elements * largest` (LSQ, arXiv 1902.08153, section 2.2), so that
    scales learn at the pace of weights. `is_frozen` stops learning.
    """

    def __init__(self, start: Any, elements: int, largest: int, *, is_learned: bool = True) -> None:
        """`start`: float32 of any shape; `elements`: how many numbers of a sample one scale serves; `largest`: integer."""
        super().__init__()
        self.is_frozen = False
        self._balance = 1 / math.sqrt(max(1, elements * largest))
        self.register_buffer("start", start.clone())
        self.ratio = nn.Parameter(torch.zeros_like(start)) if is_learned else None

    def forward(self) -> Any:
        """The scale, float32 of the shape of `start`."""
        if self.ratio is None:
            return self.start
        ratio = self.ratio.detach() if self.is_frozen else scaled_gradient(self.ratio, self._balance)
        return self.start * torch.exp(ratio)
