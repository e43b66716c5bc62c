"""Judging a state of a module on data that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from .batches import TrainingData
from .device import half_precision
from .objective import Objective, Samples


@dataclass(frozen=True)
class Judgement:
    """Mean loss and mean score (higher is better) over the samples."""

    loss: float
    score: float

    def is_better_than(self, other: Judgement | None) -> bool:
        """By score, among equals by loss; what is not finite is never better."""
        if not (math.isfinite(self.score) and math.isfinite(self.loss)):
            return False
        return other is None or (self.score, -self.loss) > (other.score, -other.loss)


def compute(module: nn.Module, objective: Objective, batch: Samples, *, mixed: bool) -> Mapping[str, torch.Tensor]:
    """The values that the objective reads."""
    return graph_values(module, batch.inputs, objective.keep, mixed=mixed)


def graph_values(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], keep: tuple[str, ...], *, mixed: bool
) -> Mapping[str, torch.Tensor]:
    """Outputs and kept values of a graph by name, floats as float32, computed in 16 bits where that is `mixed` and safe."""
    device = next(iter(inputs.values())).device
    with half_precision(device, is_wanted=mixed):
        values = module(inputs, keep=keep)
    return {name: value.float() if value.is_floating_point() else value for name, value in values.items()}


def judge(
    modules: Mapping[str, nn.Module],
    objective: Objective,
    data: TrainingData,
    size: int,
    device: torch.device,
    *,
    mixed: bool,
) -> Judgement:
    """Judge `modules` (the graph under "", and the objective's own) on `data`, `size` samples at a time."""
    for module in modules.values():
        module.eval()
    loss, score, count = 0.0, 0.0, 0
    with torch.no_grad():
        for batch in data.in_order(size, device):
            values = compute(modules[""], objective, batch, mixed=mixed)
            samples = len(batch.places)
            loss += float(objective.loss(batch, values)) * samples
            score += float(objective.score(batch, values).double().sum())
            count += samples
    return Judgement(loss / count, score / count)
