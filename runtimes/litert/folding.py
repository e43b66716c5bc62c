"""Nodes that read only constants are computed when lowering."""

from __future__ import annotations

import onnx
import onnx_ir
from onnx.reference import ReferenceEvaluator

from .constants import Constant
from .graph import Lowering

_VIEWS = ("Transpose",)


def fold(low: Lowering, node: onnx_ir.Node) -> None:
    """Make the outputs of `node` known; transposed weights stay as they are stored."""
    first = low.constant(node.inputs[0])
    if node.op_type in _VIEWS and first is not None:
        perm = tuple(node.attributes.get_ints("perm") or reversed(range(first.array.ndim)))
        low.set_constant(node.outputs[0], first.transposed(perm))
    else:
        _evaluate(low, node)
    low.record(node, "float32", "known when lowering")


def _evaluate(low: Lowering, node: onnx_ir.Node) -> None:
    proto = onnx_ir.to_proto(node)
    arrays = {str(value.name): low.array(value) for value in node.inputs if value is not None}
    version = low.graph.opset_imports.get("", 21)
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
        if array is not None
    ]
    outputs = [onnx.ValueInfoProto(name=str(value.name)) for value in node.outputs if value.name]
    graph = onnx.helper.make_graph([proto], "constant", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    try:
        made = ReferenceEvaluator(model).run(None, arrays)
    except Exception as error:
        raise low.fail(node, f"its constants cannot be computed ({error})") from error
    for value, array in zip((value for value in node.outputs if value.name), made, strict=True):
        low.set_constant(value, Constant(str(value.name), array))
