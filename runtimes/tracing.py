"""Where a node of the IR ended up in a runtime's own graph: an operator that is gone was absorbed by what reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import onnx_ir

from .contract import OperatorSupport

Arithmetic = Literal["int8", "float32"]


def trace(graph: onnx_ir.Graph, arithmetic: Callable[[onnx_ir.Node], Arithmetic | None]) -> list[OperatorSupport]:
    """One entry a node of `graph`; `arithmetic` says what a node runs in, or None where the runtime has no such node.

    A node that is not there takes the arithmetic of the nodes that read its results (a Relu inside its convolution, a
    QuantizeLinear inside the operator before it), or of the one before it when nothing reads them.
    """
    found: dict[str, OperatorSupport] = {}
    for node in graph:
        runs, reason = _follow(node, arithmetic, forward=True)
        if runs is None:
            runs, reason = _follow(node, arithmetic, forward=False)
        found[str(node.outputs[0].name)] = OperatorSupport(node.name or "", node.op_type, runs or "float32", reason)
    return list(found.values())


def _follow(
    node: onnx_ir.Node, arithmetic: Callable[[onnx_ir.Node], Arithmetic | None], forward: bool
) -> tuple[Arithmetic | None, str]:
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        runs = arithmetic(current)
        if runs is not None:
            is_shown = current is not node and current.op_type != "QuantizeLinear"
            return runs, f"absorbed by {current.op_type} {current.name!r}" if is_shown else ""
        if forward:
            waiting += [user for value in current.outputs for user, _ in value.uses()]
        else:
            waiting += [made for value in current.inputs if value is not None and (made := value.producer()) is not None]
    return None, ""
