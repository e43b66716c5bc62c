"""Weights that swing between two integers: how often they do, and holding those that do it too often.

Straight-through gradients push a weight across the same rounding threshold again and again, so that training ends on either
side by chance. Following Nagel et al. (arXiv 2203.11086, section 4.2), a weight whose frequency of swings exceeds a threshold
is held at the integer that it was at most of the time; the threshold falls as a cosine during training.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

_MEMORY = 0.01
_THRESHOLD_FIRST, _THRESHOLD_LAST = 0.04, 0.01


def threshold(step: int, steps: int) -> float:
    """Frequency of swings above which a weight is held, at `step` of `steps`."""
    share = min(1.0, step / max(1, steps - 1))
    return _THRESHOLD_LAST + (_THRESHOLD_FIRST - _THRESHOLD_LAST) * (1 + math.cos(math.pi * share)) / 2


class Swings(nn.Module):  # type: ignore[misc]
    """What is remembered of the integers of one layer's weights from step to step."""

    def __init__(self, levels: Any) -> None:
        """`levels`: the integers before the first step, of any shape."""
        super().__init__()
        self.register_buffer("last", levels.to(torch.int8))
        self.register_buffer("direction", torch.zeros_like(levels, dtype=torch.int8))
        self.register_buffer("frequency", torch.zeros_like(levels, dtype=torch.float32))
        self.register_buffer("average", levels.float())

    def see(self, levels: Any) -> None:
        """Take in the integers after a step."""
        change = levels.to(torch.int8) - self.last
        direction = change.sign()
        swings = direction * self.direction < 0
        self.frequency.lerp_(swings.float(), _MEMORY)
        self.average.lerp_(levels.float(), _MEMORY)
        self.direction.copy_(torch.where(change != 0, direction, self.direction))
        self.last.copy_(levels)

    def restless(self, limit: float) -> tuple[Any, Any]:
        """Which weights swing more often than `limit`, and the integer nearest to the average of each."""
        return self.frequency > limit, self.average.round()
