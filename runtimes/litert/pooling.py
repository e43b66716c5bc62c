"""Pooling over windows and over whole maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir

from . import fusion, layout
from .convolution import flat
from .flatbuffer import Quant, Tensor
from .graph import Lowering
from .window import SAME, VALID, Window, pad, pad_if_needed

_MOST_RATIO = 256  # of the input's scale to a mean's, up to which its int8 kernel is exact


def _start(low: Lowering, node: onnx_ir.Node) -> tuple[onnx_ir.Value, int]:
    value = node.inputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    rank = len(low.shape(value))
    if rank not in (3, 4):
        raise low.fail(node, f"an input of rank {rank}; pooling takes one or two spatial axes")
    return value, rank


def _window(low: Lowering, node: onnx_ir.Node, source: Tensor) -> Window:
    size = list(node.attributes.get_ints("kernel_shape") or [])
    return Window.of(low, node, size if len(size) == 2 else [1, *size], source.shape[1:3])


def _options(window: Window, padding: int) -> tuple[str, dict[str, int]]:
    fields = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.size[0],
        "filterWidth": window.size[1],
    }
    return "Pool2DOptions", fields


def max_pool(low: Lowering, node: onnx_ir.Node) -> None:
    """MaxPool; it commutes with dequantizing, so it stays in int8 wherever its input is."""
    value, rank = _start(low, node)
    if len(node.outputs) > 1 and any(True for _ in node.outputs[1].uses()):
        raise low.fail(node, "its second output, the indices, is read")
    last = layout.channels_last(rank)
    source = flat(low, low.raw(value, last))
    window = _window(low, node, source)
    if max(window.dilations) > 1:
        raise low.fail(node, "its window is dilated")
    source, padding = pad_if_needed(low, source, window, lowest=not _is_positive(low, value))
    shape = (source.shape[0], *window.result, source.shape[3])
    made = low.emit("MAX_POOL_2D", [source], shape, source.dtype, quant=source.quant, options=_options(window, padding))
    low.bind(node.outputs[0], low.reshaped(made, layout.apply(low.shape(node.outputs[0]), last)), last)
    low.record(node, "int8" if source.dtype == "int8" else "float32")


def _is_positive(low: Lowering, value: onnx_ir.Value) -> bool:
    """Whether no element can lie below zero, so that zeros pad as well as the lowest number."""
    maker = value.producer()
    if maker is None or low.quant(value) is not None:
        return False
    limits = fusion.clip_limits(low, maker)
    return maker.op_type == "Sigmoid" or (limits is not None and limits[0] >= 0)


def average_pool(low: Lowering, node: onnx_ir.Node) -> None:
    """AveragePool. In int8 with other numbers at the input than at the result it is a depthwise convolution with ones."""
    value, rank = _start(low, node)
    last = layout.channels_last(rank)
    end = fusion.tail(low, node.outputs[0])
    quant = low.quant(value)
    window = _window(low, node, flat(low, low.raw(value, last)))
    if max(window.dilations) > 1:
        raise low.fail(node, "its window is dilated")
    counts = _counts(low, node, window)
    is_even = bool((counts == window.size[0] * window.size[1]).all())
    in_kernel = window.padding == VALID or (window.padding == SAME and not node.attributes.get_int("count_include_pad", 0))
    if quant is not None and end.quant is not None and (in_kernel or is_even):
        source = flat(low, low.raw(value, last))
        if not in_kernel:
            source, window = pad(low, source, [(0, 0), *window.pads, (0, 0)]), _padded(window)
        made = _int8(low, source, window, quant, end)
        if made is not None:
            final = low.reshaped(made, layout.apply(low.shape(end.value), last))
            fusion.finish(low, node, end, final, last)
            return
    end = end.in_float
    source = flat(low, low.real(value, last))
    if not in_kernel:
        source, window = pad(low, source, [(0, 0), *window.pads, (0, 0)]), _padded(window)
    shape = (source.shape[0], *window.result, source.shape[3])
    name, fields = _options(window, VALID if window.padding is None else window.padding)
    even = in_kernel or is_even
    if even:
        fields["fusedActivationFunction"] = end.activation
    else:
        end = fusion.Tail(node.outputs[0])
    made = low.emit("AVERAGE_POOL_2D", [source], shape, options=(name, fields))
    if not even:
        share = (window.size[0] * window.size[1] / counts).astype(np.float32)[None, :, :, None]
        factor = low.writer.constant("share", share)
        made = low.emit("MUL", [made, factor], shape, options=("MulOptions", {}))
    reason = (
        "" if quant is None else "its windows at the border count other numbers of elements" if not even else "not quantized"
    )
    fusion.finish(low, node, end, low.reshaped(made, layout.apply(low.shape(end.value), last)), last, reason)


def _padded(window: Window) -> Window:
    given = tuple(size + sum(pads) for size, pads in zip(window.given, window.pads, strict=True))
    return replace(window, pads=((0, 0), (0, 0)), given=(given[0], given[1]))


def _counts(low: Lowering, node: onnx_ir.Node, window: Window) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How many elements each window divides by."""
    include = bool(node.attributes.get_int("count_include_pad", 0))
    declared = list(node.attributes.get_ints("pads") or [0, 0, 0, 0])
    axes = len(declared) // 2
    rows = []
    for axis in (0, 1):
        own = axis - (2 - axes)
        after = declared[axes + own] if own >= 0 and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET" else None
        before, behind = window.pads[axis]
        ones = np.ones(window.given[axis])
        padding = np.ones if include else np.zeros
        tail = padding(behind)
        if include and after is not None and behind > after:
            tail[after:] = 0
        line = np.concatenate([padding(before), ones, tail])
        step, size = window.strides[axis], window.size[axis]
        rows.append(np.array([line[place * step : place * step + size].sum() for place in range(window.result[axis])]))
    return np.outer(rows[0], rows[1])


