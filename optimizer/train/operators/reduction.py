"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch

from .reading import Operator, given, integers, number, unsupported

_Reduction = Callable[[Any, list[int], bool], Any]


def _reduce(function: _Reduction) -> Operator:
    def make(node: onnx_ir.Node) -> Callable[..., Any]:
        axes = node.attributes.get_ints("axes", None) or integers(node, 1)
        if axes is None and given(node, 1) is not None:
            raise unsupported(node, "its axes are not constant")
        keeps = bool(node.attributes.get_int("keepdims", 1))
        if axes:
            which = list(axes)
            return lambda x, *_: function(x, which, keeps)
        if node.attributes.get_int("noop_with_empty_axes", 0):
            return lambda x, *_: x
        return lambda x, *_: function(x, list(range(x.dim())), keeps)

    return make


def _product(x: Any, axes: list[int], keeps: bool) -> Any:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keeps)
    return x


def _norm(power: float) -> _Reduction:
    return lambda x, axes, keeps: torch.linalg.vector_norm(x, power, axes, keepdim=keeps)


def _argument(function: Callable[..., Any]) -> Operator:
    def make(node: onnx_ir.Node) -> Callable[..., Any]:
        axis, keeps = node.attributes.get_int("axis", 0), bool(node.attributes.get_int("keepdims", 1))
        if not node.attributes.get_int("select_last_index", 0):
            return lambda x: function(x, axis, keeps)
        return lambda x: x.shape[axis] - 1 - function(x.flip(axis), axis, keeps)

    return make


def _running_sum(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = number(node, 1)
    if axis is None:
        raise unsupported(node, "its axis is not constant")
    which = int(axis)
    is_exclusive, is_reverse = node.attributes.get_int("exclusive", 0), node.attributes.get_int("reverse", 0)

    def running(x: Any, _: Any) -> Any:
        turned = x.flip(which) if is_reverse else x
        sums = turned.cumsum(which)
        sums = sums - turned if is_exclusive else sums
        return sums.flip(which) if is_reverse else sums

    return running


REDUCTIONS: Mapping[str, Operator] = {
    "ArgMax": _argument(torch.argmax),
    "ArgMin": _argument(torch.argmin),
    "CumSum": _running_sum,
    "ReduceL1": _reduce(_norm(1)),
    "ReduceL2": _reduce(_norm(2)),
    "ReduceLogSum": _reduce(lambda x, axes, keeps: x.sum(axes, keepdim=keeps).log()),
    "ReduceLogSumExp": _reduce(lambda x, axes, keeps: torch.logsumexp(x, axes, keepdim=keeps)),
    "ReduceMax": _reduce(lambda x, axes, keeps: torch.amax(x, axes, keepdim=keeps)),
    "ReduceMean": _reduce(lambda x, axes, keeps: torch.mean(x, axes, keepdim=keeps)),
    "ReduceMin": _reduce(lambda x, axes, keeps: torch.amin(x, axes, keepdim=keeps)),
    "ReduceProd": _reduce(_product),
    "ReduceSum": _reduce(lambda x, axes, keeps: torch.sum(x, axes, keepdim=keeps)),
    "ReduceSumSquare": _reduce(lambda x, axes, keeps: x.square().sum(axes, keepdim=keeps)),
}
