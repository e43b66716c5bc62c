"""Feature matching: what lies inside a student made to look like what lies inside its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .losses import maps
from .pairs import Pair


def matcher(pairs: Sequence[Pair], seed: int) -> Any:
    """A module whose call gives the mean distance of all pairs (see `losses.maps`), from (student's values, teacher's values).

    Where the widths differ, a linear map of the student's channels (a 1x1 convolution; FitNets, 1412.6550, section 2.2) stands
    between; it is trained beside the student and thrown away with this module. Where the places differ, the larger map is
    averaged down to the smaller.
    """
    generator = torch.Generator().manual_seed(seed)
    return _Matcher(pairs, nn.ModuleList(_regressor(pair, generator) for pair in pairs))


class _Matcher(nn.Module):  # type: ignore[misc]  # torch has no types here
    def __init__(self, pairs: Sequence[Pair], regressors: nn.ModuleList) -> None:
        super().__init__()
        self.pairs, self.regressors = tuple(pairs), regressors

    def forward(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Mean over pairs of the distance of their maps."""
        distances = []
        for pair, regressor in zip(self.pairs, self.regressors, strict=True):
            made = regressor(student[pair.student.name].movedim(pair.student.axis, -1)).movedim(-1, 1)
            wanted = teacher[pair.teacher.name].movedim(pair.teacher.axis, 1)
            distances.append(maps(*_at_one_size(made, wanted)))
        return torch.stack(distances).mean()


def _regressor(pair: Pair, generator: torch.Generator) -> nn.Module:
    """Channels last in, channels last out."""
    if pair.student.channels == pair.teacher.channels:
        return nn.Identity()
    layer = nn.Linear(pair.student.channels, pair.teacher.channels, bias=False)
    nn.init.orthogonal_(layer.weight, generator=generator)
    return layer


def _at_one_size(made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [n, channels, *places], the larger averaged down to the smaller."""
    if made.shape[2:] == wanted.shape[2:]:
        return made, wanted
    size = tuple(min(a, b) for a, b in zip(made.shape[2:], wanted.shape[2:], strict=True))
    pool = functional.adaptive_avg_pool1d if len(size) == 1 else functional.adaptive_avg_pool2d
    return pool(made, size), pool(wanted, size)
