"""Writing a plan into a model: QuantizeLinear and DequantizeLinear around every int8 node, integers for every weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...core.errors import PassError
from ...ir.model import Model, constant, initializer
from ...runtimes.contract import OperatorRule, Scheme
from .bits import WeightBits, largest_integer, stored_type
from .correction import mean_output_error
from .integers import (
    Affine,
    IntegerType,
    QuantizedWeights,
    affine,
    fixed,
    least_scale_for_bias,
    quantize_bias,
    quantize_weights,
)
from .plan import Plan, activations, layer, result_of, weight_of
from .rounding import Rounder


@dataclass(frozen=True)
class Numbers:
    """What the integers are chosen from.

    `ranges`: (low, high) by tensor. `means`: mean per channel of tensors that layers with weights read, where known; with it
    the mean error that weight rounding makes is taken out of the bias (Nagel et al., arXiv 1906.04721, section 4.2).
    `rounder` rounds weights to the least output error; without it they go to the nearest integer. `bits` of a layer's weights,
    8 where it is not named. `per_channel`: a scale for each output channel where the target allows it, else one a layer.
    """

    ranges: Mapping[str, tuple[float, float]]
    means: Mapping[str, NDArray[Any]]
    weights: Literal["max", "mse"] = "mse"
    rounder: Rounder | None = None
    correct_bias: bool = True
    bits: Mapping[str, WeightBits] = field(default_factory=dict)
    per_channel: bool = True

    def choose(
        self, name: str, array: NDArray[Any], axis: int, kind: IntegerType, *, per_channel: bool, **more: Any
    ) -> QuantizedWeights:
        """Integers and scales for the weights `array` of the layer `name`; `more` are options of `quantize_weights`."""
        rounder, bits = self.rounder, self.bits.get(name, 8)
        return quantize_weights(
            array,
            axis,
            kind,
            per_channel=per_channel,
            method=self.weights,
            limit=largest_integer(bits),
            rounding=partial(rounder.round, name) if rounder is not None else None,
            choose=partial(rounder.scales, name) if rounder is not None and bits == 4 else None,
            **more,
        )


def insert(model: Model, scheme: Scheme, plan: Plan, numbers: Numbers) -> tuple[Model, list[onnx_ir.Node]]:
    """A copy of `model` with the plan carried out, and the nodes that were made."""
    return _Inserter(model.clone(), scheme, plan, numbers).run()


class _Inserter:
    def __init__(self, model: Model, scheme: Scheme, plan: Plan, numbers: Numbers) -> None:
        self.model, self.graph = model, model.graph
        self.scheme, self.plan, self.numbers = scheme, plan, numbers
        self.by_layer = {layer(node): node for node in self.graph if node.outputs and node.outputs[0].name}
        self.parameters = self._parameters()
        self.made: list[onnx_ir.Node] = []
        self.dequantized: dict[str, onnx_ir.Value] = {}
        self.outputs = {str(value.name): index for index, value in enumerate(self.graph.outputs)}

    def run(self) -> tuple[Model, list[onnx_ir.Node]]:
        nodes = [self.by_layer[name] for name in self.plan.nodes]
        rules = {layer(node): self.scheme.operators[node.op_type] for node in nodes}
        reads = [(node, activations(node, rules[layer(node)])) for node in nodes]
        weights = [(node, weight_of(node, rules[layer(node)])) for node in nodes]
        results = [(node, rules[layer(node)], result_of(node, self.plan.absorbed)) for node in nodes]
        needed = {str(value.name) for _, values in reads for value in values}
        for node, weight in weights:
            if weight is not None:
                self._weights(node, rules[layer(node)], weight)
        for _, rule, values in results:
            for value in values:
                name = str(value.name)
                if name in needed or not rule.float_output:
                    self._around(value, takes_all=True)
        for node, values in reads:
            for value in values:
                self._read(node, value)
        self.graph.sort()
        return self.model, self.made

    def _parameters(self) -> dict[str, Affine]:
        """Scale and zero point of every group of tensors."""
        found: dict[str, Affine] = {}
        values = {str(value.name): value for node in self.graph for value in node.inputs if value is not None}
        for group in dict.fromkeys(self.plan.tensors.values()):
            if group in self.plan.fixed:
                found[group] = fixed(*self.plan.fixed[group], self.scheme.activation)
                continue
            ranges = [self._range(name, values.get(name)) for name in self.plan.members(group)]
            low, high = min(item[0] for item in ranges), max(item[1] for item in ranges)
            found[group] = affine(low, high, self.scheme.activation)
        return found

    def _range(self, name: str, value: onnx_ir.Value | None) -> tuple[float, float]:
        array = constant(value)
        if array is not None:
            return (float(array.min(initial=0.0)), float(array.max(initial=0.0)))
        if name not in self.numbers.ranges:
            raise PassError(f"no calibration statistics for the tensor {name!r}; calibrate this very model again.")
        return self.numbers.ranges[name]

    def _affine(self, name: str) -> Affine:
        return self.parameters[self.plan.tensors[name]]

    def _constant(self, name: str, array: NDArray[Any]) -> onnx_ir.Value:
        if name not in self.graph.initializers:
            self.graph.register_initializer(initializer(name, array))
        return self.graph.initializers[name]

    def _node(self, kind: str, inputs: list[onnx_ir.Value], name: str, like: onnx_ir.Value, axis: int | None) -> onnx_ir.Value:
        """A QuantizeLinear or DequantizeLinear node that makes `name`."""
        attributes = {} if axis is None else {"axis": onnx_ir.AttrInt64("axis", axis)}
        dtype = inputs[2].dtype if kind == "QuantizeLinear" else onnx_ir.DataType.FLOAT
        out = onnx_ir.Value(name=name, shape=like.shape, type=onnx_ir.TensorType(dtype or onnx_ir.DataType.FLOAT))
        node = onnx_ir.Node("", kind, inputs, attributes, outputs=[out], name=f"{name}:{kind}")
        self.graph.append(node)
        self.made.append(node)
        return out

    def _scale_inputs(self, name: str, found: Affine) -> list[onnx_ir.Value]:
        group = self.plan.tensors[name]
        return [
            self._constant(f"{group}/scale", np.array(found.scale, np.float32)),
            self._constant(f"{group}/zero", np.array(found.zero, found.dtype)),
        ]

    def _around(self, value: onnx_ir.Value, *, takes_all: bool) -> onnx_ir.Value:
        """Quantize and dequantize `value` once; `takes_all` sends all its readers (and the graph output) to the result."""
        name = str(value.name)
        if name in self.dequantized:
            return self.dequantized[name]
        scales = self._scale_inputs(name, self._affine(name))
        uses = list(value.uses())
        quantized = self._node("QuantizeLinear", [value, *scales], f"{name}/quantized", value, None)
        result = self._node("DequantizeLinear", [quantized, *scales], f"{name}/dequantized", value, None)
        if takes_all:
            for user, index in uses:
                user.replace_input_with(index, result)
            if name in self.outputs:
                value.name, result.name = f"{name}/float", name
                self.graph.outputs[self.outputs[name]] = result
        self.dequantized[name] = result
        self.dequantized[str(result.name)] = result
        return result

    def _read(self, node: onnx_ir.Node, value: onnx_ir.Value) -> None:
        """Let `node` read the dequantized form of `value`."""
        for index, current in enumerate(node.inputs):
            if current is value:
                array = constant(value)
                result = self._constant_activation(value, array) if array is not None else self._around(value, takes_all=False)
                node.replace_input_with(index, result)

    def _constant_activation(self, value: onnx_ir.Value, array: NDArray[Any]) -> onnx_ir.Value:
        name = str(value.name)
        if name not in self.dequantized:
            found = self._affine(name)
            integers = self._constant(f"{name}/integers", found.quantize(array))
            scales = self._scale_inputs(name, found)
            self.dequantized[name] = self._node("DequantizeLinear", [integers, *scales], f"{name}/dequantized", value, None)
        return self.dequantized[name]

    def _weights(self, node: onnx_ir.Node, rule: OperatorRule, value: onnx_ir.Value) -> None:
        array = constant(value)
        if array is None or rule.weights is None:
            raise PassError(f"the weights of {layer(node)!r} are not constant.")
        given = self._affine(str(node.inputs[0].name)) if node.inputs[0] is not None else None
        if given is None:
            raise PassError(f"{layer(node)!r} has no input.")
        axis = channel_axis(node, array.ndim)
        bias_value = node.inputs[2] if len(node.inputs) > 2 and node.op_type != "MatMul" else None
        bias = constant(bias_value)
        if bias is not None:
            bias = np.broadcast_to(bias.reshape(-1), (array.shape[axis],)) if node.op_type == "Gemm" else bias
        channels = array.shape[axis] * (node.attributes.get_int("group", 1) if node.op_type == "ConvTranspose" else 1)
        per_channel = self.numbers.per_channel and rule.per_channel and channels == array.shape[axis]
        least = None if bias is None or bias.size != array.shape[axis] else least_scale_for_bias(bias, given.scale)
        name, pairs = layer(node), self.scheme.saturating_pairs
        found = self.numbers.choose(
            name, array, axis, self.scheme.weight, per_channel=per_channel, saturating_pairs=pairs, least_scale=least
        )
        kind = stored_type(self.scheme.weight, self.numbers.bits.get(name, 8))
        integers = self._constant(f"{name}/weights", found.values.astype(kind))
        scalar = found.scales.size == 1
        scales = self._constant(f"{name}/weights/scale", found.scales.reshape(()) if scalar else found.scales)
        zeros = np.full((), found.zero, kind) if scalar else np.full(found.scales.shape, found.zero, kind)
        zero = self._constant(f"{name}/weights/zero", zeros)
        result = self._node(
            "DequantizeLinear", [integers, scales, zero], f"{name}/weights/dequantized", value, None if scalar else axis
        )
        node.replace_input_with(rule.weights, result)
        if bias is not None:
            shift = self._shift(node, found.dequantize() - array, axis)
            self._bias(node, bias if shift is None else bias - shift, given, found.scales)

    def _shift(self, node: onnx_ir.Node, error: NDArray[Any], axis: int) -> NDArray[Any] | None:
        if not self.numbers.correct_bias:
            return None
        return mean_output_error(node, error, axis, self.numbers.rounder, self.numbers.means)

    def _bias(self, node: onnx_ir.Node, bias: NDArray[Any], given: Affine, weight_scales: NDArray[Any]) -> None:
        name = layer(node)
        integers, scales = quantize_bias(bias, given.scale, weight_scales)
        parts = [
            self._constant(f"{name}/bias", integers),
            self._constant(f"{name}/bias/scale", scales),
            self._constant(f"{name}/bias/zero", np.zeros(scales.shape, np.int32)),
        ]
        like = onnx_ir.Value(name="", shape=onnx_ir.Shape(integers.shape))
        node.replace_input_with(2, self._node("DequantizeLinear", parts, f"{name}/bias/dequantized", like, 0))


def channel_axis(node: onnx_ir.Node, rank: int) -> int:
    """Axis of the output channels in the weights of `node`."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return rank - 1
