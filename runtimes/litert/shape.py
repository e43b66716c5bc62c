"""Operators that move data: they commute with dequantizing, so they stay in int8 wherever their input is."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from . import fusion, layout
from .constants import Constant
from .elementwise import common_perm, meet
from .flatbuffer import Tensor
from .graph import Lowering
from .layout import Perm
from .window import pad as pad_tensor


def _value(low: Lowering, node: onnx_ir.Node, index: int = 0) -> onnx_ir.Value:
    if index >= len(node.inputs) or node.inputs[index] is None:
        raise low.fail(node, f"it lacks input {index}")
    value = node.inputs[index]
    if value is None:
        raise low.fail(node, f"it lacks input {index}")
    return value


def _numbers(low: Lowering, node: onnx_ir.Node, index: int, attribute: str | None = None) -> list[int] | None:
    """Integers given by attribute (older operator sets) or by a constant input; None where neither is there."""
    given = node.attributes.get_ints(attribute) if attribute is not None else None
    if given is not None:
        return [int(number) for number in given]
    if index >= len(node.inputs) or node.inputs[index] is None:
        return None
    array = low.array(node.inputs[index])
    if array is None:
        raise low.fail(node, f"its input {index} is not constant")
    return [int(number) for number in array.reshape(-1)]


def _done(low: Lowering, node: onnx_ir.Node, tensor: Tensor, perm: Perm) -> None:
    low.bind(node.outputs[0], tensor, perm)
    low.record(node, "int8" if tensor.dtype == "int8" else "float32")


def reshape(low: Lowering, node: onnx_ir.Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: by the result's shape."""
    value, out = _value(low, node), node.outputs[0]
    before, after = low.shape(value), low.shape(out)
    bound = low.bound(value)
    if bound.merged is None:
        perm = layout.through_reshape(before, bound.perm, after)
        if perm is not None:
            _done(low, node, low.reshaped(bound.tensor, layout.apply(after, perm)), perm)
            return
        if _merges(before, after) and _feeds_dense(out):
            order = _merged_order(before, bound.perm)
            if order is not None:
                low.bind(out, low.reshaped(bound.tensor, after), layout.identity(len(after)), order)
                low.record(node, "int8" if bound.tensor.dtype == "int8" else "float32")
                return
    elif before == after:
        low.alias(out, value)
        return
    _done(low, node, low.reshaped(low.raw(value), after), layout.identity(len(after)))


