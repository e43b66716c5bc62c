"""Conv and ConvTranspose: CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV, in float32 and int8."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir
from ai_edge_litert.schema_py_generated import Padding
from numpy.typing import NDArray

from . import fusion, layout
from .connected import connect
from .constants import Constant
from .flatbuffer import Tensor
from .graph import Lowering
from .kernel import Kernel, prepare, put_bias, put_weights
from .window import Window, pad_if_needed

SAME, VALID = int(Padding.SAME), int(Padding.VALID)


def conv(low: Lowering, node: onnx_ir.Node) -> None:
    """Conv of one or two spatial axes; others have no int8 kernel and are refused."""
    rank, kernel, source, end, reason = _operands(low, node)
    made = _convolve(low, node, kernel, source, end.activation)
    _finish(low, node, end, made, rank, reason)


def _operands(low: Lowering, node: onnx_ir.Node) -> tuple[int, Kernel, Tensor, fusion.Tail, str]:
    """Rank, kernel, channels-last input, what the kernel takes along and why it stays in float, of any convolution."""
    data = node.inputs[0]
    if data is None:
        raise low.fail(node, "it has no input")
    rank = len(low.shape(data))
    if rank not in (3, 4):
        raise low.fail(node, f"an input of rank {rank}; convolutions take one or two spatial axes")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    kernel, end, reason = prepare(low, node, bias, fusion.tail(low, node.outputs[0]))
    kernel = replace(kernel, weights=_flat(kernel.weights, rank))
    last = layout.channels_last(rank)
    return rank, kernel, flat(low, low.raw(data, last) if kernel.quant else low.real(data, last)), end, reason


def _finish(low: Lowering, node: onnx_ir.Node, end: fusion.Tail, made: Tensor, rank: int, reason: str) -> None:
    """Record the result of a convolution, with the axes of the IR's value."""
    last = layout.channels_last(rank)
    fusion.finish(low, node, end, low.reshaped(made, layout.apply(low.shape(end.value), last)), last, reason)


def _flat(weights: Constant, rank: int) -> Constant:
    """One-dimensional weights [O, I, K] as [O, I, 1, K]."""
    return (
        weights if rank == 4 else weights.mapped(lambda array: array[:, :, None, :], weights.quant.axis if weights.quant else 0)
    )


def flat(low: Lowering, tensor: Tensor) -> Tensor:
    """A tensor [N, L, C] as [N, 1, L, C]."""
    if len(tensor.shape) == 4:
        return tensor
    batch, length, channels = tensor.shape
    return low.reshaped(tensor, (batch, 1, length, channels))


def _convolve(low: Lowering, node: onnx_ir.Node, kernel: Kernel, source: Tensor, activation: int) -> Tensor:
    weights = kernel.weights
    outputs, per_group, height, width = weights.array.shape
    groups = node.attributes.get_int("group", 1)
    inputs = source.shape[3]
    window = Window.of(low, node, (height, width), source.shape[1:3])
    source, padding = pad_if_needed(low, source, window)
    shape = (source.shape[0], *window.result, outputs)
    fields = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": activation,
    }
    if groups == inputs and per_group == 1 and groups > 1:
        fields["depthMultiplier"] = outputs // inputs
        filters = put_weights(low, kernel, lambda array: array.transpose(1, 2, 3, 0), 3)
        bias = put_bias(low, kernel, outputs)
        options = ("DepthwiseConv2DOptions", fields)
        return low.emit("DEPTHWISE_CONV_2D", [source, filters, bias], shape, kernel.dtype, quant=kernel.quant, options=options)
    if kernel.is_int4 and window.is_pointwise and groups == 1:
        matrix = replace(kernel, weights=weights.mapped(lambda array: array[:, :, 0, 0]))
        return connect(low, matrix, source, shape, activation, keeps_axes=True)
    filters = put_weights(low, kernel, lambda array: array.transpose(0, 2, 3, 1), 0)
    bias = put_bias(low, kernel, outputs)
    options = ("Conv2DOptions", fields)
    return low.emit("CONV_2D", [source, filters, bias], shape, kernel.dtype, quant=kernel.quant, options=options)


def conv_transpose(low: Lowering, node: onnx_ir.Node) -> None:
    """ConvTranspose of one or two spatial axes: the whole result without padding, cropped to what the pads leave."""
    rank, kernel, source, end, reason = _operands(low, node)
    kernel = replace(kernel, weights=_dilated(low, node, kernel.weights))
    groups = node.attributes.get_int("group", 1)
    if groups > 1 and kernel.weights.quant is not None and len(kernel.weights.quant.scales) > 1 and kernel.quant is not None:
        raise low.fail(node, "grouped and quantized per channel, which names no output channel; quantize it per tensor")
    made = _spread(low, node, kernel, source, groups, low.shape(node.outputs[0]), end.activation)
    _finish(low, node, end, made, rank, reason)


def _dilated(low: Lowering, node: onnx_ir.Node, weights: Constant) -> Constant:
    """Weights with zeros between their taps, because TRANSPOSE_CONV knows no dilation."""
    steps = node.attributes.get_ints("dilations") or [1, 1]
    steps = [1, *steps] if len(steps) == 1 else list(steps)
    if list(steps) == [1, 1]:
        return weights

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        height, width = ((size - 1) * step + 1 for size, step in zip(array.shape[2:], steps, strict=True))
        wide = np.zeros((*array.shape[:2], height, width), array.dtype)
        wide[:, :, :: steps[0], :: steps[1]] = array
        return wide

    return weights.mapped(spread, weights.quant.axis if weights.quant else 0)


