"""Normalizations written out, with the statistics of some positions alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...ir.model import initializer
from ...ir.rewrites.forms import fresh

NORMS = ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization")


def masked_norm(node: onnx_ir.Node, graph: onnx_ir.Graph, stays: NDArray[np.bool_], shape: Sequence[int]) -> list[onnx_ir.Node]:
    """Nodes for a normalization of a value of `shape` (at batch 1) that leaves out what does not stay.

    `stays`: of the value's rank, of size 1 on axes that stay whole. The last of the nodes makes what the node made.
    """
    made = _Nodes(node, graph)
    x, scale, shift = (*node.inputs, None)[:3]
    rank = len(shape)
    own = [*shape]
    if node.op_type == "GroupNormalization":
        groups = node.attributes["num_groups"].as_int()
        own = [shape[0], groups, math.prod(shape[1:]) // groups]
        stays = np.broadcast_to(stays, shape).reshape(own)
        x = made.add("Reshape", x, made.number("inner", np.array([0, groups, -1])))
    first = node.attributes.get_int("axis", -1) % rank if node.op_type in ("LayerNormalization", "RMSNormalization") else 2
    axes = list(range(first, len(own)))
    y = _normalized(made, x, stays, own, axes, has_mean=node.op_type != "RMSNormalization")
    if node.op_type == "GroupNormalization":
        y = made.add("Reshape", y, made.number("outer", np.array([-1, *shape[1:]])))
    if node.op_type in ("InstanceNormalization", "GroupNormalization"):
        wide = made.number("wide", np.array([1, -1, *[1] * (rank - 2)]))
        scale, shift = made.add("Reshape", scale, wide), made.add("Reshape", shift, wide)
    y = made.add("Mul", y, scale)
    if shift is not None:
        made.add("Add", y, shift)
    return made.nodes


def _normalized(
    made: _Nodes,
    x: onnx_ir.Value | None,
    stays: NDArray[np.bool_],
    shape: Sequence[int],
    axes: Sequence[int],
    *,
    has_mean: bool,
) -> onnx_ir.Value:
    # Sizes as they are on the axes that are summed over, so that positions can be counted.
    full = np.broadcast_to(stays, [size if axis in axes else stays.shape[axis] for axis, size in enumerate(shape)])
    count = made.number("count", np.maximum(full.sum(axis=tuple(axes), keepdims=True), 1).astype(np.float32))
    keep, zero = made.number("stays", stays), made.number("zero", np.array(0, np.float32))
    where = made.number("axes", np.array(axes))
    centred = made.add("Where", keep, x, zero)
    if has_mean:
        mean = made.add("Div", made.add("ReduceSum", centred, where), count)
        centred = made.add("Where", keep, made.add("Sub", x, mean), zero)
    variance = made.add("Div", made.add("ReduceSum", made.add("Mul", centred, centred), where), count)
    root = made.add("Sqrt", made.add("Add", variance, made.number("epsilon", np.array(made.epsilon, np.float32))))
    return made.add("Div", centred, root)


class _Nodes:
    """Nodes that stand for one."""

    def __init__(self, node: onnx_ir.Node, graph: onnx_ir.Graph) -> None:
        self.nodes: list[onnx_ir.Node] = []
        self.epsilon = node.attributes.get_float("epsilon", 1e-5)
        self._graph = graph
        self._name = str(node.outputs[0].name)

    def add(self, kind: str, *inputs: onnx_ir.Value | None) -> onnx_ir.Value:
        """The output of a new node."""
        self.nodes.append(onnx_ir.node(kind, list(inputs)))
        return self.nodes[-1].outputs[0]

    def number(self, name: str, array: NDArray[np.generic]) -> onnx_ir.Value:
        """A new constant."""
        value = initializer(fresh(self._graph, f"{self._name}/{name}"), array)
        self._graph.register_initializer(value)
        return value
