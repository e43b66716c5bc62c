"""Decompositions that exporters write out, taken back to the one kernel that does them."""

from __future__ import annotations

import math

import onnx_ir

from . import fusion
from .graph import Lowering


def emit(low: Lowering, node: onnx_ir.Node) -> bool:
    """Write the kernel of the pattern that starts at `node`, if one does, and bind what its last node makes."""
    return _gelu(low, node) if node.op_type == "Erf" else False


def _gelu(low: Lowering, node: onnx_ir.Node) -> bool:
    """GELU from its error function.

    Before::

        y = 0.5 * x * (1 + Erf(x / sqrt(2)))      factors in any order

    After::

        y = GELU(x)
    """
    scaled = node.inputs[0]
    divider = scaled.producer() if scaled is not None else None
    if divider is None or fusion.only_reader(node.inputs[0]) is not node:  # type: ignore[arg-type]
        return False
    x = _scaled_by(low, divider, math.sqrt(0.5))
    adder = fusion.only_reader(node.outputs[0])
    if x is None or adder is None or adder.op_type != "Add" or not _is_number(low, _other(adder, node.outputs[0]), 1.0):
        return False
    chain = [adder]
    halved, seen_x = False, False
    value = adder.outputs[0]
    while not (halved and seen_x):
        reader = fusion.only_reader(value)
        if reader is None or reader.op_type not in ("Mul", "Div"):
            return False
        other = _other(reader, value)
        half = _half_of(low, other, x)
        if reader.op_type == "Mul" and half is not None and not halved and not seen_x:
            halved = seen_x = True
        elif reader.op_type == "Mul" and other is x and not seen_x:
            seen_x = True
        elif not halved and _is_number(low, other, 0.5 if reader.op_type == "Mul" else 2.0):
            halved = True
        else:
            return False
        chain.append(reader)
        value = reader.outputs[0]
    perm = low.perm(x)
    given = low.real(x, perm)
    made = low.emit("GELU", [given], given.shape, options=("GeluOptions", {"approximate": False}))
    low.bind(value, made, perm)
    for taken in (node, *chain):
        low.done.add(id(taken))
        low.record(taken, "float32", "part of GELU")
    return True


def _half_of(low: Lowering, value: onnx_ir.Value | None, x: onnx_ir.Value) -> onnx_ir.Node | None:
    """The node that makes `value` as half of `x`, if one does."""
    maker = value.producer() if value is not None else None
    return maker if maker is not None and _scaled_by(low, maker, 0.5) is x else None


def _scaled_by(low: Lowering, node: onnx_ir.Node, factor: float) -> onnx_ir.Value | None:
    """The value that `node` multiplies by `factor`, or None."""
    if node.op_type not in ("Mul", "Div"):
        return None
    first, second = node.inputs[0], node.inputs[1]
    if node.op_type == "Div":
        return first if _is_number(low, second, 1 / factor) else None
    if _is_number(low, second, factor):
        return first
    return second if _is_number(low, first, factor) else None


def _is_number(low: Lowering, value: onnx_ir.Value | None, number: float) -> bool:
    array = low.array(value)
    return array is not None and array.size == 1 and math.isclose(float(array.reshape(-1)[0]), number, rel_tol=1e-4)


def _other(node: onnx_ir.Node, value: onnx_ir.Value) -> onnx_ir.Value | None:
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]
