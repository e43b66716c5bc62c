"""Operators that move elements and compute nothing: shapes, axes, joining and cutting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, array, given, integers, number, rank, torch_dtype, unsupported


def _reshape(node: onnx_ir.Node) -> Callable[..., Any]:
    target = integers(node, 1)
    keeps_zero = bool(node.attributes.get_int("allowzero", 0))
    if target is not None and (keeps_zero or 0 not in target):
        return lambda x, _: x.reshape(target)

    def copying(x: Any, shape: Any) -> Any:
        wanted = target if target is not None else shape.tolist()
        sizes = [x.shape[axis] if size == 0 and not keeps_zero else size for axis, size in enumerate(wanted)]
        return x.reshape(sizes)

    return copying


def _flatten(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", 1)
    if axis == 1:
        return lambda x: x.flatten(1) if x.dim() > 1 else x.reshape(-1, 1)

    def flatten(x: Any) -> Any:
        first = axis + x.dim() if axis < 0 else axis
        return x.reshape(x.shape[:first].numel(), -1)

    return flatten


def _transpose(node: onnx_ir.Node) -> Callable[..., Any]:
    order = node.attributes.get_ints("perm", None)
    axes = list(order) if order is not None else list(reversed(range(rank(node))))
    return lambda x: x.permute(axes)


def _squeeze(node: onnx_ir.Node) -> Callable[..., Any]:
    if given(node, 1) is None:
        return torch.squeeze  # type: ignore[no-any-return]
    axes = integers(node, 1)
    return lambda x, which: torch.squeeze(x, tuple(axes if axes is not None else which.tolist()))


def _unsqueeze(node: onnx_ir.Node) -> Callable[..., Any]:
    axes = integers(node, 1)

    def unsqueeze(x: Any, which: Any) -> Any:
        wanted = axes if axes is not None else which.tolist()
        total = x.dim() + len(wanted)
        for axis in sorted(axis % total for axis in wanted):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _concat(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", 0)
    return lambda *parts: torch.cat(parts, axis)


def _split(node: onnx_ir.Node) -> Callable[..., Any]:
    axis, sizes = node.attributes.get_int("axis", 0), integers(node, 1)
    if sizes is None and given(node, 1) is not None:
        return lambda x, parts: torch.split(x, parts.tolist(), axis)
    if sizes is not None:
        return lambda x, _: torch.split(x, sizes, axis)
    count = len(node.outputs)

    def evenly(x: Any) -> Any:
        return torch.split(x, -(-x.shape[axis] // count), axis)

    return evenly


def _expand(node: onnx_ir.Node) -> Callable[..., Any]:
    target = integers(node, 1)

    def expand(x: Any, shape: Any) -> Any:
        wanted = target if target is not None else shape.tolist()
        return x.expand(torch.broadcast_shapes(x.shape, tuple(wanted)))

    return expand


def _tile(node: onnx_ir.Node) -> Callable[..., Any]:
    repeats = integers(node, 1)
    return lambda x, times: x.repeat(repeats if repeats is not None else times.tolist())


def _pad(node: onnx_ir.Node) -> Callable[..., Any]:
    mode = node.attributes.get_string("mode", "constant")
    pads, axes, fill = integers(node, 1), integers(node, 3), 0.0
    if pads is None or (given(node, 3) is not None and axes is None):
        raise unsupported(node, "its pads are not constant")
    if given(node, 2) is not None:
        value = number(node, 2)
        if value is None and array(node, 2) is None:
            raise unsupported(node, "the value that it pads with is not constant")
        fill = value if value is not None else 0.0
    total = rank(node)
    begins, ends = [0] * total, [0] * total
    half = len(pads) // 2
    for place, axis in enumerate(axes if axes is not None else range(half)):
        begins[axis], ends[axis] = pads[place], pads[place + half]
    if mode == "constant":
        around = [size for axis in reversed(range(total)) for size in (begins[axis], ends[axis])]
        while around and around[-2:] == [0, 0]:
            around = around[:-2]
        return lambda x, *_: functional.pad(x, around, value=fill)

    def extend(x: Any, *_: Any) -> Any:
        for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            if begin or end:
                x = x.index_select(axis, _extended(mode, x.shape[axis], begin, end, x.device))
        return x

    return extend


def _extended(mode: str, size: int, begin: int, end: int, device: Any) -> Any:
    """Which of `size` places each place of the padded axis copies."""
    places = torch.arange(-begin, size + end, device=device)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places.remainder(size)
    period = max(1, 2 * (size - 1))
    turned = places.remainder(period)
    return torch.minimum(turned, period - turned) if size > 1 else torch.zeros_like(places)


def _depth_to_space(node: onnx_ir.Node) -> Callable[..., Any]:
    block = node.attributes.get_int("blocksize", 1)
    is_column_first = node.attributes.get_string("mode", "DCR") == "CRD"

    def spread(x: Any) -> Any:
        if is_column_first:
            return functional.pixel_shuffle(x, block)
        n, c, h, w = x.shape
        cut = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return cut.reshape(n, c // block**2, h * block, w * block)

    return spread


def _space_to_depth(node: onnx_ir.Node) -> Callable[..., Any]:
    block = node.attributes.get_int("blocksize", 1)

    def gather(x: Any) -> Any:
        n, c, h, w = x.shape
        cut = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return cut.reshape(n, c * block**2, h // block, w // block)

    return gather


def _shape(node: onnx_ir.Node) -> Callable[..., Any]:
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64, device=x.device)


def _constant_of_shape(node: onnx_ir.Node) -> Callable[..., Any]:
    found = node.attributes.get("value")
    tensor = None if found is None else found.as_tensor()
    value: float = 0.0 if tensor is None else tensor.numpy().item()
    kind = torch_dtype(node, onnx_ir.DataType.FLOAT if tensor is None else tensor.dtype)
    return lambda shape: torch.full(shape.tolist(), value, dtype=kind, device=shape.device)


def _range(node: onnx_ir.Node) -> Callable[..., Any]:
    return lambda start, limit, step: torch.arange(
        start.item(), limit.item(), step.item(), dtype=start.dtype, device=start.device
    )


def _trilu(node: onnx_ir.Node) -> Callable[..., Any]:
    keep: Callable[..., Any] = torch.triu if node.attributes.get_int("upper", 1) else torch.tril
    return lambda x, offset=None: keep(x, 0 if offset is None else int(offset))


LAYOUTS: Mapping[str, Operator] = {
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda node: lambda x: torch.tensor(x.numel(), dtype=torch.int64, device=x.device),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