def _int8(low: Lowering, source: Tensor, window: Window, quant: Quant, end: fusion.Tail) -> Tensor | None:
    shape = (source.shape[0], *window.result, source.shape[3])
    padding = window.padding if window.padding is not None else VALID
    if end.quant == quant:
        name, fields = _options(window, padding)
        options = (name, {**fields, "fusedActivationFunction": end.activation})
        return low.emit("AVERAGE_POOL_2D", [source], shape, "int8", quant=quant, options=options)
    if padding != VALID:
        return None
    channels = source.shape[3]
    scale = float(np.float32(1 / (window.size[0] * window.size[1])))
    ones = np.ones((1, *window.size, channels), np.int8)
    filters = low.writer.constant("ones", ones, Quant((scale,) * channels, (0,) * channels, 3))
    bias = low.writer.constant("zeros", np.zeros(channels, np.int32))
    fields = {
        "padding": VALID,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "depthMultiplier": 1,
        "fusedActivationFunction": end.activation,
    }
    options = ("DepthwiseConv2DOptions", fields)
    return low.emit("DEPTHWISE_CONV_2D", [source, filters, bias], shape, "int8", quant=end.quant, options=options)


def global_pool(low: Lowering, node: onnx_ir.Node) -> None:
    """GlobalAveragePool as MEAN, GlobalMaxPool as REDUCE_MAX."""
    value = node.inputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    rank = len(low.shape(value))
    reduce(low, node, value, list(range(2, rank)), "MEAN" if node.op_type == "GlobalAveragePool" else "REDUCE_MAX")


def reduce(low: Lowering, node: onnx_ir.Node, value: onnx_ir.Value, axes: list[int], kind: str, keep: bool = True) -> None:
    """A reduction over `axes` of the model; in int8 MEAN rounds once to the result's numbers, extremes keep the input's."""
    perm = low.perm(value)
    if low.bound(value).merged is not None:
        perm = layout.identity(len(perm))
    places = sorted(perm.index(axis) for axis in axes)
    end = fusion.tail(low, node.outputs[0], ())
    quant = low.quant(value)
    commutes = kind in ("REDUCE_MAX", "REDUCE_MIN")
    fits = quant is not None and end.quant is not None and quant.scale < _MOST_RATIO * end.quant.scale
    in_int8 = quant is not None and (commutes or (kind == "MEAN" and fits))
    source = low.raw(value, perm) if in_int8 else low.real(value, perm)
    numbers = (quant if commutes else end.quant) if in_int8 else None
    sizes = [1 if place in places else size for place, size in enumerate(source.shape)]
    order = perm
    if not keep:
        sizes = [size for place, size in enumerate(source.shape) if place not in places]
        left = sorted(axis for axis in perm if axis not in axes)
        order = tuple(left.index(axis) for axis in perm if axis not in axes)
    given = [source, low.numbers("axes", places)]
    dtype = "int8" if in_int8 else source.dtype
    made = low.emit(kind, given, sizes, dtype, quant=numbers, options=("ReducerOptions", {"keepDims": keep}))
    if in_int8 and not commutes:
        fusion.finish(low, node, end, made, order)
        return
    low.bind(node.outputs[0], made, order)
    low.record(node, "int8" if in_int8 else "float32", "" if in_int8 else fusion.why_float(end, {"input": quant}))


EMITTERS = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
}
