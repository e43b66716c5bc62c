"""Resize: the kernel whose sampling positions are the model's, or gathers of rows and columns where none has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from . import fusion, layout
from .flatbuffer import Tensor
from .graph import Lowering

# (align_corners, half_pixel_centers) of the kernels
_MODES = ((False, False), (False, True), (True, False))


def resize(low: Lowering, node: onnx_ir.Node) -> None:
    """Resize of the spatial axes of [N, C, H, W] or [N, C, L], nearest or linear."""
    value, out = node.inputs[0], node.outputs[0]
    if value is None:
        raise low.fail(node, "it has no input")
    before, after = low.shape(value), low.shape(out)
    rank = len(before)
    mode = node.attributes.get_string("mode", "nearest")
    if mode not in ("nearest", "linear") or rank not in (3, 4) or before[:2] != after[:2]:
        raise low.fail(node, f"mode {mode!r} from {before} to {after}; nearest and linear of spatial axes have kernels")
    if node.attributes.get_int("antialias", 0):
        raise low.fail(node, "it is anti-aliased")
    scales = _scales(low, node, before, after)
    places = [_positions(low, node, before[axis], after[axis], scales[axis]) for axis in range(2, rank)]
    last = layout.channels_last(rank)
    quant = low.quant(value)
    end = fusion.tail(low, out, ())
    stays = quant is not None and (mode == "nearest" or end.quant == quant)
    source = low.raw(value, last) if stays else low.real(value, last)
    if rank == 3:
        source = low.reshaped(source, (source.shape[0], 1, *source.shape[1:]))
        places = [np.zeros(1), *places]
    sizes = (source.shape[1], source.shape[2])
    made = _nearest(low, node, source, places) if mode == "nearest" else _linear(low, node, source, sizes, places)
    made = low.reshaped(made, layout.apply(after, last))
    low.bind(out, made, last)
    low.record(
        node, "int8" if stays else "float32", "" if stays or quant is None else "its result has other numbers than its input"
    )


def _scales(low: Lowering, node: onnx_ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> list[float]:
    ratio = [new / old for old, new in zip(before, after, strict=True)]
    given = low.array(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    if given is None or given.size == 0:
        return ratio
    axes = [int(axis) % len(before) for axis in node.attributes.get_ints("axes") or range(len(before))]
    for axis, scale in zip(axes, given.reshape(-1), strict=True):
        ratio[axis] = float(scale)
    return ratio


def _positions(low: Lowering, node: onnx_ir.Node, before: int, after: int, scale: float) -> NDArray[np.float64]:
    """Position in the input of each element of the result, as the model defines it."""
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    x = np.arange(after, dtype=np.float64)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and after > 1):
        return (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(1)
    if mode == "align_corners":
        return x * (before - 1) / (after - 1) if after > 1 else np.zeros(1)
    if mode == "asymmetric":
        return x / scale
    raise low.fail(node, f"coordinates {mode!r} have no kernel")


def _of_kernel(before: int, after: int, align: bool, half: bool) -> NDArray[np.float64]:
    """Position in the input of each element of the result, as a kernel computes it."""
    x = np.arange(after, dtype=np.float64)
    scale = (before - 1) / (after - 1) if align and after > 1 else before / after
    return (x + 0.5) * scale if half else x * scale


_ROUNDING: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _nearest(low: Lowering, node: onnx_ir.Node, source: Tensor, places: list[NDArray[np.float64]]) -> Tensor:
    rounding = _ROUNDING[node.attributes.get_string("nearest_mode", "round_prefer_floor")]
    wanted = [
        np.clip(rounding(np.round(place, 9)), 0, size - 1).astype(np.int64)
        for place, size in zip(places, source.shape[1:3], strict=True)
    ]
    shape = (source.shape[0], len(wanted[0]), len(wanted[1]), source.shape[3])
    for align, half in _MODES:
        found = [_kernel_nearest(size, len(want), align, half) for size, want in zip(source.shape[1:3], wanted, strict=True)]
        if all(np.array_equal(have, want) for have, want in zip(found, wanted, strict=True)):
            options = ("ResizeNearestNeighborOptions", {"alignCorners": align, "halfPixelCenters": half})
            given = [source, low.numbers("size", shape[1:3])]
            return low.emit("RESIZE_NEAREST_NEIGHBOR", given, shape, source.dtype, quant=source.quant, options=options)
    made = source
    for axis, want in enumerate(wanted, start=1):
        sizes = (*made.shape[:axis], len(want), *made.shape[axis + 1 :])
        given = [made, low.numbers("places", want)]
        made = low.emit("GATHER", given, sizes, made.dtype, quant=made.quant, options=("GatherOptions", {"axis": axis}))
    return made


def _kernel_nearest(before: int, after: int, align: bool, half: bool) -> NDArray[np.int64]:
    place = _of_kernel(before, after, align, half)
    rounded = np.floor(place + 0.5) if align else np.floor(place)
    return np.clip(rounded, 0, before - 1).astype(np.int64)


def _linear(
    low: Lowering, node: onnx_ir.Node, source: Tensor, before: tuple[int, int], places: list[NDArray[np.float64]]
) -> Tensor:
    shape = (source.shape[0], len(places[0]), len(places[1]), source.shape[3])
    for align, half in _MODES:
        offset = 0.5 if half else 0.0
        found = [_of_kernel(size, len(want), align, half) - offset for size, want in zip(before, places, strict=True)]
        limits = [size - 1 for size in before]
        pairs = zip(found, places, limits, strict=True)
        if all(np.allclose(np.clip(have, 0, top), np.clip(want, 0, top), atol=1e-6) for have, want, top in pairs):
            options = ("ResizeBilinearOptions", {"alignCorners": align, "halfPixelCenters": half})
            given = [source, low.numbers("size", shape[1:3])]
            return low.emit("RESIZE_BILINEAR", given, shape, source.dtype, quant=source.quant, options=options)
    raise low.fail(node, "no kernel samples at its positions")


EMITTERS = {"Resize": resize}