def _merges(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return len(after) == 2 and after[0] == before[0] and math.prod(before[1:]) == after[1]


def _feeds_dense(value: onnx_ir.Value) -> bool:
    """Whether every reader, past changes of arithmetic, is a layer whose weights can be reordered instead of the data."""
    if value.is_graph_output():
        return False
    readers = value.consumers()
    for reader in readers:
        if reader.op_type in ("QuantizeLinear", "DequantizeLinear", "Identity", "Dropout"):
            if not _feeds_dense(reader.outputs[0]):
                return False
        elif reader.op_type not in ("Gemm", "MatMul") or reader.inputs[0] is not value or _is_turned(reader):
            return False
    return bool(readers)


def _is_turned(node: onnx_ir.Node) -> bool:
    return node.attributes.get_int("transA", 0) == 1


def _merged_order(before: tuple[int, ...], perm: Perm) -> NDArray[np.int64] | None:
    """Place in the model's merged axis of each element of the file's, where the batch axis stays in front."""
    if perm[0] != 0:
        return None
    places = np.arange(math.prod(before[1:])).reshape(before[1:])
    return places.transpose([axis - 1 for axis in perm[1:]]).reshape(-1)


def transpose(low: Lowering, node: onnx_ir.Node) -> None:
    """Transpose: the data stay, the layout changes."""
    value = _value(low, node)
    if low.bound(value).merged is not None:
        tensor, have = low.raw(value), layout.identity(2)
    else:
        tensor, have = low.bound(value).tensor, low.perm(value)
    order = tuple(node.attributes.get_ints("perm") or reversed(range(len(have))))
    _done(low, node, tensor, layout.after_transpose(have, order))


def identity(low: Lowering, node: onnx_ir.Node) -> None:
    """Identity, and Dropout at inference."""
    value = _value(low, node)
    if len(node.outputs) > 1 and any(True for _ in node.outputs[1].uses()):
        raise low.fail(node, "its mask is read")
    low.alias(node.outputs[0], value)
    low.record(node, "int8" if low.quant(value) else "float32", "nothing to do")


def cast(low: Lowering, node: onnx_ir.Node) -> None:
    """Cast between the types that LiteRT has."""
    value, out = _value(low, node), node.outputs[0]
    dtype = low.dtype(out)
    perm = low.perm(value)
    source = low.real(value, perm)
    if source.dtype == dtype:
        low.bind(out, source, perm)
    else:
        low.bind(out, low.emit("CAST", [source], source.shape, dtype, options=("CastOptions", {})), perm)
    low.record(node, "float32")


def concat(low: Lowering, node: onnx_ir.Node) -> None:
    """Concat; in int8 every part is first rounded to the result's numbers where it has others."""
    values = [value for value in node.inputs if value is not None]
    shape = low.shape(node.outputs[0])
    rank = len(shape)
    axis = node.attributes.get_int("axis", 0) % rank
    perm = common_perm(low, values, rank)
    fields = {"axis": perm.index(axis)}
    physical = layout.apply(shape, perm)
    quants = [low.quant(value) for value in values]
    end = fusion.tail(low, node.outputs[0], ())
    target = quants[0] if len(set(quants)) == 1 else end.quant
    options = ("ConcatenationOptions", fields)
    if target is not None and None not in quants:
        parts = [low.requantized(low.raw(value, perm), target) for value in values]
        made = low.emit("CONCATENATION", parts, physical, "int8", quant=target, options=options)
        _done(low, node, made, perm)
        return
    parts = [low.real(value, perm) for value in values]
    made = low.emit("CONCATENATION", parts, physical, parts[0].dtype, options=options)
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32", "its inputs are not all int8" if any(quants) else "")


def slice_(low: Lowering, node: onnx_ir.Node) -> None:
    """Slice with constant bounds, as STRIDED_SLICE, or SLICE where every step is 1."""
    value = _value(low, node)
    shape = low.shape(value)
    starts, ends = _numbers(low, node, 1, "starts"), _numbers(low, node, 2, "ends")
    if starts is None or ends is None:
        raise low.fail(node, "it lacks its bounds")
    axes = _numbers(low, node, 3, "axes") or list(range(len(starts)))
    steps = _numbers(low, node, 4) or [1] * len(starts)
    places = [(0, size, 1) for size in shape]
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        places[axis % len(shape)] = slice(start, stop, step).indices(shape[axis % len(shape)])
    perm = low.perm(value)
    source = low.raw(value, perm)
    physical = [places[axis] for axis in perm]
    sizes = [len(range(*place)) for place in physical]
    if 0 in sizes:
        raise low.fail(node, "its result is empty")
    if all(place == (0, size, 1) for place, size in zip(physical, source.shape, strict=True)):
        _done(low, node, source, perm)
        return
    _done(low, node, _sliced(low, source, physical, sizes), perm)


def _sliced(low: Lowering, source: Tensor, places: list[tuple[int, int, int]], sizes: list[int]) -> Tensor:
    begin = low.numbers("begin", [place[0] for place in places])
    if all(place[2] == 1 for place in places):
        given = [source, begin, low.numbers("size", sizes)]
        return low.emit("SLICE", given, sizes, source.dtype, quant=source.quant, options=("SliceOptions", {}))
    # backwards to the first element: -1 would count from the end, so the end is left open
    open_end = sum(1 << index for index, place in enumerate(places) if place[1] < 0)
    stop = low.numbers("end", [max(place[1], 0) for place in places])
    given = [source, begin, stop, low.numbers("steps", [place[2] for place in places])]
    options = ("StridedSliceOptions", {"endMask": open_end})
    return low.emit("STRIDED_SLICE", given, sizes, source.dtype, quant=source.quant, options=options)


def split(low: Lowering, node: onnx_ir.Node) -> None:
    """Split as SPLIT_V."""
    value = _value(low, node)
    perm = low.perm(value)
    source = low.raw(value, perm)
    axis = perm.index(node.attributes.get_int("axis", 0) % len(perm))
    sizes = _numbers(low, node, 1, "split")
    if sizes is None:
        step = -(-source.shape[axis] // len(node.outputs))
        sizes = [min(step, source.shape[axis] - index * step) for index in range(len(node.outputs))]
    outputs = []
    for out, size in zip(node.outputs, sizes, strict=True):
        shape = [size if place == axis else length for place, length in enumerate(source.shape)]
        outputs.append(low.writer.tensor(str(out.name), shape, source.dtype, source.quant))
        low.bind(out, outputs[-1], perm)
    given = [source, low.numbers("sizes", sizes), low.numbers("axis", axis)]
    low.emit_into("SPLIT_V", given, outputs, ("SplitVOptions", {"numSplits": len(outputs)}))
    low.record(node, "int8" if source.dtype == "int8" else "float32")


def pad(low: Lowering, node: onnx_ir.Node) -> None:
    """Pad with a constant, or by reflection."""
    value = _value(low, node)
    perm = low.perm(value)
    rank = len(perm)
    amounts = _numbers(low, node, 1, "pads")
    if amounts is None or min(amounts, default=0) < 0:
        raise low.fail(node, "its pads are missing or negative")
    axes = _numbers(low, node, 3) or list(range(rank))
    pairs = [(0, 0)] * rank
    for index, axis in enumerate(axes):
        pairs[axis % rank] = (amounts[index], amounts[index + len(axes)])
    physical = [pairs[axis] for axis in perm]
    source = low.raw(value, perm)
    mode = node.attributes.get_string("mode", "constant")
    if mode == "reflect":
        shape = [size + sum(pair) for size, pair in zip(source.shape, physical, strict=True)]
        given, options = [source, low.numbers("pads", physical)], ("MirrorPadOptions", {"mode": 0})
        _done(low, node, low.emit("MIRROR_PAD", given, shape, source.dtype, quant=source.quant, options=options), perm)
        return
    if mode != "constant":
        raise low.fail(node, f"no kernel pads in mode {mode!r}")
    filler = low.array(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1, np.float32)
    if filler is None:
        raise low.fail(node, "the number that it pads with is not constant")
    number = float(filler.reshape(-1)[0])
    if number == 0.0:
        _done(low, node, pad_tensor(low, source, physical), perm)
        return
    shape = [size + sum(pair) for size, pair in zip(source.shape, physical, strict=True)]
    if source.quant is not None:
        level = fusion.integer(number, source.quant)
        exact = -128 <= level <= 127 and abs((level - source.quant.zero) * source.quant.scale - number) <= 1e-6 * abs(number)
        source = source if exact else low.widened(source)
        number = level if exact else number
    fill = low.writer.constant("fill", np.array([number], source.dtype), source.quant)
    given = [source, low.numbers("pads", physical), fill]
    _done(low, node, low.emit("PADV2", given, shape, source.dtype, quant=source.quant, options=("PadV2Options", {})), perm)


def expand(low: Lowering, node: onnx_ir.Node) -> None:
    """Expand as BROADCAST_TO, or nothing where the shape is the same."""
    value, out = _value(low, node), node.outputs[0]
    shape = low.shape(out)
    perm = common_perm(low, [value], len(shape))
    source = meet(low, value, perm, real=False)
    physical = layout.apply(shape, perm)
    if source.shape != physical:
        given = [source, low.numbers("shape", physical)]
        made = low.emit("BROADCAST_TO", given, physical, source.dtype, quant=source.quant, options=("BroadcastToOptions", {}))
        source = made
    _done(low, node, source, perm)


def tile(low: Lowering, node: onnx_ir.Node) -> None:
    """Tile with constant repeats."""
    value = _value(low, node)
    repeats = _numbers(low, node, 1)
    if repeats is None:
        raise low.fail(node, "it lacks its repeats")
    perm = low.perm(value)
    source = low.raw(value, perm)
    physical = [repeats[axis] for axis in perm]
    shape = [size * times for size, times in zip(source.shape, physical, strict=True)]
    made = low.emit("TILE", [source, low.numbers("repeats", physical)], shape, source.dtype, quant=source.quant)
    _done(low, node, made, perm)


def depth_to_space(low: Lowering, node: onnx_ir.Node) -> None:
    """DepthToSpace and SpaceToDepth; channels are put in the kernel's order first where the model's differs."""
    value, out = _value(low, node), node.outputs[0]
    block = node.attributes.get_int("blocksize", 1)
    last = layout.channels_last(4)
    source = low.raw(value, last)
    shape = layout.apply(low.shape(out), last)
    to_space = node.op_type == "DepthToSpace"
    if to_space and node.attributes.get_string("mode", "DCR") == "CRD":
        channels = source.shape[3]
        places = np.arange(channels).reshape(channels // block**2, block, block)
        source = low.gathered(source, places.transpose(1, 2, 0).reshape(-1))
    kind = "DEPTH_TO_SPACE" if to_space else "SPACE_TO_DEPTH"
    name = "DepthToSpaceOptions" if to_space else "SpaceToDepthOptions"
    options = (name, {"blockSize": block})
    _done(low, node, low.emit(kind, [source], shape, source.dtype, quant=source.quant, options=options), last)


def shape_of(low: Lowering, node: onnx_ir.Node) -> None:
    """Shape of a value of fixed shape is a constant."""
    shape = low.shape(_value(low, node))
    start, stop = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
    low.set_constant(node.outputs[0], Constant(str(node.outputs[0].name), np.array(shape[start:stop], np.int64)))
    low.record(node, "float32", "known when lowering")


EMITTERS = {
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": reshape,
    "Unsqueeze": reshape,
    "Transpose": transpose,
    "Identity": identity,
    "Dropout": identity,
    "Cast": cast,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Pad": pad,
    "Expand": expand,
    "Tile": tile,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": depth_to_space,
    "Shape": shape_of,
}
