"""From the IR to the bytes of a .tflite file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ...core.errors import LoweringError
from ...ir.model import Model
from ..contract import Lowered, OperatorSupport
from . import (
    activation,
    convolution,
    dense,
    elementwise,
    indexing,
    layout,
    normalization,
    patterns,
    pooling,
    reduction,
    resize,
    rounding,
    shape,
)
from .constants import Constant
from .flatbuffer import Quant, Tensor
from .folding import fold
from .graph import Lowering, label

ENTRY = "model.tflite"
LEAST_OPSET = 13
Emitter = Callable[[Lowering, onnx_ir.Node], None]
EMITTERS: Mapping[str, Emitter] = {
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    **dense.EMITTERS,
    **elementwise.EMITTERS,
    **activation.EMITTERS,
    **pooling.EMITTERS,
    **reduction.EMITTERS,
    **shape.EMITTERS,
    **indexing.EMITTERS,
    **normalization.EMITTERS,
    **resize.EMITTERS,
    **rounding.EMITTERS,
}


def lower(model: Model) -> Lowered:
    """The .tflite file of `model`; raises LoweringError naming the operator that cannot be expressed."""
    low = Lowering(_with_shapes(model).graph)
    inputs = _inputs(low)
    for node in low.graph:
        _emit(low, node)
    outputs = _outputs(low, set(inputs.values()))
    known = low.writer.unname(inputs, outputs)
    data = low.writer.finish(inputs, outputs)
    return Lowered({ENTRY: data}, ENTRY, {known[name]: node for name, node in low.origin.items() if name in known})


def survey(model: Model) -> list[OperatorSupport]:
    """What becomes of each node, going on behind those that cannot be expressed."""
    low = Lowering(_with_shapes(model).graph)
    _inputs(low)
    for node in low.graph:
        try:
            _emit(low, node)
        except LoweringError as error:
            low.record(node, "no", str(error))
            _stand_in(low, node)
    return [low.support.get(id(node), _constant_support(node)) for node in low.graph]


def _constant_support(node: onnx_ir.Node) -> OperatorSupport:
    in_int8 = node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return OperatorSupport(label(node), node.op_type, "int8" if in_int8 else "float32", "a constant")


def _with_shapes(model: Model) -> Model:
    version = model.graph.opset_imports.get("", LEAST_OPSET)
    if version < LEAST_OPSET:
        raise LoweringError(f"the model has operator set {version}; canonicalize it to {LEAST_OPSET} or newer before lowering.")
    values = [value for node in model.graph for value in node.outputs if value.name]
    if all(value.shape is not None and value.dtype is not None for value in values):
        return model
    copy = model.clone()
    common.ShapeInferencePass(data_prop=True)(copy.ir)
    return copy


def _emit(low: Lowering, node: onnx_ir.Node) -> None:
    if id(node) in low.done:
        return
    low.enter(node)
    if node.domain not in ("", "ai.onnx"):
        raise low.fail(node, f"no kernel for the domain {node.domain!r}")
    if any(
        attribute.type in (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS) for attribute in node.attributes.values()
    ):
        raise low.fail(node, "it holds a graph of its own; export the model without control flow")
    if low.constant(node.outputs[0]) is not None:
        return
    if node.inputs and all(value is None or low.constant(value) is not None for value in node.inputs):
        fold(low, node)
        return
    if patterns.emit(low, node):
        return
    emitter = EMITTERS.get(node.op_type)
    if emitter is None:
        raise low.fail(node, "there is no kernel for it; express it by others or choose another runtime")
    emitter(low, node)


def _inputs(low: Lowering) -> dict[str, Tensor]:
    found = {}
    for value in low.graph.inputs:
        if value.name in low.graph.initializers:
            continue
        dtype = low.dtype(value)
        quant = _input_quant(low, value) if dtype in ("int8", "uint8") else None
        tensor = low.writer.tensor(str(value.name), low.shape(value), dtype, quant)
        low.bind(value, tensor, layout.identity(len(tensor.shape)))
        found[str(value.name)] = tensor
    return found


def _input_quant(low: Lowering, value: onnx_ir.Value) -> Quant | None:
    """The numbers that an integer input stands for, as its reader has them."""
    for node in value.consumers():
        if node.op_type == "DequantizeLinear":
            quant = low.activation_quant(node)
            shift = 128 if value.dtype == onnx_ir.DataType.UINT8 else 0
            return Quant(quant.scales, tuple(zero + shift for zero in quant.zeros))
    return None


def _outputs(low: Lowering, inputs: set[Tensor]) -> dict[str, Tensor]:
    taken = {tensor.index for tensor in inputs}
    found: dict[str, Tensor] = {}
    for value in low.graph.outputs:
        maker = value.producer()
        if maker is not None:
            low.enter(maker)
        dtype = low.dtype(value)
        tensor = low.raw(value) if dtype in ("int8", "uint8") else low.real(value)
        if dtype == "uint8" and tensor.quant is not None and tensor.dtype == "int8":
            quant = Quant(tensor.quant.scales, tuple(zero + 128 for zero in tensor.quant.zeros))
            tensor = low.emit("QUANTIZE", [tensor], tensor.shape, "uint8", quant=quant)
        if tensor.dtype != dtype:
            tensor = low.emit("CAST", [tensor], tensor.shape, dtype, options=("CastOptions", {}))
        if tensor.index in taken or tensor.is_constant:
            sizes = low.numbers("shape", tensor.shape)
            options = ("ReshapeOptions", {"newShape": np.asarray(tensor.shape, np.int32)})
            tensor = low.emit("RESHAPE", [tensor, sizes], tensor.shape, tensor.dtype, quant=tensor.quant, options=options)
        taken.add(tensor.index)
        found[str(value.name)] = tensor
    for name, tensor in found.items():
        low.rename(tensor, name, {given.index for given in inputs})
    return found


def _stand_in(low: Lowering, node: onnx_ir.Node) -> None:
    """Something in place of what a node that cannot be expressed would make, so that the survey goes on."""
    for value in node.outputs:
        if not value.name:
            continue
        try:
            sizes, dtype = low.shape(value), low.dtype(value)
        except LoweringError:
            low.set_constant(value, Constant(str(value.name), np.zeros((1,), np.float32)))
            continue
        low.bind(value, low.writer.tensor(str(value.name), sizes, dtype), layout.identity(len(sizes)))
