"""Picking elements by their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, array, given, integers, number


def _gather(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", 0)
    place, data = number(node, 1), given(node, 0)
    indices = array(node, 1)
    if place is not None and indices is not None and indices.ndim == 0:
        return lambda x, _: x.select(axis, int(place))
    is_table = axis == 0 and data is not None and data.shape is not None and len(data.shape) == 2
    if is_table and data is not None and data.dtype is not None and data.dtype.is_floating_point():
        return lambda table, which: functional.embedding(_counted(which, table.shape[0]), table)

    def gather(x: Any, which: Any) -> Any:
        places = _counted(which, x.shape[axis])
        first = axis + x.dim() if axis < 0 else axis
        return x.index_select(first, places.flatten()).reshape(x.shape[:first] + places.shape + x.shape[first + 1 :])

    return gather


def _counted(places: Any, size: int) -> Any:
    """Places counted from the start, as int64: ONNX counts negative ones from the end."""
    return torch.where(places < 0, places + size, places).long()


def _gather_elements(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", 0)
    return lambda x, which: torch.gather(x, axis, _counted(which, x.shape[axis]))


def _gather_nd(node: onnx_ir.Node) -> Callable[..., Any]:
    shared = node.attributes.get_int("batch_dims", 0)

    def gather(x: Any, which: Any) -> Any:
        outer = which.shape[:shared]
        rows = which.reshape(outer.numel(), -1, which.shape[-1])
        parts = x.reshape(outer.numel(), *x.shape[shared:])
        batch = torch.arange(len(parts), device=x.device)[:, None]
        picked = parts[(batch, *rows.unbind(-1))]
        return picked.reshape(which.shape[:-1] + picked.shape[2:])

    return gather


def _scatter_elements(node: onnx_ir.Node) -> Callable[..., Any]:
    axis, kind = node.attributes.get_int("axis", 0), node.attributes.get_string("reduction", "none")

    def scatter(x: Any, which: Any, updates: Any) -> Any:
        places = _counted(which, x.shape[axis])
        if kind == "none":
            return x.scatter(axis, places, updates)
        return x.scatter_reduce(axis, places, updates, _REDUCTIONS[kind])

    return scatter


def _scatter_nd(node: onnx_ir.Node) -> Callable[..., Any]:
    kind = node.attributes.get_string("reduction", "none")

    def scatter(x: Any, which: Any, updates: Any) -> Any:
        # One number for each place of the axes that are indexed, so that any reduction is that of one axis.
        depth = which.shape[-1]
        rows = torch.zeros(which.shape[:-1], dtype=torch.int64, device=x.device)
        for axis, places in enumerate(which.unbind(-1)):
            rows = rows * x.shape[axis] + _counted(places, x.shape[axis])
        table = x.reshape(x.shape[:depth].numel(), -1)
        values = updates.reshape(rows.numel(), -1)
        where = rows.reshape(-1, 1).expand_as(values)
        if kind == "none":
            return table.scatter(0, where, values).reshape(x.shape)
        return table.scatter_reduce(0, where, values, _REDUCTIONS[kind]).reshape(x.shape)

    return scatter


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _slice(node: onnx_ir.Node) -> Callable[..., Any]:
    constants = [integers(node, place) if given(node, place) is not None else None for place in range(1, 5)]
    is_constant = all(
        found is not None or given(node, place) is None for place, found in zip(range(1, 5), constants, strict=True)
    )
    if is_constant and constants[0] is not None and constants[1] is not None:
        starts, ends = constants[0], constants[1]
        axes = constants[2] if constants[2] is not None else list(range(len(starts)))
        steps = constants[3] if constants[3] is not None else [1] * len(starts)
        return lambda x, *_: _cut(x, starts, ends, axes, steps)

    def computed(x: Any, *bounds: Any) -> Any:
        lists = [[] if bound is None else bound.tolist() for bound in bounds]
        starts, ends, axes, steps = (*lists, [], [])[:4]
        return _cut(x, starts, ends, axes or range(len(starts)), steps or [1] * len(starts))

    return computed


def _cut(x: Any, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Any:
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if step > 0:
            index = [slice(None)] * x.dim()
            index[axis] = slice(start, end, step)
            x = x[tuple(index)]
            continue
        # A negative end counts from the end, but one below -size means before the first element.
        first = min(max(start + size if start < 0 else start, 0), size - 1)
        last = max(end + size if end < 0 else end, -1)
        x = x.index_select(axis, torch.tensor(list(range(first, last, step)), dtype=torch.int64, device=x.device))
    return x


def _one_hot(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", -1)

    def one_hot(which: Any, depth: Any, values: Any) -> Any:
        count = int(depth)
        last = functional.one_hot(_counted(which, count), count).movedim(-1, axis)
        return torch.where(last.bool(), values[1], values[0])

    return one_hot


def _top_k(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", -1)
    is_largest, is_sorted = bool(node.attributes.get_int("largest", 1)), bool(node.attributes.get_int("sorted", 1))
    return lambda x, count: tuple(torch.topk(x, int(count), axis, is_largest, is_sorted))


INDEXING: Mapping[str, Operator] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "NonZero": lambda node: lambda x: torch.nonzero(x).t(),
    "OneHot": _one_hot,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "TopK": _top_k,
}
