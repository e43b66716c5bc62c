"""Zeroing weights: at once, or step by step in a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.compression import METHOD, compressed_size
from ...core.errors import PassError, unknown
from ...ir.model import Model, initializer
from ...ir.passes import PassResult, stamp
from ..train.needs import TrainingNeeds
from .masks import Masks, masks_for, prunable_weights

if TYPE_CHECKING:
    from .sparsify import Sparsify


def sparsified(options: Sparsify, model: Model, needs: TrainingNeeds) -> PassResult:
    """See `Sparsify.run`."""
    layers = {str(node.outputs[0].name) for node in model.graph}
    for layer in options.keep:
        if layer not in layers:
            raise PassError(f"sparsify: keep: {unknown('layer', layer, layers)}")
    weights = prunable_weights(model, options.keep)
    if not weights:
        raise PassError("sparsify: this model has no layer with weights that could be zero; leave this pass out.")
    if len(needs.train):
        from .training import trained

        alone = replace(needs, student=None)
        made, masks, told = trained(options, model, list(weights), _saliency(options, model, alone), alone)
    else:
        held = model.weights()
        made, masks = model, masks_for({name: held[name] ** 2 for name in weights}, options.amount, options.allocation)
        told = ["zeroed at once, since there are no data to train with"]
    result = with_zeros(made, masks)
    stamp([node for node in result.graph if _reads(node, weights)], options.name)
    return PassResult(result, True, (*_figures(model, result, weights), *told))


def with_zeros(model: Model, masks: Masks) -> Model:
    """`model` with the weights that masks do not let stay exactly zero."""
    result = model.clone()
    for name, stays in masks.items():
        value = result.graph.initializers[name]
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(stays.shape, np.float32)
        value.const_value = initializer(name, np.where(stays, array, np.zeros((), array.dtype))).const_value
    return result


def _saliency(options: Sparsify, model: Model, needs: TrainingNeeds) -> Mapping[str, NDArray[Any]] | None:
    if options.importance != "taylor":
        return None
    from ..prune.taylor import saliency

    return saliency(model, needs)


def _reads(node: Any, weights: Mapping[str, str]) -> bool:
    return any(value is not None and str(value.name) in weights for value in node.inputs)


def _figures(before: Model, after: Model, weights: Mapping[str, str]) -> list[str]:
    """How many weights are zero, and how large the model is, raw and compressed."""
    held = after.weights()
    total = sum(held[name].size for name in weights)
    zeros = sum(int((held[name] == 0).sum()) for name in weights)
    raw, small, was = len(after.to_bytes()), compressed_size(after.to_bytes()), compressed_size(before.to_bytes())
    return [
        f"{zeros:,} of {total:,} weights in {len(set(weights.values()))} layers are zero ({zeros / total:.1%})",
        f"as ONNX {raw:,} bytes, compressed ({METHOD}) {small:,} after {was:,}",
        "no speed-up: the runtimes' kernels multiply by zeros as by other numbers",
    ]
