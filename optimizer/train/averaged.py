"""Averaged weights: an exponential moving average that starts with a short memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Averaged:
    """The moving average of tensors that training changes (parameters, and statistics of batch norm).

    After step t the decay is min(decay, (1 + t) / (10 + t)), as TensorFlow's `ExponentialMovingAverage(num_updates)` has it, so
    that the first states are soon forgotten.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], decay: float) -> None:
        """Start from `tensors` as they are; they are read again at each `update`."""
        self._tensors = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
        self._decay = decay
        self.values = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}

    def update(self, step: int) -> None:
        """Take in the tensors as they are after optimizer step `step` (0 the first)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        # The lerp form leaves a tensor that does not change exactly as it is.
        torch._foreach_lerp_(list(self.values.values()), [item.detach() for item in self._tensors.values()], 1 - decay)

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Take over `values` of the same names."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages in the tensors' place, until the block ends."""
        before = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}
        try:
            self._write(self.values)
            yield
        finally:
            self._write(before)

    def _write(self, values: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                tensor.copy_(values[name])
