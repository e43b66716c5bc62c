"""Questions that patterns ask of a graph."""

from __future__ import annotations

from typing import Any

import onnx_ir
from numpy.typing import NDArray

from ..model import constant, initializer
from .forms import fresh


def maker(value: onnx_ir.Value | None, *kinds: str) -> onnx_ir.Node | None:
    """The node of one of these types that makes `value`, or None."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in kinds and node.domain in ("", "ai.onnx") else None


def sole_maker(value: onnx_ir.Value | None) -> onnx_ir.Node | None:
    """The node that makes `value`, where only one node reads that."""
    return value.producer() if value is not None and len(value.uses()) == 1 and not value.is_graph_output() else None


def is_number(value: onnx_ir.Value | None, number: float) -> bool:
    """Whether `value` is a constant of the one element `number`."""
    array = constant(value)
    return array is not None and array.size == 1 and array.item() == number


def is_narrow(value: onnx_ir.Value | None, gain: NDArray[Any] | None, x: onnx_ir.Value, axis: int) -> bool:
    """Whether `value` has the sizes of x, but 1 along `axis` (any size there with a gain)."""
    if value is None or value.shape is None or x.shape is None or len(value.shape) != len(x.shape):
        return False
    pairs = enumerate(zip(value.shape, x.shape, strict=True))
    return all((gain is not None or have == 1) if place == axis else have == want for place, (have, want) in pairs)


def partners(before: onnx_ir.Value, after: onnx_ir.Value) -> list[int | None] | None:
    """For each axis before the Reshape the one that it becomes, None for axes of size 1; None where others change."""
    if before.shape is None or after.shape is None:
        return None
    # As both hold as many elements, the one size that is free is the same on both sides when all others are.
    old, new = ([size if isinstance(size, int) else None for size in value.shape or ()] for value in (before, after))
    if new.count(None) > 1:
        return None
    kept = [axis for axis, size in enumerate(new) if size != 1]
    if [size for size in old if size != 1] != [new[axis] for axis in kept]:
        return None
    following = iter(kept)
    return [None if size == 1 else next(following) for size in old]


def flat(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """`value` before Reshapes that only add or drop axes of size 1."""
    node = maker(value, "Reshape")
    while value is not None and node is not None and node.inputs[0] is not None and partners(node.inputs[0], value) is not None:
        value = node.inputs[0]
        node = maker(value, "Reshape")
    return value


def weight(graph: onnx_ir.Graph, node: onnx_ir.Node, name: str, array: NDArray[Any]) -> onnx_ir.Value:
    """A new constant of the graph, named after what `node` makes."""
    value = initializer(fresh(graph, f"{node.outputs[0].name}_{name}"), array)
    graph.register_initializer(value)
    return value
