"""What must hold of a model between passes."""

from __future__ import annotations

import numpy as np
import onnx_ir

from ..core.errors import ModelError
from . import serde
from .model import Model, constant


def verify(model: Model) -> None:
    """Check names, order, types and ONNX's own rules; raises ModelError."""
    seen: set[str] = {str(value.name) for value in model.graph.inputs} | set(model.graph.initializers)
    for node in model.graph:
        for value in node.inputs:
            if value is not None and value.name not in seen:
                raise ModelError(f"node {node.name!r} ({node.op_type}) reads {value.name!r} before it is made.")
        for value in node.outputs:
            if value.name in seen and value.name:
                raise ModelError(f"node {node.name!r} ({node.op_type}) makes {value.name!r} a second time.")
            seen.add(str(value.name))
    for value in model.graph.outputs:
        if value.name not in seen:
            raise ModelError(f"the output {value.name!r} is never made.")
    try:
        serde.check(model.ir)
    except Exception as error:
        raise ModelError(f"the model breaks ONNX's rules: {str(error).splitlines()[0]}") from error


def verify_weights(model: Model) -> None:
    """Every floating-point weight must be finite; raises ModelError naming the first that is not.

    A single infinite number is no weight but the start of a maximum or a mask, and may stay.
    """
    for name, value in model.graph.initializers.items():
        array = constant(value)  # one at a time: in a model that was just read each of them is a copy
        if array is None:
            continue
        if array.dtype.kind == "f" and not np.isfinite(array).all() and (array.size > 1 or np.isnan(array).any()):
            bad = int(array.size - np.isfinite(array).sum())
            raise ModelError(f"the weight {name!r} has {bad} values that are NaN or infinite; train or export the model again.")


def operators(model: Model) -> dict[str, int]:
    """Number of nodes by operator type, `domain::` before those outside ONNX."""
    counts: dict[str, int] = {}
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        counts[name] = counts.get(name, 0) + 1
    return counts
