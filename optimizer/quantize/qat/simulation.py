"""The training form of a quantized model: the very graph that is lowered, its integers replaced by what learns them.

Every QuantizeLinear and DequantizeLinear of an activation stays where it is, so that kernels, shared scales, demanded scales
and what runs in float are the target's. QuantizeLinear computes fake quantization, and DequantizeLinear passes its result on;
weights and biases become float initializers, which their layers see through quantizers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes import common
from torch import nn

from ....core.errors import ModelError
from ....ir.model import Model, constant, initializer
from ....runtimes.contract import Scheme
from ...train.form import training_form
from ...train.module import GraphModule
from ..bits import largest_integer
from ..insert import channel_axis
from ..plan import Plan, layer
from ..rounding import kept_zeros
from .quantizers import ActivationQuantizer, LayerQuantizer
from .swings import Swings

# How far inside the interval that rounds to its integer a float weight begins, in steps.
_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class Simulation:
    """A module that computes what the target's kernels compute, and its quantizers.

    `model` is the graph that the module interprets; its weights and biases count in their quantizers' units. `activations` by
    group of tensors, `groups`: the group of each quantized tensor; `layers` and `swings` by the layer's first output, `biased`:
    those that have a bias; `constants`: quantized tensors that are constant.
    """

    model: Model
    module: GraphModule
    activations: Mapping[str, ActivationQuantizer]
    groups: Mapping[str, str]
    layers: Mapping[str, LayerQuantizer]
    biased: frozenset[str]
    constants: tuple[str, ...]
    swings: Mapping[str, Swings]

    def parts(self) -> dict[str, nn.Module]:
        """What is trained beside the module, and what is remembered."""
        return {
            "activations": nn.ModuleList(self.activations.values()),
            "layers": nn.ModuleList(self.layers.values()),
            "swings": nn.ModuleList(self.swings.values()),
        }

    def weights(self, name: str) -> Any:
        """Float weights of a layer."""
        return self.module.tensor(f"{name}/weights") * self.layers[name].unit

    def bias(self, name: str) -> Any | None:
        """Float bias [channels] of a layer, or None."""
        return self.module.tensor(f"{name}/bias") * self.layers[name].bias_unit if name in self.biased else None

    def levels(self, name: str) -> Any:
        """The integers of a layer's weights, float32 of their shape."""
        return self.layers[name].weight_levels(self.weights(name), self.bias(name))

    def constant_integers(self, name: str) -> Any:
        """The integers of a constant tensor, int32 of its shape."""
        return self.activations[self.groups[name]].integers(self.module.tensor(f"{name}/integers"))


def simulate(base: Model, quantized: Model, plan: Plan, scheme: Scheme, *, remembers_swings: bool = False) -> Simulation:
    """The simulation of `quantized`, which `insert` made of `base` by `plan`: at first it computes the same integers.

    Float weights begin at those of `base`, moved into the interval that rounds to the integer that was chosen; zeros of sparse
    layers stay zeros. Raises ModelError when the graph cannot be trained.
    """
    return _Builder(base, quantized, plan, scheme).build(remembers_swings)


