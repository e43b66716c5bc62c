"""`strip`: what an exporter wrote about itself and its machine leaves the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir

from ..model import MADE_BY, Model
from ..passes import PassResult

PRODUCER = "edgewright"


@dataclass(frozen=True)
class Strip:
    """Remove doc strings, stack traces, absolute paths and exporter metadata; the passes' own stamps stay.

    Before::

        y = Relu(x)  # metadata: stack_trace='File "/home/ada/net.py", line 7, in forward', namespace=...

    After::

        y = Relu(x)
    """

    name: ClassVar[str] = "strip"
    needs: ClassVar[None] = None

    def run(self, model: Model, given: None = None) -> PassResult:
        """Strip a copy of `model`."""
        before = model.digest()
        result = model.clone()
        strip_in_place(result.ir)
        return PassResult(result, result.digest() != before)


def strip_in_place(model: onnx_ir.Model) -> None:
    """Strip `model` itself: equal graphs give equal bytes, wherever they were exported."""
    model.doc_string = None
    model.metadata_props.clear()
    model.producer_name, model.producer_version, model.domain, model.model_version = PRODUCER, None, None, None
    model.graph.name = "main"
    _plain_weights(model.graph)
    for holder in _holders(model):
        stamps = {key: value for key, value in holder.metadata_props.items() if key == MADE_BY}
        holder.metadata_props.clear()
        holder.metadata_props.update(stamps)
        holder.doc_string = None


def _plain_weights(graph: onnx_ir.Graph) -> None:
    """Weights still in the form that the file had them in lose its encoding and doc strings."""
    for name, value in graph.initializers.items():
        found = value.const_value
        if found is not None and not isinstance(found, onnx_ir.Tensor) and found.dtype != onnx_ir.DataType.STRING:
            value.const_value = onnx_ir.Tensor(
                found.numpy(), dtype=found.dtype, shape=onnx_ir.Shape(tuple(found.shape.numpy())), name=name
            )


def _holders(model: onnx_ir.Model) -> Iterator[onnx_ir.Graph | onnx_ir.Function | onnx_ir.Node | onnx_ir.Value]:
    """Everything that carries metadata and a doc string."""
    graphs: list[onnx_ir.Graph | onnx_ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        yield graph
        yield from graph.inputs
        if isinstance(graph, onnx_ir.Graph):
            yield from graph.initializers.values()
        for node in graph:
            yield node
            yield from node.outputs
            graphs.extend(subgraphs(node))


def subgraphs(node: onnx_ir.Node) -> list[onnx_ir.Graph]:
    """The graphs that a control-flow node holds."""
    found: list[onnx_ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == onnx_ir.AttributeType.GRAPH:
            found.append(attribute.as_graph())
        elif attribute.type == onnx_ir.AttributeType.GRAPHS:
            found.extend(attribute.as_graphs())
    return found
