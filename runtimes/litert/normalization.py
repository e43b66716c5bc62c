"""Normalizations, from float kernels: batch norm that did not fold, layer, instance and group norm, local response, L2."""

from __future__ import annotations

import numpy as np
import onnx_ir

from . import layout
from .activation import Arithmetic
from .constants import Constant
from .elementwise import meet
from .flatbuffer import Tensor
from .graph import Lowering


def _first(low: Lowering, node: onnx_ir.Node) -> onnx_ir.Value:
    if not node.inputs or node.inputs[0] is None:
        raise low.fail(node, "it has no input")
    return node.inputs[0]


def _constant(low: Lowering, node: onnx_ir.Node, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    array = low.array(node.inputs[index]) if index < len(node.inputs) else None
    if array is None:
        raise low.fail(node, f"its input {index} is not constant")
    return np.asarray(array, np.float32)


def batch_norm(low: Lowering, node: onnx_ir.Node) -> None:
    """BatchNormalization at inference: one product and one sum a channel."""
    value = _first(low, node)
    if node.attributes.get_int("training_mode", 0):
        raise low.fail(node, "it is in training mode")
    gain, shift, mean, variance = (_constant(low, node, index) for index in range(1, 5))
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    factor = gain / np.sqrt(variance + epsilon)
    perm = low.perm(value)
    given = low.real(value, perm)
    shape = [1] * len(perm)
    shape[perm.index(1)] = -1
    do = Arithmetic(low)
    scaled = do.multiply(given, low.writer.constant("factor", factor.reshape(shape).astype(np.float32)))
    made = do.add(scaled, low.writer.constant("shift", (shift - mean * factor).reshape(shape).astype(np.float32)))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


def _standardized(low: Lowering, given: Tensor, axes: list[int], epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) over physical `axes`."""
    do = Arithmetic(low)
    places = low.numbers("axes", axes)
    narrow = [1 if place in axes else size for place, size in enumerate(given.shape)]
    options = ("ReducerOptions", {"keepDims": True})
    mean = low.emit("MEAN", [given, places], narrow, options=options)
    centred = do.subtract(given, mean)
    variance = low.emit("MEAN", [do.multiply(centred, centred), places], narrow, options=options)
    return do.multiply(centred, do.one("RSQRT", do.add(variance, epsilon)))


def layer_norm(low: Lowering, node: onnx_ir.Node) -> None:
    """LayerNormalization from `axis` to the last."""
    value = _first(low, node)
    perm = low.perm(value)
    rank = len(perm)
    axis = node.attributes.get_int("axis", -1) % rank
    if any(low_out.is_graph_output() or any(True for _ in low_out.uses()) for low_out in node.outputs[1:]):
        raise low.fail(node, "its mean or deviation is read")
    given = low.real(value, perm)
    places = sorted(perm.index(place) for place in range(axis, rank))
    made = _standardized(low, given, places, node.attributes.get_float("epsilon", 1e-5))
    do = Arithmetic(low)
    for index, apply in ((1, do.multiply), (2, do.add)):
        if index < len(node.inputs) and node.inputs[index] is not None:
            operand = node.inputs[index]
            if operand is not None:
                made = apply(made, meet(low, operand, perm))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


def instance_norm(low: Lowering, node: onnx_ir.Node) -> None:
    """InstanceNormalization over the spatial axes."""
    value = _first(low, node)
    perm = low.perm(value)
    given = low.real(value, perm)
    places = sorted(perm.index(place) for place in range(2, len(perm)))
    made = _standardized(low, given, places, node.attributes.get_float("epsilon", 1e-5))
    _gain_and_shift(low, node, made, perm)


def _gain_and_shift(low: Lowering, node: onnx_ir.Node, made: Tensor, perm: layout.Perm) -> None:
    do = Arithmetic(low)
    shape = [1] * len(perm)
    shape[perm.index(1)] = -1
    for index, apply in ((1, do.multiply), (2, do.add)):
        found = low.constant(node.inputs[index])
        if found is None:
            raise low.fail(node, f"its input {index} is not constant")
        made = apply(made, low.put_real(Constant(found.name, found.real.reshape(shape))))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


def group_norm(low: Lowering, node: onnx_ir.Node) -> None:
    """GroupNormalization with one gain a channel (operator set 21)."""
    value = _first(low, node)
    shape = low.shape(value)
    groups = node.attributes.get_int("num_groups", 1)
    if _constant(low, node, 1).size != shape[1]:
        raise low.fail(node, "it has one gain a group; convert the model to operator set 21")
    rows = low.reshaped(low.real(value), (shape[0], groups, int(np.prod(shape[1:])) // groups))
    made = _standardized(low, rows, [2], node.attributes.get_float("epsilon", 1e-5))
    _gain_and_shift(low, node, low.reshaped(made, shape), layout.identity(len(shape)))


def local_response(low: Lowering, node: onnx_ir.Node) -> None:
    """LRN over channels; the model divides its alpha by the size, the kernel does not."""
    value = _first(low, node)
    size = node.attributes.get_int("size", 1)
    if size % 2 == 0 or len(low.shape(value)) != 4:
        raise low.fail(node, "its size is even or its input has no two spatial axes")
    last = layout.channels_last(4)
    given = low.real(value, last)
    fields = {
        "radius": size // 2,
        "bias": node.attributes.get_float("bias", 1.0),
        "alpha": node.attributes.get_float("alpha", 1e-4) / size,
        "beta": node.attributes.get_float("beta", 0.75),
    }
    options = ("LocalResponseNormalizationOptions", fields)
    low.bind(node.outputs[0], low.emit("LOCAL_RESPONSE_NORMALIZATION", [given], given.shape, options=options), last)
    low.record(node, "float32")


def lp_norm(low: Lowering, node: onnx_ir.Node) -> None:
    """LpNormalization with p = 2."""
    value = _first(low, node)
    if node.attributes.get_int("p", 2) != 2:
        raise low.fail(node, "its p is not 2")
    perm = low.perm(value)
    given = low.real(value, perm)
    place = perm.index(node.attributes.get_int("axis", -1) % len(perm))
    do = Arithmetic(low)
    narrow = [1 if index == place else size for index, size in enumerate(given.shape)]
    options = ("ReducerOptions", {"keepDims": True})
    total = low.emit("SUM", [do.multiply(given, given), low.numbers("axes", [place])], narrow, options=options)
    made = do.divide(given, do.maximum(do.one("SQRT", total), 1e-12))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


EMITTERS = {
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LRN": local_response,
    "LpNormalization": lp_norm,
}
