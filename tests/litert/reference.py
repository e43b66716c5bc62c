"""Integer references of the int8 kernels: exact integer sums, requantized once in double precision.

They follow the TFLite 8-bit quantization specification, not any kernel's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType, Padding
from edgewright.runtimes.litert.flatbuffer import Quant
from edgewright.runtimes.litert.parts import Part, PartTensor, take_apart
from edgewright.runtimes.litert.run import LiteRTExecutor

Array = np.ndarray
_LIMITS = {
    ActivationFunctionType.NONE: (-np.inf, np.inf),
    ActivationFunctionType.RELU: (0.0, np.inf),
    ActivationFunctionType.RELU6: (0.0, 6.0),
    ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}


@dataclass(frozen=True)
class Checked:
    """One operator of a file that was run alone on what the operators before it made."""

    name: str
    kind: str
    is_int8: bool
    elements: int
    within_one: int
    exact: int


def walk(data: bytes, inputs: Mapping[str, Array]) -> Iterator[Checked]:
    """Run a file operator by operator, each in its shipping kernel, and compare every int8 result with its reference.

    Operators without int8 results are run but not compared (`elements` 0). KeyError: no reference.
    """
    held: dict[int, Array] = {}
    for part in take_apart(data):
        for tensor in (*part.inputs, *part.outputs):
            if tensor is not None and tensor.array is not None:
                held[tensor.index] = tensor.array
            elif tensor is not None and tensor.name in inputs:
                held[tensor.index] = inputs[tensor.name]
        executor = LiteRTExecutor(part.data, 1)
        names = [spec.name for spec in executor.inputs]
        made = executor.run({name: held[index] for name, index in zip(names, part.free, strict=True)})
        for tensor in part.outputs:
            held[tensor.index] = made[tensor.name]
        yield _compared(part, held)


def _compared(part: Part, held: Mapping[int, Array]) -> Checked:
    out = part.outputs[0]
    types = {tensor.dtype for tensor in (*part.inputs, out) if tensor is not None}
    is_int8 = "int8" in types and not types & {"float32", "float16"}
    if out.dtype != "int8":
        return Checked(part.name, part.kind, is_int8, 0, 0, 0)
    arrays = [None if tensor is None else held.get(tensor.index) for tensor in part.inputs]
    elements = within = exact = 0
    for tensor, want in zip(part.outputs, results(part, arrays), strict=True):
        error = np.abs(held[tensor.index].astype(np.int64) - want)
        elements, within, exact = elements + error.size, within + int((error <= 1).sum()), exact + int((error == 0).sum())
    return Checked(part.name, part.kind, is_int8, elements, within, exact)


def results(part: Part, arrays: list[Array | None]) -> list[Array]:
    """The integers that an int8 operator should make."""
    if part.kind in _MOVES:
        return _MOVES[part.kind](part, arrays)
    real = _REAL[part.kind](part, arrays)
    return [requantize(real, _quant(part.outputs[0]), part.options.get("fusedActivationFunction", 0))]


def requantize(real: Array, quant: Quant, activation: int = 0) -> Array:
    """Integers of real numbers, rounded once, inside the activation's and int8's limits."""
    low, high = (np.clip(np.rint(limit / quant.scale) + quant.zero, -128, 127) for limit in _LIMITS[activation])
    return np.clip(np.rint(real / quant.scale) + quant.zero, low, high).astype(np.int64)


def _quant(tensor: PartTensor | None) -> Quant:
    assert tensor is not None
    assert tensor.quant is not None
    return tensor.quant


def _reals(part: Part, arrays: list[Array | None], index: int = 0) -> Array:
    array, tensor = arrays[index], part.inputs[index]
    assert array is not None
    assert tensor is not None
    if tensor.quant is None:
        return array.astype(np.float64)
    return (array.astype(np.int64) - tensor.quant.zero) * tensor.quant.scale


def _centred(part: Part, arrays: list[Array | None], index: int) -> Array:
    array = arrays[index]
    assert array is not None
    return array.astype(np.int64) - _quant(part.inputs[index]).zero


def _weight_scale(part: Part, index: int) -> Array:
    return np.asarray(_quant(part.inputs[index]).scales, np.float64)


def windows(part: Part, padded: Array, size: tuple[int, int]) -> Array:
    """Views [N, OH, OW, KH, KW, C] of an input [N, H, W, C] that is padded already."""
    options = part.options
    strides = options["strideH"], options["strideW"]
    steps = options.get("dilationHFactor", 1), options.get("dilationWFactor", 1)
    reach = [(tap - 1) * step + 1 for tap, step in zip(size, steps, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, (1, 2))
    views = views[:, :: strides[0], :: strides[1], :, :: steps[0], :: steps[1]]
    return views.transpose(0, 1, 2, 4, 5, 3)


def pads(part: Part, given: tuple[int, ...], size: tuple[int, int]) -> list[tuple[int, int]]:
    """(before, after) of both spatial axes, as SAME or VALID defines them."""
    if part.options["padding"] == Padding.VALID:
        return [(0, 0), (0, 0)]
    options = part.options
    found = []
    for axis, letter in enumerate("HW"):
        stride, step = options[f"stride{letter}"], options.get(f"dilation{letter}Factor", 1)
        count = -(-given[axis + 1] // stride)
        total = max((count - 1) * stride + (size[axis] - 1) * step + 1 - given[axis + 1], 0)
        found.append((total // 2, total - total // 2))
    return found


def _convolution(part: Part, arrays: list[Array | None]) -> Array:
    x, w = _centred(part, arrays, 0), arrays[1]
    assert w is not None
    padded = np.pad(x, [(0, 0), *pads(part, x.shape, w.shape[1:3]), (0, 0)])
    seen = windows(part, padded, w.shape[1:3])
    if part.kind == "DEPTHWISE_CONV_2D":
        times = w.shape[3] // x.shape[3]
        total = np.einsum(
            "nhwklcm,klcm->nhwcm", seen[..., None].repeat(times, -1), w[0].reshape(*w.shape[1:3], -1, times).astype(np.int64)
        )
        total = total.reshape(*total.shape[:3], -1)
    else:
        total = _grouped(seen, w)
    return _scaled(part, arrays, total, 1)


def _grouped(seen: Array, w: Array) -> Array:
    groups = seen.shape[5] // w.shape[3]
    parts = []
    for group in range(groups):
        views = seen[..., group * w.shape[3] : (group + 1) * w.shape[3]]
        filters = w[group * w.shape[0] // groups : (group + 1) * w.shape[0] // groups]
        flat = filters.reshape(filters.shape[0], -1).astype(np.float64)  # sums stay below 2**53: float64 is exact
        parts.append(views.reshape(*views.shape[:3], -1).astype(np.float64) @ flat.T)
    return np.concatenate(parts, 3)


def _scaled(part: Part, arrays: list[Array | None], total: Array, weights: int, bias: int = 2) -> Array:
    if len(arrays) > bias and arrays[bias] is not None:
        total = total + arrays[bias]
    given = part.inputs[2] if part.kind == "TRANSPOSE_CONV" else part.inputs[0]
    return total * (_quant(given).scale * _weight_scale(part, weights))


def _fully_connected(part: Part, arrays: list[Array | None]) -> Array:
    w = arrays[1]
    assert w is not None
    x = _centred(part, arrays, 0)
    total = x.reshape(-1, w.shape[1]).astype(np.float64) @ w.T.astype(np.float64)
    return _scaled(part, arrays, total, 1).reshape(part.outputs[0].shape)


def _transposed(part: Part, arrays: list[Array | None]) -> Array:
    w, x = arrays[1], _centred(part, arrays, 2)
    assert w is not None
    strides = part.options["strideH"], part.options["strideW"]
    size = w.shape[1:3]
    target = part.outputs[0].shape
    before = [0, 0]
    if part.options["padding"] == Padding.SAME:
        before = [max((n - 1) * s + k - t, 0) // 2 for n, s, k, t in zip(x.shape[1:3], strides, size, target[1:3], strict=True)]
    reach = [
        max((n - 1) * s + k, b + t) for n, s, k, b, t in zip(x.shape[1:3], strides, size, before, target[1:3], strict=True)
    ]
    total = np.zeros((x.shape[0], *reach, w.shape[0]), np.int64)
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            top, left = row * strides[0], column * strides[1]
            taps = np.einsum("ni,okli->nklo", x[:, row, column], w.astype(np.int64))
            total[:, top : top + size[0], left : left + size[1]] += taps
    total = total[:, before[0] : before[0] + target[1], before[1] : before[1] + target[2]]
    return _scaled(part, arrays, total, 1, 3)


def _mean(part: Part, arrays: list[Array | None]) -> Array:
    axes = arrays[1]
    assert axes is not None
    return _reals(part, arrays).mean(tuple(map(int, axes.reshape(-1))), keepdims=part.options["keepDims"])


def _average(part: Part, arrays: list[Array | None]) -> Array:
    x = _reals(part, arrays)
    size = part.options["filterHeight"], part.options["filterWidth"]
    margin = [(0, 0), *pads(part, x.shape, size), (0, 0)]
    total = windows(part, np.pad(x, margin), size).sum((3, 4))
    return total / windows(part, np.pad(np.ones_like(x), margin), size).sum((3, 4))


def _bilinear(part: Part, arrays: list[Array | None]) -> Array:
    x = _reals(part, arrays)
    for axis in (1, 2):
        before, after = x.shape[axis], part.outputs[0].shape[axis]
        align, half = part.options["alignCorners"], part.options["halfPixelCenters"]
        scale = (before - 1) / (after - 1) if align and after > 1 else before / after
        place = (np.arange(after) + 0.5) * scale - 0.5 if half else np.arange(after) * scale
        place = np.clip(place, 0, before - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, before - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        share = (place - low).reshape(shape)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def _softmax(part: Part, arrays: list[Array | None]) -> Array:
    x = _reals(part, arrays)
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _unary(function: Callable[[Array], Array]) -> Callable[[Part, list[Array | None]], Array]:
    return lambda part, arrays: function(_reals(part, arrays))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Part, list[Array | None]], Array]:
    return lambda part, arrays: function(_reals(part, arrays), _reals(part, arrays, 1))


def _gelu(part: Part, arrays: list[Array | None]) -> Array:
    x = _reals(part, arrays)
    if part.options["approximate"]:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


_REAL: dict[str, Callable[[Part, list[Array | None]], Array]] = {
    "ADD": _binary(np.add),
    "AVERAGE_POOL_2D": _average,
    "BATCH_MATMUL": _binary(np.matmul),
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "ELU": _unary(lambda x: np.where(x > 0, x, np.expm1(x))),
    "FULLY_CONNECTED": _fully_connected,
    "GELU": _gelu,
    "HARD_SWISH": _unary(lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "LEAKY_RELU": lambda part, arrays: np.where(_reals(part, arrays) > 0, 1, part.options["alpha"]) * _reals(part, arrays),
    "LOGISTIC": _unary(lambda x: 1 / (1 + np.exp(-x))),
    "MAXIMUM": _binary(np.maximum),
    "MEAN": _mean,
    "MINIMUM": _binary(np.minimum),
    "RELU": _unary(lambda x: np.maximum(x, 0)),
    "RELU6": _unary(lambda x: np.clip(x, 0, 6)),
    "RELU_N1_TO_1": _unary(lambda x: np.clip(x, -1, 1)),
    "MUL": _binary(np.multiply),
    "QUANTIZE": _unary(lambda x: x),
    "RESIZE_BILINEAR": _bilinear,
    "SOFTMAX": _softmax,
    "SUB": _binary(np.subtract),
    "TANH": _unary(np.tanh),
    "TRANSPOSE_CONV": _transposed,
}


def _max_pool(part: Part, arrays: list[Array | None]) -> list[Array]:
    x = arrays[0]
    assert x is not None
    size = part.options["filterHeight"], part.options["filterWidth"]
    padded = np.pad(x, [(0, 0), *pads(part, x.shape, size), (0, 0)], constant_values=-128)
    return [windows(part, padded, size).max((3, 4))]


def _pad(part: Part, arrays: list[Array | None]) -> list[Array]:
    x, margin = arrays[0], arrays[1]
    assert x is not None
    assert margin is not None
    filler = arrays[2].reshape(-1)[0] if len(arrays) > 2 and arrays[2] is not None else _quant(part.inputs[0]).zero
    return [np.pad(x, margin, constant_values=filler)]


def _of(function: Callable[..., Array]) -> Callable[[Part, list[Array | None]], list[Array]]:
    return lambda part, arrays: [function(*arrays)]


def _nearest(part: Part, arrays: list[Array | None]) -> list[Array]:
    x = arrays[0]
    assert x is not None
    for axis in (1, 2):
        before, after = x.shape[axis], part.outputs[0].shape[axis]
        align, half = part.options["alignCorners"], part.options["halfPixelCenters"]
        scale = (before - 1) / (after - 1) if align and after > 1 else before / after
        place = (np.arange(after) + (0.5 if half else 0)) * scale
        x = x.take(np.minimum(np.floor(place + 0.5 if align else place), before - 1).astype(int), axis)
    return [x]


_MOVES: dict[str, Callable[[Part, list[Array | None]], list[Array]]] = {
    "BROADCAST_TO": _of(np.broadcast_to),
    "CONCATENATION": lambda part, arrays: [np.concatenate([a for a in arrays if a is not None], part.options["axis"])],
    "GATHER": lambda part, arrays: [np.take(arrays[0], arrays[1], part.options["axis"])],  # type: ignore[arg-type]
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "PADV2": _pad,
    "REDUCE_MAX": lambda part, arrays: [np.max(arrays[0], tuple(map(int, arrays[1])), keepdims=part.options["keepDims"])],  # type: ignore[arg-type, union-attr]
    "RESHAPE": lambda part, arrays: [arrays[0].reshape(part.outputs[0].shape)],  # type: ignore[union-attr]
    "RESIZE_NEAREST_NEIGHBOR": _nearest,
    "SLICE": _of(lambda x, begin, size: x[tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))]),
    "TILE": _of(np.tile),
    "TRANSPOSE": _of(lambda x, perm: x.transpose(perm)),
}


def _split(part: Part, arrays: list[Array | None]) -> list[Array]:
    x, sizes, axis = arrays
    assert sizes is not None
    return np.split(x, np.cumsum(sizes)[:-1], int(axis.reshape(-1)[0]))  # type: ignore[arg-type, union-attr]


def _strided(part: Part, arrays: list[Array | None]) -> list[Array]:
    x, begin, end, steps = arrays
    assert x is not None
    open_end = part.options["endMask"]
    places = zip(begin, end, steps, strict=True)  # type: ignore[arg-type]
    return [x[tuple(slice(b, None if open_end >> i & 1 else e, s) for i, (b, e, s) in enumerate(places))]]


def _depth_to_space(part: Part, arrays: list[Array | None]) -> list[Array]:
    x, block = arrays[0], part.options["blockSize"]
    assert x is not None
    batch, height, width, channels = x.shape
    cut = x.reshape(batch, height, width, block, block, channels // block**2)
    return [cut.transpose(0, 1, 3, 2, 4, 5).reshape(part.outputs[0].shape)]


def _space_to_depth(part: Part, arrays: list[Array | None]) -> list[Array]:
    x, block = arrays[0], part.options["blockSize"]
    assert x is not None
    batch, height, width, channels = x.shape
    cut = x.reshape(batch, height // block, block, width // block, block, channels)
    return [cut.transpose(0, 1, 3, 2, 4, 5).reshape(part.outputs[0].shape)]


_MOVES |= {"DEPTH_TO_SPACE": _depth_to_space, "SPACE_TO_DEPTH": _space_to_depth, "SPLIT_V": _split, "STRIDED_SLICE": _strided}
