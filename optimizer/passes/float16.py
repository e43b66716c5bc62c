"""The pass `store-float16`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir
from onnx_ir.passes import common

from ...ir.model import Model, constant, initializer
from ...ir.passes import PassResult, stamp

_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class StoreFloat16:
    """Store float32 weights in float16; arithmetic stays in float32.

    Before::

        y = Conv(x, @w:float32)

    After::

        y = Conv(x, Cast{to=float32}(@w:float16))

    Weights smaller than `least_size` elements, and those that float16 cannot hold (larger than 65504), stay as they are.
    """

    name: ClassVar[str] = "store-float16"
    needs: ClassVar[type[Any] | None] = None

    least_size: int = 64

    def run(self, model: Model, given: None = None) -> PassResult:
        """Convert the weights of `model`."""
        result = model.clone()
        graph = result.graph
        made = []
        outputs = set(graph.outputs)
        for name, value in list(graph.initializers.items()):
            array = constant(value)
            if array is None or array.dtype != np.float32 or array.size < self.least_size or value in outputs:
                continue
            if float(np.abs(array).max(initial=0.0)) > _LARGEST:
                continue
            half = initializer(f"{name}/float16", array.astype(np.float16))
            graph.register_initializer(half)
            out = onnx_ir.Value(name=f"{name}/float32", shape=value.shape, type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
            cast = onnx_ir.Node(
                "",
                "Cast",
                [half],
                {"to": onnx_ir.AttrInt64("to", int(onnx_ir.DataType.FLOAT))},
                outputs=[out],
                name=f"{name}:float16",
            )
            for user, index in list(value.uses()):
                user.replace_input_with(index, out)
            made.append(cast)
        if made:
            graph.insert_before(graph[0], made)
        stamp(made, self.name)
        result = Model(common.RemoveUnusedNodesPass()(result.ir).model)
        return PassResult(result, bool(made), (f"{len(made)} weights stored as float16",))
