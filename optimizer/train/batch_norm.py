"""Batch norm in training, and its statistics taken anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import onnx_ir
import torch

from .operators.reading import Operator, decimal


class Statistics(Protocol):
    """Says which statistics batch norms use just now."""

    training: bool
    freeze_batch_norm: bool
    # Weight of the batch's statistics in place of each node's own, while statistics are taken anew.
    batch_weight: float | None


class _Recalibrated(Statistics, Protocol):
    def __call__(self, inputs: Mapping[str, Any]) -> Any: ...


def batch_norm(owner: Statistics) -> Operator:
    """The operator BatchNormalization as torch trains it.

    In training the statistics are the batch's, and the running ones move towards them by 1 - `momentum` of the node (torch's
    0.1 is ONNX's 0.9), with the unbiased variance. A batch with one element a channel has no variance: it is normalized by
    the running statistics.
    """

    def make(node: onnx_ir.Node) -> Callable[..., Any]:
        epsilon, own = decimal(node, "epsilon", 1e-5), 1 - decimal(node, "momentum", 0.9)

        def normalize(x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
            weight = owner.batch_weight
            uses_batch = (weight is not None or (owner.training and not owner.freeze_batch_norm)) and x.numel() > x.shape[1]
            return torch.batch_norm(
                x, scale, bias, mean, variance, uses_batch, own if weight is None else weight, epsilon, True
            )

        return normalize

    return make


def recalibrate(module: _Recalibrated, batches: Iterable[Mapping[str, Any]]) -> None:
    """Take the statistics of all batch norms anew as plain averages over `batches` (inputs by name, first axis the batch).

    Each layer sees what the layers before it make with the batch's own statistics, and each batch counts alike (PreciseBN,
    arXiv 2105.07576, section 3.1; EagleEye, arXiv 2007.02491, section 3.3, judges pruned models so). Nothing else of the module
    changes, its training mode included.
    """
    try:
        with torch.no_grad():
            for count, inputs in enumerate(batches, start=1):
                module.batch_weight = 1 / count
                module(inputs)
    finally:
        module.batch_weight = None
