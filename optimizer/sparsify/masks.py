"""Which weights become zero: those that matter least, exactly as many as asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import Model, constant

Allocation = Literal["global", "uniform"]
Masks = Mapping[str, NDArray[np.bool_]]

# By operator the inputs that are multiplied with: these are sums over many weights, of which some can be missing.
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (0, 1),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
}


def prunable_weights(model: Model, keep: Sequence[str] = ()) -> dict[str, str]:
    """Initializers whose single weights can go, each with the layer that multiplies with it (its output's name).

    Depthwise convolutions are left out: they have few weights, and each of their sums has only a kernel's. Layers in `keep`
    are left out too.
    """
    found: dict[str, str] = {}
    kept: set[str] = set()
    for node in model.graph:
        layer = str(node.outputs[0].name)
        for place in _WEIGHTS.get(node.op_type, ()):
            value = node.inputs[place] if place < len(node.inputs) else None
            if value is None or not value.is_initializer() or not _is_dense(node, value):
                continue
            found.setdefault(str(value.name), layer)
            if layer in keep:
                kept.add(str(value.name))
    return {name: layer for name, layer in found.items() if name not in kept}


def masks_for(scores: Mapping[str, NDArray[Any]], amount: float, allocation: Allocation) -> Masks:
    """True where a weight stays; `amount` of all weights go (rounded down), those with the lowest scores, never negative.

    "uniform": the same share of each tensor. "global": one ranking by layer-adaptive scores, a weight's score over the sum of
    those in its tensor that are at least as large (LAMP, 2010.07611, equation 1), so that no tensor goes whole.
    """
    if allocation == "uniform":
        return {name: _lowest_out(array.ravel(), amount).reshape(array.shape) for name, array in scores.items()}
    names = list(scores)
    every = np.concatenate([layer_adaptive(scores[name]).ravel() for name in names]) if names else np.zeros(0)
    parts = np.split(_lowest_out(every, amount), np.cumsum([scores[name].size for name in names])[:-1])
    return {name: part.reshape(scores[name].shape) for name, part in zip(names, parts, strict=True)}


def layer_adaptive(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Each score over the sum of all of the tensor that are at least as large, 1 for the largest."""
    flat = scores.ravel().astype(np.float64)
    order = np.argsort(flat, kind="stable")
    ascending = flat[order]
    left = np.cumsum(ascending[::-1])[::-1]
    found = np.empty_like(flat)
    found[order] = ascending / np.maximum(left, np.finfo(np.float64).tiny)
    return found.reshape(scores.shape)


def _lowest_out(flat: NDArray[Any], amount: float) -> NDArray[np.bool_]:
    stays = np.ones(flat.shape, np.bool_)
    count = int(amount * flat.size)
    if count:
        stays[np.argpartition(flat, count - 1)[:count]] = False
    return stays


def _is_dense(node: onnx_ir.Node, value: onnx_ir.Value) -> bool:
    array = constant(value)
    if array is None or array.ndim < 2 or array.dtype.kind != "f":
        return False
    return not (node.op_type == "Conv" and node.attributes.get_int("group", 1) > 1 and array.shape[1] == 1)
