"""Short names for the files that ship: an exporter's long ones are a large part of a small model's file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir

from ..ir.model import Model


def shorten(model: Model) -> tuple[Model, dict[str, str]]:
    """A copy with a number for the name of every internal value and node, and the map from new names of nodes to old ones.

    The graph's inputs and outputs keep their names. A node goes by the name of its first result: runtimes tell of a kernel by
    the node or by the value that it makes.

        functional/conv/Relu = Conv{...}(x, functional/conv/Kernel)    becomes    1 = Conv{...}(x, 0)
    """
    copy = model.clone()
    graphs = list(copy.ir.graphs())
    nodes = [node for graph in graphs for node in graph]
    ports = {id(value) for value in (*copy.graph.inputs, *copy.graph.outputs)}
    inner = [value for graph in graphs for value in _values(graph) if id(value) not in ports]
    taken = {str(value.name) for graph in graphs for value in _values(graph)}
    for value, name in zip(inner, _numbers(taken), strict=False):
        if not value.is_initializer() or _own_tensor(value):
            value.name = name
    names = {}
    for node in nodes:
        old, node.name = node.name or "", node.outputs[0].name
        names[str(node.name)] = old
    return copy, names


def _values(graph: onnx_ir.Graph) -> Iterable[onnx_ir.Value]:
    yield from graph.inputs
    yield from (value for value in list(graph.initializers.values()) if not value.is_graph_input())
    for node in graph:
        # An output that is left out has no name, and must not get one.
        yield from (value for value in node.outputs if value.name)


def _numbers(taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        if str(number) not in taken:
            yield str(number)
        number += 1


def _own_tensor(value: onnx_ir.Value) -> bool:
    """Give an initializer a tensor of its own (with the same memory), for a new name goes into the tensor too; no texts."""
    tensor = value.const_value
    if tensor is None or tensor.dtype == onnx_ir.DataType.STRING:
        return False
    value.const_value = onnx_ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return True
