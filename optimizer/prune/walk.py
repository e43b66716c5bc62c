"""The walk through a model that labels what lies on its tensors."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ...ir.model import Model, constant, initializer
from ...ir.rewrites.forms import fresh
from .rules.registry import apply
from .shapes import shapes_at_one
from .trace import Trace, is_weight


def trace(model: Model) -> Trace:
    """Labels of a copy of `model`; raises PassError where an input's size is free beside its first axis."""
    copy = model.clone()
    origin = _tell_apart(copy.graph)
    shapes = dict(shapes_at_one(model))
    for name, source in origin.items():
        shapes[name] = shapes[source]
    found = Trace(copy, shapes, origin)
    for node in copy.graph:
        apply(node, found)
    for value in copy.graph.outputs:
        found.settled(value)
        found.freeze(value, "it is an output of the model")
    return found


def _tell_apart(graph: onnx_ir.Graph) -> dict[str, str]:
    """Give every reader a copy of its own of weights that are equal by chance; by name of the copy, what it is of.

    The canonical form keeps one of several equal weights: biases that are all zero, norms that were never trained. They are
    no reason to prune their readers alike. A matrix with several readers is tied on purpose, and stays one.
    """
    origin: dict[str, str] = {}
    for value in list(graph.initializers.values()):
        array = constant(value)
        uses = value.uses()
        if array is None or not is_weight(value) or len(uses) < 2 or array.size == 1:
            continue
        if sum(size > 1 for size in array.shape) > 1 and np.ptp(array) > 0:
            continue
        for node, place in list(uses)[1:]:
            copy = initializer(fresh(graph, f"{value.name}@{node.outputs[0].name}"), array)
            graph.register_initializer(copy)
            node.replace_input_with(place, copy)
            origin[str(copy.name)] = str(value.name)
    return origin
