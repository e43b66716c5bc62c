"""Reading a node once, when the module is built: attributes, constant inputs, windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray

from ....core.errors import ModelError
from ....ir.model import constant

# Made once for each node: attributes parsed, a function of the input tensors (None for an input that is left out).
Operator = Callable[[onnx_ir.Node], Callable[..., Any]]


def unsupported(node: onnx_ir.Node, what: str) -> ModelError:
    """The error for a node whose `what` no function here computes."""
    return ModelError(
        f"the node {node.name!r} ({node.op_type}) cannot be trained: {what}; leave it out of the part that is trained."
    )


def listed(node: onnx_ir.Node, name: str, otherwise: Sequence[int]) -> list[int]:
    """The integers of an attribute, or `otherwise` where it is left out."""
    return list(node.attributes.get_ints(name, otherwise))


def given(node: onnx_ir.Node, place: int) -> onnx_ir.Value | None:
    """The input at `place`, or None where it is left out."""
    return node.inputs[place] if place < len(node.inputs) else None


def array(node: onnx_ir.Node, place: int) -> NDArray[Any] | None:
    """The constant input at `place`, or None where it is left out or computed."""
    return constant(given(node, place))


def integers(node: onnx_ir.Node, place: int) -> list[int] | None:
    """The constant input at `place` as a list of integers, or None."""
    found = array(node, place)
    return None if found is None else [int(item) for item in found.ravel()]


def number(node: onnx_ir.Node, place: int) -> float | None:
    """The one number of the constant input at `place`, or None where it is computed, left out or has several."""
    found = array(node, place)
    return float(found.item()) if found is not None and found.size == 1 else None


def decimal(node: onnx_ir.Node, name: str, otherwise: float) -> float:
    """The shortest decimal that the attribute's float32 stands for: 0.001, which the source computed with, not 0.0010000000475.

    In a deep network with batch statistics the difference grows to percents of a gradient.
    """
    return float(str(np.float32(node.attributes.get_float(name, otherwise))))


def rank(node: onnx_ir.Node, place: int = 0) -> int:
    """Number of axes of the input at `place`; raises ModelError where it is unknown."""
    value = given(node, place)
    if value is None or value.shape is None:
        raise unsupported(node, f"the rank of its input {place} is unknown")
    return len(value.shape)


def is_read(node: onnx_ir.Node, place: int) -> bool:
    """Whether anything reads the output at `place`."""
    if place >= len(node.outputs) or not node.outputs[place].name:
        return False
    return bool(node.outputs[place].uses()) or node.outputs[place].is_graph_output()


def torch_dtype(node: onnx_ir.Node, kind: onnx_ir.DataType) -> torch.dtype:
    """The torch type of an ONNX type; raises ModelError where torch has none."""
    found = getattr(torch, _DTYPES.get(kind.name, kind.name.lower()), None)
    if not isinstance(found, torch.dtype):
        raise unsupported(node, f"torch has no type for {kind.name}")
    return found


_DTYPES = {"FLOAT": "float32", "DOUBLE": "float64"}


def same_pads(
    mode: str, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], steps: Sequence[int]
) -> list[int]:
    """ONNX pads (all begins, then all ends) that `auto_pad` stands for on spatial `sizes`. ONNX operators, Conv."""
    begins, ends = [], []
    for size, width, stride, step in zip(sizes, kernel, strides, steps, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (width - 1) * step + 1 - size)
        begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        ends.append(total - begins[-1])
    return begins + ends


def torch_pads(pads: Sequence[int]) -> list[int]:
    """ONNX pads of the last axes in the order of `torch.nn.functional.pad`: last axis first, begin and end."""
    half = len(pads) // 2
    return [pads[axis + side * half] for axis in reversed(range(half)) for side in (0, 1)]
