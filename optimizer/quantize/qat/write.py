"""Writing what was learned back: integers and scales into the quantized model, whose graph stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ....ir.model import Model
from .simulation import Simulation


def written(quantized: Model, simulation: Simulation) -> Model:
    """A copy of `quantized` with the integers, scales and float weights that `simulation` computes with."""
    result, before = quantized.clone(), quantized.weights()
    for name, array in _learned(simulation, before):
        old = before[name]
        fresh = array.reshape(old.shape).astype(old.dtype)
        if fresh.tobytes() != old.tobytes():
            result.graph.initializers[name].const_value = onnx_ir.tensor(fresh, name=name)
    return result


def _learned(simulation: Simulation, before: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for group, quantizer in simulation.activations.items():
        yield f"{group}/scale", _array(quantizer.scale())
    replaced = set()
    for name in simulation.constants:
        replaced.add(f"{name}/integers")
        yield f"{name}/integers", _array(simulation.constant_integers(name))
    for name, layer in simulation.layers.items():
        weights, bias = simulation.weights(name), simulation.bias(name)
        zero = int(before[f"{name}/weights/zero"].reshape(-1)[0])
        replaced.add(f"{name}/weights")
        yield f"{name}/weights", _array(simulation.levels(name)).astype(np.int16) + zero
        yield f"{name}/weights/scale", _array(layer.step(weights, bias))
        if bias is not None:
            integers, scales = layer.bias_levels(bias, weights)
            replaced.add(f"{name}/bias")
            yield f"{name}/bias", _array(integers)
            yield f"{name}/bias/scale", _array(scales)
    for name, parameter in simulation.module.trainable().items():
        if name not in replaced:
            yield name, _array(parameter)


def _array(tensor: Any) -> NDArray[Any]:
    found = tensor.detach().cpu().contiguous().numpy()
    return np.asarray(found)
