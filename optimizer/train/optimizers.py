"""The optimizer of a training, and the learning rate of each step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ...core.errors import PassError
from .schedule import Schedule
from .user import UserFunction, blame

_MOMENTUM = 0.9


class Descent:
    """An optimizer over `parameters`, its rates set by a schedule."""

    def __init__(self, parameters: Iterable[nn.Parameter], schedule: Schedule, rate: float, user: UserFunction | None) -> None:
        """`rate` is the highest learning rate; the user's own optimizer is made where he brings one. Raises PassError."""
        self.parameters = list(parameters)
        self._schedule = schedule
        groups = _groups(self.parameters, schedule.decay())
        if user is not None:
            self.optimizer = _by_user(user, groups, rate)
        elif schedule.optimizer == "adamw":
            self.optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
        else:
            self.optimizer = torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM, nesterov=True, fused=True)
        self._rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, loss: torch.Tensor, share: float) -> bool:
        """One step down from `loss` at `share` of the highest rates; False, and no step, where the gradient is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        limit = self._schedule.clip or float("inf")
        norm = nn.utils.clip_grad_norm_([item for item in self.parameters if item.grad is not None], limit)
        if not bool(torch.isfinite(norm)):
            return False
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        return True


def _groups(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Two groups: what decays, and biases, scales and norms, which have at most one axis and do not."""
    listed = list(parameters)
    wide = [item for item in listed if sum(size > 1 for size in item.shape) > 1]
    narrow = [item for item in listed if sum(size > 1 for size in item.shape) <= 1]
    groups = [{"params": wide, "weight_decay": decay}, {"params": narrow, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _by_user(user: UserFunction, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    with blame(user, "optimizer"):
        made = user.call(groups, rate)
    if not isinstance(made, torch.optim.Optimizer):
        raise PassError(
            f"the optimizer {user.name!r} returned {type(made).__name__}, and must return a torch.optim.Optimizer; it is "
            "called with (groups, lr)."
        )
    return made
