"""Gathers of channels, written so that OpenVINO computes them right."""

from __future__ import annotations

import onnx_ir

from ...ir.model import constant
from ...ir.rewrites.forms import replace, reshape

_MAPS = 4  # least rank of [batch, channels, height, width]


def flatten_gathers(graph: onnx_ir.Graph) -> None:
    """Let channels of maps be gathered from lines.

    The CPU plugin (2026.4) hands a depthwise convolution wrong channels where a Gather of maps stands before it.

    Before::

        y = Gather{axis=1}(x:[1, 92, 8, 8], @indices)

    After::

        y = Reshape(Gather{axis=1}(Reshape(x, [1, 92, 64]), @indices), [1, 92, 8, 8])
    """
    for node in list(graph):
        data = node.inputs[0] if node.op_type == "Gather" and node.domain == "" else None
        indices = constant(node.inputs[1]) if data is not None else None
        made = node.outputs[0].shape
        if data is None or data.shape is None or made is None or indices is None or indices.ndim != 1:
            continue
        sizes, wanted = list(data.shape), list(made)
        if len(sizes) < _MAPS or node.attributes.get_int("axis", 0) % len(sizes) != 1:
            continue
        known = [size for size in (*sizes, *wanted) if isinstance(size, int)]
        if len(known) < len(sizes) + len(wanted):
            continue
        flat = reshape(graph, node, data, [*known[:2], -1])
        lines = onnx_ir.node("Gather", [flat.outputs[0], node.inputs[1]], {"axis": 1})
        replace(graph, node, [flat, lines, reshape(graph, node, lines.outputs[0], known[len(sizes) :])])