class _Builder:
    def __init__(self, base: Model, quantized: Model, plan: Plan, scheme: Scheme) -> None:
        self.plan, self.scheme = plan, scheme
        self.arrays = quantized.weights()
        self.nodes = {layer(node): node for node in base.graph if node.outputs}
        values = (value for node in base.graph for value in (*node.inputs, *node.outputs))
        self.values = {str(value.name): value for value in values if value is not None}
        self.model = quantized.clone()
        # A tensor that nothing in int8 reads may stay in float, whatever group it is in.
        groups = [group for group in dict.fromkeys(plan.tensors.values()) if f"{group}/scale" in self.arrays]
        self.activations = {group: self._activation(group) for group in groups}
        self.layers = {name: self._layer(name) for name in plan.nodes if f"{name}/weights" in self.arrays}
        self.biased = frozenset(name for name in self.layers if f"{name}/bias" in self.arrays)
        self.constants = tuple(name for name in plan.tensors if f"{name}/integers" in self.arrays)

    def build(self, remembers_swings: bool) -> Simulation:
        for name in self.layers:
            self._replace(f"{name}/weights", f"{name}/weights/dequantized", self._inside(name) / _array(self.layers[name].unit))
        for name in self.biased:
            bias = (self._bias(name) / self.layers[name].bias_unit).astype(np.float32)
            self._replace(f"{name}/bias", f"{name}/bias/dequantized", bias)
        for name in self.constants:
            self._replace(f"{name}/integers", f"{name}/dequantized", self._float(name))
        common.RemoveUnusedNodesPass()(self.model.ir)
        operators = {"QuantizeLinear": self._quantize, "DequantizeLinear": _dequantize}
        form = training_form(self.model)
        module = GraphModule(form, operators=operators)
        swings: dict[str, Swings] = {}
        found = Simulation(form, module, self.activations, self.plan.tensors, self.layers, self.biased, self.constants, swings)
        _attach(found)
        if remembers_swings:
            for name, quantizer in self.layers.items():
                # Where pairs must be held back, integers follow the scale, so none can be held for good.
                if not quantizer.is_pairwise:
                    levels = found.levels(name)
                    swings[name] = Swings(levels)
                    quantizer.hold(torch.zeros(levels.shape, dtype=torch.bool), levels)
        return found

    def _activation(self, group: str) -> ActivationQuantizer:
        scale, zero = self.arrays[f"{group}/scale"], self.arrays[f"{group}/zero"]
        limits = np.iinfo(zero.dtype)
        elements = max(_size(self.values[name]) for name in self.plan.members(group))
        return ActivationQuantizer(
            torch.from_numpy(scale.reshape(1).copy()),
            int(zero),
            (int(limits.min), int(limits.max)),
            elements,
            is_learned=group not in self.plan.fixed,
        )

    def _layer(self, name: str) -> LayerQuantizer:
        integers, scales = self.arrays[f"{name}/weights"], self.arrays[f"{name}/weights/scale"]
        node = self.nodes[name]
        axis = channel_axis(node, integers.ndim)
        found = LayerQuantizer(
            torch.from_numpy(_along(scales, axis, integers.ndim).copy()),
            axis,
            largest_integer(4 if integers.dtype.name == "int4" else 8),
            self.activations[self.plan.tensors[str(_first(node).name)]].scale.forward,
            integers.shape,
            _unit(self._weights(name), tuple(place for place in range(integers.ndim) if place != axis)),
            float(_unit(self._bias(name), (0,)).item()) if f"{name}/bias" in self.arrays else 1.0,
            is_pairwise=self.scheme.saturating_pairs,
        )
        zeros = kept_zeros(self._weights(name))
        if zeros.any():
            found.hold(torch.from_numpy(zeros), torch.zeros(integers.shape))
        return found

    def _weights(self, name: str) -> NDArray[Any]:
        """Float weights of a layer of `base`."""
        node = self.nodes[name]
        array = constant(node.inputs[self.scheme.operators[node.op_type].weights or 0])
        if array is None:
            raise ModelError(f"the weights of {name!r} are not constant; canonicalize the model first.")
        return array

    def _bias(self, name: str) -> NDArray[Any]:
        """What a layer's bias [channels] stands for, in float64."""
        return np.asarray(self.arrays[f"{name}/bias"].astype(np.float64) * self.arrays[f"{name}/bias/scale"])

    def _inside(self, name: str) -> NDArray[Any]:
        """Float weights of a layer, moved into the interval that rounds to the integer that was chosen."""
        integers = self.arrays[f"{name}/weights"].astype(np.float32)
        zero, scales = (self.arrays[f"{name}/weights/{what}"] for what in ("zero", "scale"))
        axis = channel_axis(self.nodes[name], integers.ndim)
        levels, steps = integers - float(zero.reshape(-1)[0]), _along(scales, axis, integers.ndim)
        reach = 0.5 - _MARGIN
        return np.asarray(np.clip(self._weights(name) / steps, levels - reach, levels + reach) * steps, np.float32)

    def _float(self, name: str) -> NDArray[Any]:
        array = constant(self.values[name])
        if array is None:
            raise ModelError(f"the tensor {name!r} is not constant; canonicalize the model first.")
        return array

    def _replace(self, name: str, dequantized: str, array: NDArray[Any]) -> None:
        """Let the readers of the value `dequantized` read the initializer `name`, now in float."""
        graph = self.model.graph
        node = graph.initializers[name].consumers()[0]
        fresh = initializer(name, array)
        for user, index in list(node.outputs[0].uses()):
            user.replace_input_with(index, fresh)
        if node.outputs[0].name != dequantized:
            raise ModelError(f"the integers {name!r} are read by {node.name!r}; quantize the float model.")
        graph.remove(node, safe=True)
        del graph.initializers[name]
        graph.register_initializer(fresh)

    def _quantize(self, node: onnx_ir.Node) -> Callable[..., Any]:
        group = self.plan.tensors.get(str(node.outputs[0].name).removesuffix("/quantized"))
        if group is None:
            raise ModelError(f"the node {node.name!r} quantizes already, so it cannot be trained; give the float model.")
        quantizer = self.activations[group]
        return lambda x, *_: quantizer(x)


def _dequantize(node: onnx_ir.Node) -> Callable[..., Any]:
    """What QuantizeLinear gave stands for real numbers already."""
    return lambda x, *_: x


def _attach(found: Simulation) -> None:
    """Let layers read their weights and biases, and constants, through their quantizers."""
    module = found.module
    for name, quantizer in found.layers.items():
        module.add_hook(f"{name}/weights", partial(_weights_of, found, name, quantizer))
        if name in found.biased:
            module.add_hook(f"{name}/bias", partial(_bias_of, found, name, quantizer))
    for name in found.constants:
        module.add_hook(f"{name}/integers", found.activations[found.groups[name]].forward)


def _weights_of(found: Simulation, name: str, quantizer: LayerQuantizer, weights: Any) -> Any:
    return quantizer.weights(weights * quantizer.unit, found.bias(name))


def _bias_of(found: Simulation, name: str, quantizer: LayerQuantizer, bias: Any) -> Any:
    return quantizer.bias(bias * quantizer.bias_unit, found.weights(name))


def _first(node: onnx_ir.Node) -> onnx_ir.Value:
    if node.inputs[0] is None:
        raise ModelError(f"the node {node.name!r} has no input; export the model again.")
    return node.inputs[0]


def _along(scales: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    """Scales in the weights' rank: one for each place of `axis`, or one in all."""
    shape = [1] * rank
    shape[axis] = scales.size
    return scales.reshape(shape)


def _size(value: onnx_ir.Value) -> int:
    """Numbers of a sample, where the shape is known."""
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    return int(np.prod(sizes, dtype=np.int64))


def _unit(array: NDArray[Any], axes: tuple[int, ...]) -> Any:
    """The power of two next to the root mean square over `axes`, which stay with size 1; over all where it is 0."""
    square = np.square(array.astype(np.float64))
    mean = np.broadcast_to(square.mean(), [1 if axis in axes else size for axis, size in enumerate(array.shape)])
    own = square.mean(axis=axes, keepdims=True)
    size = np.sqrt(np.where(own > 0, own, np.where(mean > 0, mean, 1.0)))
    return torch.from_numpy(np.exp2(np.rint(np.log2(size))).astype(np.float32))


def _array(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.numpy())
