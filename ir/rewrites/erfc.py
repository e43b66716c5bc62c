"""Erfc, which TensorFlow has and ONNX has not, in terms of Erf."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ..model import initializer
from .forms import fresh, replace
from .matching import maker


def express_erfc(graph: onnx_ir.Graph) -> None:
    """`Erfc(x)` -> `1 - Erf(x)`, and `Erfc(Neg(x) * @c)` -> `1 + Erf(x * @c)`, in place: tf2onnx leaves the operator as it is.

    Before, as Keras writes GELU::

        n = Neg(x); a = Mul(n, @c); e = Erfc(a)

    After::

        a = Mul(x, @c); f = Erf(a); e = Add(f, 1)
    """
    for node in list(graph):
        if node.op_type != "Erfc" or node.domain not in ("", "ai.onnx") or not node.inputs:
            continue
        one = initializer(fresh(graph, f"{node.outputs[0].name}_one"), np.array(1, np.float32))
        graph.register_initializer(one)
        made = _positive(node.inputs[0])
        curve = onnx_ir.node("Erf", [made[-1].outputs[0] if made else node.inputs[0]])
        ends = onnx_ir.node("Add", [curve.outputs[0], one]) if made else onnx_ir.node("Sub", [one, curve.outputs[0]])
        replace(graph, node, [*made, curve, ends])


def _positive(value: onnx_ir.Value | None) -> list[onnx_ir.Node]:
    """Nodes that make -`value` with a Neg less, or nothing where there is none to leave out."""
    product = maker(value, "Mul")
    for place in range(2 if product is not None else 0):
        negative = maker(product.inputs[place], "Neg") if product is not None else None
        if negative is not None and product is not None:
            return [onnx_ir.node("Mul", [negative.inputs[0], product.inputs[1 - place]])]
    return []
