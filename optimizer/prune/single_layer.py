"""A layer of a model as a model of its own, with other numbers of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ...ir.model import Model, initializer
from .costs import sizes

_OPSET = 18
_COPIED = ("strides", "pads", "dilations", "auto_pad")


@dataclass(frozen=True)
class Shape:
    """What a layer's time depends on beside its channels.

    `kernel`: the spatial axes of a convolution's weights, empty for Gemm and MatMul. `positions`: the spatial axes of a
    convolution's input, or all axes but the last of a MatMul's, the batch left out. `attributes`: (name, numbers). `groups`
    counts a convolution's groups; a depthwise one makes `multiplier` channels of each.
    """

    op_type: str
    kernel: tuple[int, ...]
    positions: tuple[int, ...]
    attributes: tuple[tuple[str, tuple[int, ...] | str], ...]
    groups: int = 1
    multiplier: int = 1
    is_depthwise: bool = False

    @property
    def axis(self) -> int:
        """Axis of the channels in what is read and made."""
        return 1 if self.op_type == "Conv" else -1

    def input_shape(self, inputs: int) -> tuple[int, ...]:
        """Shape of one sample that is read."""
        return (1, inputs, *self.positions) if self.op_type == "Conv" else (1, *self.positions, inputs)

    def to_json(self) -> dict[str, Any]:
        """JSON object with a member a field."""
        return {name: _plain(getattr(self, name)) for name in Shape.__dataclass_fields__}


def shape_of(node: onnx_ir.Node) -> Shape | None:
    """`Shape` of a Conv, or of a Gemm or MatMul with constant weights; None for others and where a size is free."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return None
    data, weights = node.inputs[0], node.inputs[1]
    if data is None or weights is None or not weights.is_initializer():
        return None
    read, held = data.shape, sizes(weights)
    if read is None or any(not isinstance(size, int) for size in read[1:]):
        return None
    if node.op_type != "Conv":
        is_turned = node.op_type == "Gemm" and bool(node.attributes.get_int("transA", 0))
        return None if is_turned or len(held) != 2 else Shape("MatMul", (), sizes(data)[1:-1], ())
    attributes = tuple((name, _attribute(node, name)) for name in _COPIED if name in node.attributes)
    groups, channels = node.attributes.get_int("group", 1), sizes(data)[1]
    is_depthwise = groups == channels and groups > 1
    multiplier = held[0] // channels if is_depthwise else 1
    return Shape("Conv", held[2:], sizes(data)[2:], attributes, groups, multiplier, is_depthwise)


def single_layer(shape: Shape, inputs: int, outputs: int) -> Model:
    """A model `y = layer(x)` with random weights and a bias; raises ValueError where groups do not divide the channels."""
    generator = np.random.default_rng(0)
    groups = inputs if shape.is_depthwise else shape.groups
    if inputs % groups or outputs % groups:
        raise ValueError(f"{inputs} and {outputs} channels do not divide into {groups} groups")
    if shape.op_type == "Conv":
        weights_shape: tuple[int, ...] = (outputs, inputs // groups, *shape.kernel)
    else:
        weights_shape = (inputs, outputs)
    fan_in = max(1, math.prod(weights_shape) // outputs)
    weights = initializer("w", (generator.standard_normal(weights_shape) / math.sqrt(fan_in)).astype(np.float32))
    x = onnx_ir.Value(name="x", shape=onnx_ir.Shape(shape.input_shape(inputs)), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
    given, more = [x, weights], []
    if shape.op_type == "Conv":
        more = [initializer("b", np.zeros(outputs, np.float32))]
    node = onnx_ir.Node("", shape.op_type, [*given, *more], _attributes(shape, groups), name="layer")
    y = node.outputs[0]
    y.name, y.type = "y", onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    graph = onnx_ir.Graph([x], [y], nodes=[node], initializers=[weights, *more], opset_imports={"": _OPSET}, name="layer")
    made = onnx_ir.Model(graph, ir_version=10)
    return Model(common.ShapeInferencePass()(made).model)


def _attributes(shape: Shape, groups: int) -> list[onnx_ir.Attr]:
    if shape.op_type != "Conv":
        return []
    found = [
        onnx_ir.AttrString(name, value) if isinstance(value, str) else onnx_ir.AttrInt64s(name, list(value))
        for name, value in shape.attributes
    ]
    return [*found, onnx_ir.AttrInt64("group", groups), onnx_ir.AttrInt64s("kernel_shape", list(shape.kernel))]


def _attribute(node: onnx_ir.Node, name: str) -> tuple[int, ...] | str:
    value = node.attributes[name].value
    return value if isinstance(value, str) else tuple(int(item) for item in value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
