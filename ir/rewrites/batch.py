"""Free axes get sizes, and the arithmetic on shapes that becomes constant is folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir

from ...core.errors import ModelError, unknown
from ..model import Model
from .canonicalize import canonical

_MADE_BY = "fix-shapes"


def fix_batch(model: Model, size: int) -> Model:
    """The canonical model with the first axis of every input set to `size`.

    Raises ModelError naming the input and the axis when another axis is free, or the batch is fixed to something else.
    """
    shapes = {}
    for entry in model.inputs:
        for axis, length in enumerate(entry.shape):
            if axis > 0 and length is None:
                example = "x".join(str(known or "N") for known in (size, *entry.shape[1:]))
                raise ModelError(
                    f"axis {axis} of the input {entry.name!r} has no fixed size; give one with --shape {entry.name}={example} "
                    "(a number for each N)."
                )
        if entry.shape and entry.shape[0] not in (None, size):
            raise ModelError(
                f"the input {entry.name!r} has a fixed batch of {entry.shape[0]}, not {size}; "
                "export the model with a free first axis."
            )
        if entry.shape:
            shapes[entry.name] = (size, *(length for length in entry.shape[1:] if length is not None))
    return fix_shapes(model, shapes)


def fix_shapes(model: Model, shapes: Mapping[str, Sequence[int | None]]) -> Model:
    """The canonical model with inputs of these shapes (None leaves an axis as it is); inputs that are not named stay.

    Raises ModelError for an unknown input, another rank, or a size that contradicts the model.
    """
    result = model.clone()
    inputs = {str(value.name): value for value in result.graph.inputs}
    if all(tuple(spec.shape) == tuple(shapes.get(spec.name, spec.shape)) for spec in model.inputs) and set(shapes) <= set(
        inputs
    ):
        return result
    # A free size that several inputs share by name gets one value in all of them.
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"--shape: {unknown('input', name, inputs)}")
        _bind(name, inputs[name], shape, sizes)
    for name, value in inputs.items():
        if name not in shapes and value.shape is not None:
            value.shape = onnx_ir.Shape([_resolved(size, sizes) for size in value.shape])
    known = set(result.graph.inputs)
    for node in onnx_ir.traversal.RecursiveGraphIterator(result.graph):
        for value in node.outputs:
            if value not in known and value.shape is not None and value.const_value is None:
                value.shape = onnx_ir.Shape([_resolved(size, sizes) for size in value.shape])
    return canonical(result, _MADE_BY)


def _bind(name: str, value: onnx_ir.Value, shape: Sequence[int | None], sizes: dict[str, int]) -> None:
    """Set the shape of one input, and note in `sizes` what its symbols stand for."""
    old = list(value.shape or ())
    if value.shape is not None and len(old) != len(shape):
        raise ModelError(
            f"the input {name!r} has {len(old)} axes, but the shape {_text(shape)} has {len(shape)}; give {len(old)}."
        )
    new: list[int | onnx_ir.SymbolicDim] = []
    for axis, (before, wanted) in enumerate(zip(old, shape, strict=False)):
        if wanted is None:
            new.append(before)
            continue
        if wanted < 1:
            raise ModelError(f"the size {wanted} of axis {axis} of the input {name!r} is not positive; give at least 1.")
        symbol = before.value if isinstance(before, onnx_ir.SymbolicDim) else None
        expected = before if isinstance(before, int) else sizes.get(symbol or "")
        if expected not in (None, wanted):
            raise ModelError(f"axis {axis} of the input {name!r} has the size {expected}, not {wanted}; leave it as it is.")
        if symbol:
            sizes[symbol] = wanted
        new.append(wanted)
    value.shape = onnx_ir.Shape(new if value.shape is not None else list(shape))


def _resolved(size: int | onnx_ir.SymbolicDim, sizes: Mapping[str, int]) -> int | onnx_ir.SymbolicDim:
    return size if isinstance(size, int) else sizes.get(size.value or "", size)


def _text(shape: Sequence[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)
