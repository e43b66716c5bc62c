"""Strided views, which exporters write as a pick of all elements in their order, are Reshapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ...ir.model import Model, constant, initializer
from ...ir.passes import stamp
from ...ir.rewrites.forms import fresh
from .sizes import Sized

MADE_BY = "training-form"


def as_reshapes(model: Model, sizes: Sequence[Sized]) -> Model:
    """`Gather(Reshape(x, [-1]), @[[0, 1], [2, 3]])` -> `Reshape(x, @[2, 2])`, where that holds at all of these sizes."""
    result = model.clone()
    changed = False
    for node in list(result.graph):
        shapes = [known.shapes.get(str(node.outputs[0].name)) for known in sizes]
        if node.op_type != "Gather" or any(shape is None for shape in shapes) or not all(_is_all(node, at) for at in sizes):
            continue
        target = [
            lengths[0] if len(set(lengths)) == 1 else -1 for lengths in zip(*(shape or () for shape in shapes), strict=True)
        ]
        if target.count(-1) > 1:
            continue
        value = initializer(fresh(result.graph, f"{node.outputs[0].name}_shape"), np.array(target, np.int64))
        result.graph.register_initializer(value)
        made = onnx_ir.node("Reshape", [node.inputs[0], value])
        stamp((made,), MADE_BY)
        onnx_ir.convenience.replace_nodes_and_values(result.graph, node, [node], [made], [node.outputs[0]], [made.outputs[0]])
        changed = True
    if changed:
        common.RemoveUnusedNodesPass()(result.ir)
    return result


def _is_all(node: onnx_ir.Node, known: Sized) -> bool:
    """Whether `node` picks every element of a vector, in order."""
    data, which = node.inputs
    if data is None or which is None:
        return False
    shape, places = known.shapes.get(str(data.name)), known.arrays.get(str(which.name))
    places = constant(which) if places is None else places
    if shape is None or len(shape) != 1 or places is None or places.ndim < 2:
        return False
    return np.array_equal(places.ravel(), np.arange(shape[0]))
