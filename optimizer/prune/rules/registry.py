"""The rule of every operator, and the walk that applies them."""

from __future__ import annotations

import onnx_ir

from ..trace import Rule, Trace, Unknown
from . import convolution, elementwise, moving, norms, products, recurrent, reducing, resampling, selecting

RULES: dict[str, Rule] = {
    name: rule
    for family in (convolution, elementwise, moving, norms, products, recurrent, reducing, resampling, selecting)
    for name, rule in family.RULES.items()
}


def apply(node: onnx_ir.Node, trace: Trace) -> None:
    """Let the labels of what a node reads pass to what it makes; where no rule says how, nothing of them may go."""
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    why = node.op_type
    if rule is not None:
        try:
            rule(node, trace)
            _check_all_told(node, trace)
            return
        except Unknown as error:
            why = f"{node.op_type} {error}"
    reason = f"no rule says how {why} passes channels on"
    trace.unknown[str(node.outputs[0].name)] = reason
    for value in (*node.inputs, *captured(node)):
        trace.freeze(value, reason)
    for made in node.outputs:
        trace.layouts[str(made.name)] = ()


def _check_all_told(node: onnx_ir.Node, trace: Trace) -> None:
    """Rules tell the labels of the outputs that networks use: raise Unknown where another one is read."""
    for made in node.outputs:
        if str(made.name) not in trace.layouts and (made.uses() or made.is_graph_output()):
            raise Unknown(f"with its output {made.name!r}")


def captured(node: onnx_ir.Node) -> list[onnx_ir.Value]:
    """What the bodies of a node's control flow read from outside."""
    bodies = [graph for attribute in node.attributes.values() for graph in _graphs(attribute)]
    inner = [step for graph in bodies for step in onnx_ir.traversal.RecursiveGraphIterator(graph)]
    made = {value for step in inner for value in step.outputs} | {value for graph in bodies for value in graph.inputs}
    read = [value for step in inner for value in step.inputs] + [value for graph in bodies for value in graph.outputs]
    return [value for value in read if value is not None and value not in made]


def _graphs(attribute: onnx_ir.Attr) -> list[onnx_ir.Graph]:
    if attribute.type == onnx_ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return list(attribute.as_graphs()) if attribute.type == onnx_ir.AttributeType.GRAPHS else []
