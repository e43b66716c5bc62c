"""Sizes of every value when the batch is one."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir
from onnx_ir.passes import common

from ...core.errors import PassError
from ...ir.model import Model

Shape = tuple[int, ...]


def shapes_at_one(model: Model) -> Mapping[str, Shape]:
    """Shapes by value's name, a free first axis of the inputs being 1; values whose shape stays unknown are left out.

    Raises PassError where another axis of an input is free.
    """
    sized = model.clone()
    ones: set[str | None] = set()
    for value in sized.graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, int):
                continue
            if axis > 0:
                raise PassError(
                    f"axis {axis} of the input {value.name!r} has no fixed size, so the model cannot be pruned; "
                    "give its inputs sizes with --shape."
                )
            ones.add(size.value)
    for value in _values(sized.graph):
        if value.shape is not None:
            value.shape = onnx_ir.Shape([_size(size, ones) for size in value.shape])
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(sized.ir)
    return {
        str(value.name): tuple(value.shape.numpy())
        for value in _values(sized.graph)
        if value.shape is not None and value.shape.is_static()
    }


def _size(size: int | onnx_ir.SymbolicDim, ones: set[str | None]) -> int | onnx_ir.SymbolicDim:
    return 1 if not isinstance(size, int) and size.value is not None and size.value in ones else size


def _values(graph: onnx_ir.Graph) -> list[onnx_ir.Value]:
    made = [value for node in graph for value in node.outputs]
    return [*graph.inputs, *graph.initializers.values(), *made]
