"""How much each unit of a group matters: by its weights, or by what training says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import Model, constant
from .places import Group, Place

Importance = Literal["taylor", "l2", "l1", "bn-scale", "fpgm"]
Scores = Mapping[str, NDArray[np.float64]]

_NORMS = {"BatchNormalization": 1, "LayerNormalization": 1, "InstanceNormalization": 1, "GroupNormalization": 1}
_LEAST_EPSILON = 1e-5


def scores(
    model: Model, groups: Sequence[Group], importance: Importance, saliency: Mapping[str, NDArray[Any]] | None = None
) -> Scores:
    """Importance [units] of every group, by its name, never negative.

    - "l2", "l1": squares or magnitudes of all weights that make, read or lie along the unit, summed (DepGraph, 2301.12900,
      section 3.4). Weights before a batch normalization count as they are once it is folded into them, as they ship.
    - "bn-scale": magnitude of the normalizations' scale along the unit (1708.06519), the mean where several are; groups
      without a normalization go by "l2".
    - "fpgm": sum of the distances to the other units' weights, those nearest the geometric median least (1811.00250).
    - "taylor": `saliency` summed over the weights of the unit: (gradient * weight)^2 by initializer (1906.10771, equation 8).

    Only "taylor" compares between groups (it is a change of the loss); the others have a mean of 1 in each group.
    """
    if importance == "taylor":
        return {group.name: _total(group.weights, saliency or {}) for group in groups}
    weights = _folded(model)
    scales = _norm_scales(model)
    return {group.name: _normalised(_by_weights(group, importance, weights, scales)) for group in groups}


def per_unit(place: Place, array: NDArray[Any]) -> NDArray[Any]:
    """What `array`, of the shape of the place's tensor, has at each unit: [units, ...] flattened to [units, n]."""
    return np.moveaxis(array, place.axis, 0)[place.index].reshape(len(place.index), -1)


def _by_weights(
    group: Group, importance: Importance, weights: Mapping[str, NDArray[Any]], scales: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    if importance == "bn-scale":
        found = [np.abs(per_unit(place, scales[place.tensor])).mean(axis=1) for place in _on(group.weights, scales)]
        if found:
            return np.asarray(np.mean(found, axis=0), np.float64)
    if importance == "fpgm":
        makers = [per_unit(place, weights[place.tensor]) for place in _on(group.weights, weights) if place.role == "makes"]
        if makers:
            return _distances(np.concatenate(makers, axis=1).astype(np.float64))
    power = 1 if importance == "l1" else 2
    return _total(
        group.weights, {place.tensor: np.abs(weights[place.tensor]) ** power for place in _on(group.weights, weights)}
    )


def _on(places: Sequence[Place], arrays: Mapping[str, Any]) -> list[Place]:
    return [place for place in places if place.tensor in arrays]


def _total(places: Sequence[Place], arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Sum over all places of what the arrays have at each unit."""
    total = np.zeros(len(places[0].index) if places else 0)
    for place in _on(places, arrays):
        total += per_unit(place, arrays[place.tensor]).sum(axis=1, dtype=np.float64)
    return total


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of Euclidean distances from each row to all others."""
    squares = (rows**2).sum(axis=1)
    between = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    return np.asarray(np.sqrt(np.maximum(between, 0)).sum(axis=1))


def _normalised(found: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = found.mean() if len(found) else 0.0
    return found / mean if mean > 0 else np.ones_like(found)


def _folded(model: Model) -> dict[str, NDArray[Any]]:
    """Weights with at least two axes, scaled by the batch normalization that alone reads what they make."""
    found = {name: array for name, array in model.weights().items() if array.ndim >= 2 and array.dtype.kind == "f"}
    for node in model.graph:
        name = str(node.inputs[1].name) if len(node.inputs) > 1 and node.inputs[1] is not None else ""
        factor = _following_factor(node) if name in found else None
        if factor is not None:
            axis = 0 if node.op_type == "Conv" else found[name].ndim - 1
            if found[name].shape[axis] == len(factor):
                found[name] = found[name] * factor.reshape([-1 if item == axis else 1 for item in range(found[name].ndim)])
    return found


def _following_factor(node: onnx_ir.Node) -> NDArray[Any] | None:
    """scale / sqrt(variance + epsilon) of the batch normalization behind a Conv or MatMul, if it is its only reader."""
    uses = list(node.outputs[0].uses()) if node.op_type in ("Conv", "MatMul") else []
    reader = uses[0][0] if len(uses) == 1 else None
    if reader is None or reader.op_type != "BatchNormalization":
        return None
    scale, variance = constant(reader.inputs[1]), constant(reader.inputs[4])
    if scale is None or variance is None:
        return None
    return np.asarray(scale / np.sqrt(variance + reader.attributes.get_float("epsilon", _LEAST_EPSILON)))


def _norm_scales(model: Model) -> dict[str, NDArray[Any]]:
    """Scale of every normalization, by the initializer's name."""
    found: dict[str, NDArray[Any]] = {}
    for node in model.graph:
        value = node.inputs[_NORMS[node.op_type]] if node.op_type in _NORMS else None
        array = constant(value)
        if value is not None and array is not None:
            found[str(value.name)] = array
    return found
