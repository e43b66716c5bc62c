"""Neighbours that one kernel of torch computes, or that may write over what they read: less memory, fewer passes over it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .operators.reading import number
from .plan import Call

# What these make is theirs alone, and autograd needs it nowhere: the next one may write over it.
_FORGOTTEN = frozenset({"Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "Sub"})


def fuse(
    nodes: Sequence[onnx_ir.Node], calls: Sequence[Call], open_values: Collection[str], own: Collection[str]
) -> list[Call]:
    """The calls of `nodes`, neighbours joined: `MatMul` with the `Add` of a bias, `x * Sigmoid(x)`, activations in place.

    Values in `open_values` (with hooks, or asked for) stay as they are, and so do operators in `own`, which are the caller's.
    """
    return _Fusion(nodes, calls, open_values, own).run()


class _Fusion:
    def __init__(
        self, nodes: Sequence[onnx_ir.Node], calls: Sequence[Call], open_values: Collection[str], own: Collection[str]
    ) -> None:
        self._open, self._own = open_values, own
        self._calls: dict[onnx_ir.Node, Call] = dict(zip(nodes, calls, strict=True))

    def run(self) -> list[Call]:
        for node in list(self._calls):
            rule = _RULES.get(node.op_type)
            if rule is not None and node.op_type not in self._own and node in self._calls:
                rule(self, node)
        return list(self._calls.values())

    def inner(self, value: onnx_ir.Value | None, *kinds: str) -> onnx_ir.Node | None:
        """The node of one of these types that makes `value`, where nothing but its one reader sees it."""
        node = value.producer() if value is not None else None
        if node is None or value is None or node.op_type not in kinds or node.op_type in self._own:
            return None
        if len(value.uses()) != 1 or value.is_graph_output() or value.name in self._open or node not in self._calls:
            return None
        return node

    def join(self, first: onnx_ir.Node, last: onnx_ir.Node, function: Callable[..., Any], reads: Any) -> None:
        """Compute both where the last of them stands."""
        del self._calls[first]
        self._calls[last] = Call(function, tuple(reads), tuple(last.outputs))

    def replace(self, node: onnx_ir.Node, function: Callable[..., Any]) -> None:
        """Compute `node` by another function of the same inputs."""
        self._calls[node] = Call(function, self._calls[node].reads, self._calls[node].writes)


def _add(fusion: _Fusion, node: onnx_ir.Node) -> None:
    for place in (0, 1):
        value, other = node.inputs[place], node.inputs[1 - place]
        product = fusion.inner(value, "MatMul")
        if product is not None and other is not None and _is_dense(product, other):
            fusion.join(product, node, _linear, (*product.inputs, other))
            return
    for place in (0, 1):
        value, other = node.inputs[place], node.inputs[1 - place]
        if fusion.inner(value, *_FORGOTTEN) is not None and other is not value and _is_like(value, node.outputs[0]):
            fusion.replace(node, _add_to_first if place == 0 else _add_to_second)
            return


def _is_dense(product: onnx_ir.Node, bias: onnx_ir.Value) -> bool:
    """Whether a product has a matrix of weights at the right and a vector is added to its rows."""
    weights = product.inputs[1]
    is_matrix = weights is not None and weights.is_initializer() and weights.shape is not None and len(weights.shape) == 2
    if not is_matrix or not bias.is_initializer() or bias.shape is None or len(bias.shape) != 1 or weights is None:
        return False
    return weights.shape is not None and bias.shape[0] == weights.shape[1]


def _linear(x: Any, weights: Any, bias: Any) -> Any:
    return functional.linear(x, weights.t(), bias)


def _add_to_first(a: Any, b: Any) -> Any:
    return a.add_(b) if a.dtype == b.dtype else a + b


def _add_to_second(a: Any, b: Any) -> Any:
    return b.add_(a) if a.dtype == b.dtype else a + b


def _is_like(value: onnx_ir.Value | None, made: onnx_ir.Value) -> bool:
    """Whether both are known to have the same shape and type."""
    if value is None or value.shape is None or made.shape is None or value.dtype != made.dtype:
        return False
    same = list(value.shape) == list(made.shape)
    return same and all(isinstance(size, int) or size.value is not None for size in value.shape)


def _mul(fusion: _Fusion, node: onnx_ir.Node) -> None:
    for place in (0, 1):
        x = node.inputs[place]
        curve = fusion.inner(node.inputs[1 - place], "Sigmoid")
        if curve is not None and x is not None and curve.inputs[0] is x:
            fusion.join(curve, node, functional.silu, (x,))
            return


def _relu(fusion: _Fusion, node: onnx_ir.Node) -> None:
    if fusion.inner(node.inputs[0], *_FORGOTTEN) is not None:
        fusion.replace(node, torch.relu_)


def _clip(fusion: _Fusion, node: onnx_ir.Node) -> None:
    low, high = number(node, 1), number(node, 2)
    if low is None or high is None or low > high or fusion.inner(node.inputs[0], *_FORGOTTEN) is None:
        return
    fusion.replace(node, lambda x, *_: functional.hardtanh_(x, low, high))


_RULES: dict[str, Callable[[_Fusion, onnx_ir.Node], None]] = {"Add": _add, "Clip": _clip, "Mul": _mul, "Relu": _relu}
