"""Channel shuffles: an axis is split, its parts are moved past each other, and they become one axis again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..layout import Layout
from ..shapes import Shape

MOVING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
"""Operators that may have a grid as input whose rows differ in length, as long as the rows end as one axis again."""


@dataclass(frozen=True, eq=False)
class Shuffle:
    """`made[..., i, ...] = source[..., order[i], ...]` on one axis."""

    source: onnx_ir.Value
    axis: int
    order: NDArray[np.int64]


def shuffle(
    node: onnx_ir.Node, layout_of: Callable[[onnx_ir.Value], Layout], shape_of: Callable[[onnx_ir.Value], Shape]
) -> Shuffle | None:
    """The shuffle that ends with `node`, or None where it and what stands before it are something else."""
    made = node.outputs[0]
    steps = [node]
    while True:
        source = steps[-1].inputs[0]
        if source is None:
            return None
        grids = [span for span in layout_of(source) if len(span.axes) > 1]
        if not grids:
            break
        before = source.producer()
        if before is None or before.op_type not in MOVING or len(grids) > 1:
            return None
        steps.append(before)
    sizes = shape_of(source)
    if sizes != shape_of(made):
        return None
    for span in layout_of(source):
        axis = span.axes[0]
        numbers = np.arange(sizes[axis]).reshape([-1 if place == axis else 1 for place in range(len(sizes))])
        moved = np.broadcast_to(numbers, sizes)
        for step in reversed(steps):
            moved = _moved(step, moved, shape_of)
        order = np.moveaxis(moved, axis, 0).reshape(sizes[axis], -1)
        if (order == order[:, :1]).all() and (order[:, 0] != numbers.ravel()).any():
            return Shuffle(source, axis, order[:, 0].copy())
    return None


def _moved(node: onnx_ir.Node, array: NDArray[np.int64], shape_of: Callable[[onnx_ir.Value], Shape]) -> NDArray[np.int64]:
    if node.op_type == "Transpose":
        return array.transpose(node.attributes.get_ints("perm", None))
    return array.reshape(shape_of(node.outputs[0]))
