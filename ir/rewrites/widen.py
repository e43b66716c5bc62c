"""The pass `widen-weights`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ..model import Model, constant, initializer
from ..passes import PassResult

_WIDENING = frozenset({"DequantizeLinear", "Cast"})


@dataclass(frozen=True)
class WidenWeights:
    """Let weights that are stored in int8 or float16 be float32, so that every precision starts from the same numbers.

    Before::

        y = Conv(x, DequantizeLinear{axis=0}(@w:int8, @s, @z))

    After::

        y = Conv(x, @w:float32)

    A model whose activations are quantized too (it has QuantizeLinear) is left as it is: its integers are its meaning.
    """

    name: ClassVar[str] = "widen-weights"
    needs: ClassVar[type[Any] | None] = None

    def run(self, model: Model, given: None = None) -> PassResult:
        """Widen the weights of `model`."""
        if any(node.op_type == "QuantizeLinear" for node in model.graph):
            return PassResult(model, False, ("activations are quantized: weights stay as they are",))
        result = model.clone()
        graph = result.graph
        widened = 0
        for node in list(graph):
            array = _widened(node)
            if array is None or node.outputs[0].is_graph_output():
                continue
            value = initializer(str(node.outputs[0].name), array)
            for user, index in list(node.outputs[0].uses()):
                user.replace_input_with(index, value)
            graph.remove(node, safe=True)
            graph.register_initializer(value)
            widened += 1
        if not widened:
            return PassResult(model, False)
        return PassResult(Model(common.RemoveUnusedNodesPass()(result.ir).model), True, (f"{widened} weights widened",))


def _widened(node: onnx_ir.Node) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """What a node makes of constants alone, when it makes float32 of a narrower type."""
    if node.domain or node.op_type not in _WIDENING or node.outputs[0].dtype != onnx_ir.DataType.FLOAT:
        return None
    arrays = [constant(value) for value in node.inputs if value is not None]
    if any(array is None for array in arrays) or not arrays or arrays[0] is None:
        return None
    data = arrays[0]
    if node.op_type == "Cast":
        return data.astype(np.float32) if data.dtype == np.float16 else None
    scale, zero = arrays[1], arrays[2] if len(arrays) > 2 else None
    if scale is None or bool(node.attributes.get_int("block_size")):
        return None
    shape = [1] * data.ndim
    if scale.size > 1:
        shape[node.attributes.get_int("axis", 1)] = -1
    steps = scale.reshape(shape if scale.size > 1 else ())
    offset = 0 if zero is None else zero.astype(np.int32).reshape(shape if zero.size > 1 else ())
    return np.asarray((data.astype(np.int32) - offset).astype(np.float32) * steps, np.float32)