def _spread(
    low: Lowering,
    node: onnx_ir.Node,
    kernel: Kernel,
    source: Tensor,
    groups: int,
    result: tuple[int, ...],
    activation: int,
) -> Tensor:
    batch, height, width, inputs = source.shape
    _, per_group, *taps = kernel.weights.array.shape
    strides = list(node.attributes.get_ints("strides") or [1] * (len(result) - 2))
    pads = _begins(low, node, result, source.shape[1:3], strides, taps)
    strides, sizes = ([1, *strides], [1, *result[2:]]) if len(result) == 3 else (strides, list(result[2:]))
    whole = [(size - 1) * stride + tap for size, stride, tap in zip((height, width), strides, taps, strict=True)]
    reach = [max(total, begin + size) for total, begin, size in zip(whole, pads, sizes, strict=True)]
    if reach != whole:
        # output_padding asks for places that no tap reaches: one more row of taps that are zero reaches them
        extra = [want - have for want, have in zip(reach, whole, strict=True)]
        widen = ((0, 0), (0, 0), (0, extra[0]), (0, extra[1]))
        axis = kernel.weights.quant.axis if kernel.weights.quant else 0
        kernel = replace(kernel, weights=kernel.weights.mapped(lambda array: np.pad(array, widen), axis))
    same = _same_padding(source.shape[1:3], sizes, strides, list(kernel.weights.array.shape[2:]), pads)
    parts = []
    for group in range(groups):
        part = source if groups == 1 else _channels(low, source, group * inputs // groups, inputs // groups)
        chosen = _group_of(kernel, group, groups, inputs, per_group)
        filters = put_weights(low, chosen, lambda array: array.transpose(1, 2, 3, 0), 0)
        bias = put_bias(low, chosen, per_group)
        target = (batch, *(sizes if same else reach), per_group)
        fields = {
            "padding": SAME if same else VALID,
            "strideH": strides[0],
            "strideW": strides[1],
            "fusedActivationFunction": activation,
        }
        given = [low.numbers("shape", target), filters, part, bias]
        options = ("TransposeConvOptions", fields)
        parts.append(low.emit("TRANSPOSE_CONV", given, target, kernel.dtype, quant=kernel.quant, options=options))
    made = parts[0]
    if groups > 1:
        shape = (*made.shape[:3], per_group * groups)
        options = ("ConcatenationOptions", {"axis": 3})
        made = low.emit("CONCATENATION", parts, shape, kernel.dtype, quant=kernel.quant, options=options)
    if list(made.shape[1:3]) == list(sizes):
        return made
    begin = low.numbers("begin", [0, *pads, 0])
    shape = (batch, *sizes, made.shape[3])
    return low.emit("SLICE", [made, begin, low.numbers("size", shape)], shape, kernel.dtype, quant=kernel.quant)


def _group_of(kernel: Kernel, group: int, groups: int, inputs: int, per_group: int) -> Kernel:
    if groups == 1:
        return kernel
    rows = slice(group * inputs // groups, (group + 1) * inputs // groups)
    bias = kernel.bias
    if bias is not None:
        channels = slice(group * per_group, (group + 1) * per_group)
        bias = bias.mapped(lambda array: array[channels])
    axis = kernel.weights.quant.axis if kernel.weights.quant else 0
    return replace(kernel, weights=kernel.weights.mapped(lambda array: array[rows], axis), bias=bias)


def _channels(low: Lowering, tensor: Tensor, start: int, count: int) -> Tensor:
    shape = (*tensor.shape[:3], count)
    begin = low.numbers("begin", [0, 0, 0, start])
    return low.emit("SLICE", [tensor, begin, low.numbers("size", shape)], shape, tensor.dtype, quant=tensor.quant)


def _begins(
    low: Lowering, node: onnx_ir.Node, result: tuple[int, ...], given: tuple[int, ...], strides: list[int], taps: list[int]
) -> list[int]:
    """How much of the whole result is cropped before each spatial axis."""
    axes = len(result) - 2
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID") and node.attributes.get_ints("output_shape") is None:
        pads = list(node.attributes.get_ints("pads") or [0] * 2 * axes)[:axes]
    else:
        whole = [(size - 1) * stride + tap for size, stride, tap in zip(given[-axes:], strides, taps[-axes:], strict=True)]
        extra = [total - size for total, size in zip(whole, result[2:], strict=True)]
        if min(extra) < 0:
            raise low.fail(node, "output_shape asks for more than the taps reach")
        pads = [(total + 1) // 2 if mode == "SAME_LOWER" else total // 2 for total in extra]
        if mode in ("NOTSET", "VALID"):
            pads = [total - total // 2 for total in extra]
    return [0, *pads] if axes == 1 else pads


def _same_padding(given: tuple[int, ...], result: list[int], strides: list[int], taps: list[int], begins: list[int]) -> bool:
    """Whether SAME crops exactly these `begins`."""
    for size, out, stride, tap, begin in zip(given, result, strides, taps, begins, strict=True):
        if -(-out // stride) != size:
            return False
        if max((size - 1) * stride + tap - out, 0) // 2 != begin:
            return False
    return True
