"""Names that come from an exporter's counters are replaced by names that come from the graph."""

from __future__ import annotations

import re

from ...ir.model import Model

_COUNTED = re.compile(r"__\d+")


def settle_names(model: Model) -> None:
    """Name nodes, values and weights with a counter in their name after operator and place, in the order of the nodes.

    tf2onnx numbers what it makes in an order that differs between runs, and so do its weights lie in the file. `model` is
    changed in place; inputs and outputs of the graph keep their names.
    """
    graph = model.graph
    kept = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    weights = dict(graph.initializers)
    ordered = []
    for place, node in enumerate(graph):
        if _COUNTED.search(node.name or ""):
            node.name = f"{node.op_type}_{place}"
        for index, value in enumerate(node.outputs):
            if _COUNTED.search(str(value.name)) and str(value.name) not in kept:
                value.name = f"{node.op_type}_{place}_out{index}"
        for index, used in enumerate(node.inputs):
            if used is None or weights.get(str(used.name)) is not used:
                continue
            del weights[str(used.name)]
            ordered.append((used, f"{node.op_type}_{place}_in{index}" if _COUNTED.search(str(used.name)) else str(used.name)))
    # Weights of inner graphs and those that are outputs come last; what nobody reads is left behind.
    ordered += [(value, name) for name, value in sorted(weights.items()) if value.uses() or name in kept]
    graph.initializers.clear()
    for value, name in ordered:
        value.name = name
        graph.register_initializer(value)
