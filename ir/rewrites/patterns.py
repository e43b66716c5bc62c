"""Patterns of several nodes that one operator, or a lookup, computes as well: which of them begin at which operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir

from .forms import replace
from .gelu import gelu, gelu_of_constant
from .layer_norm import gain_or_shift, layer_norm, shifted_norm
from .lookup import one_hot_product, row_step
from .softmax import softmax
from .transposes import SINKABLE, sink, still
from .units import step_before_units, turned_back

# A pattern is looked for from its last node; it gives the nodes that replace that one, or None.
Pattern = Callable[[onnx_ir.Node, onnx_ir.Graph], list[onnx_ir.Node] | None]

_OF_OPERATOR: Mapping[str, Sequence[Pattern]] = {
    "Gemm": (one_hot_product,),
    "MatMul": (one_hot_product,),
    # GELU before its products are drawn into a table one by one: only the whole reads its input once.
    "Mul": (gelu, layer_norm, gain_or_shift, row_step, step_before_units),
    "Div": (gelu, layer_norm, softmax, row_step),
    "Add": (shifted_norm, gain_or_shift, row_step, step_before_units),
    "Transpose": (turned_back,),
    "Reshape": (still,),
    "Gelu": (gelu_of_constant, row_step, step_before_units),
    **dict.fromkeys(("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"), (row_step, step_before_units)),
    **dict.fromkeys(("Abs", "Erf", "Exp", "Neg", "Softplus", "Sub"), (row_step,)),
    **dict.fromkeys(("Clip", "HardSwish"), (step_before_units,)),
}
# Transposes sink last: a gain behind the Transpose of a normalization is its own before it is moved.
PATTERNS: Mapping[str, Sequence[Pattern]] = {
    kind: (*_OF_OPERATOR.get(kind, ()), *((sink,) if kind in SINKABLE else ())) for kind in {*_OF_OPERATOR, *SINKABLE}
}


def replace_patterns(graph: onnx_ir.Graph) -> bool:
    """Replace every pattern found in `graph` (changed in place); True when there was one."""
    changed = False
    for node in list(graph):
        if node.graph is not graph or node.domain not in ("", "ai.onnx"):
            continue
        for pattern in PATTERNS.get(node.op_type, ()):
            made = pattern(node, graph)
            if made is not None:
                replace(graph, node, made)
                changed = True
                break
    return changed
