"""One training loop for all references: seeded batches, a one-cycle rate, checkpoints after each epoch that go on exactly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Batch = Callable[[NDArray[Any], np.random.Generator, float], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
_FLOOR = 0.002


@dataclass(frozen=True)
class Schedule:
    """`peak` is the highest rate, reached after the share `warm_up` of all steps; it falls to nearly nothing linearly."""

    epochs: int
    batch: int
    peak: float
    warm_up: float = 0.2
    weight_decay: float = 5e-4
    is_sgd: bool = False

    def rate(self, done: float) -> float:
        """The rate when the share `done` of all steps is behind."""
        rise = done / self.warm_up if done < self.warm_up else (1 - done) / (1 - self.warm_up)
        return max(rise, _FLOOR) * self.peak

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """SGD with Nesterov momentum, or AdamW."""
        if self.is_sgd:
            return torch.optim.SGD(module.parameters(), self.peak, 0.9, weight_decay=self.weight_decay, nesterov=True)
        return torch.optim.AdamW(module.parameters(), self.peak, weight_decay=self.weight_decay)


def train(
    module: nn.Module,
    x: NDArray[Any],
    y: NDArray[Any],
    schedule: Schedule,
    loss: Loss,
    batch: Batch,
    checkpoint: Path,
) -> None:
    """Train `module` on samples `x` [n, ...] with targets `y`; `batch` makes the module's input of some of them.

    `batch` gets the samples, a seeded generator and the share of training that is done. The file `checkpoint` is written after
    each epoch and, when it is there, gone on from: the result is that of one undisturbed run.
    """
    optimizer, steps, first = schedule.optimizer(module), len(x) // schedule.batch, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    for epoch in range(first, schedule.epochs):
        generator, start, total = np.random.default_rng(epoch), time.perf_counter(), 0.0
        order = generator.permutation(len(x))
        module.train()
        for step in range(steps):
            index = order[step * schedule.batch : (step + 1) * schedule.batch]
            done = (epoch * steps + step) / (schedule.epochs * steps)
            inputs = batch(x[index], generator, done)
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(done)
            value = loss(module(inputs), torch.from_numpy(y[index]))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            total += float(value.detach())
        _save(checkpoint, {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1})
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1} of {schedule.epochs}: loss {total / steps:.4f}, {seconds:.0f} s", flush=True)
    module.eval()


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Of logits and class numbers."""
    return nn.CrossEntropyLoss(label_smoothing=smoothing)


def as_is(x: NDArray[Any], generator: np.random.Generator, done: float) -> Tensor:
    """No augmentation."""
    return torch.from_numpy(x)


def _save(path: Path, state: Any) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    os.replace(fresh, path)
