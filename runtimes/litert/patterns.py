"""Decompositions that exporters write out, taken back to the one kernel that does them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir

from . import fusion
from .graph import Lowering

_CUBIC = 0.044715  # of GELU's approximation by a hyperbolic tangent (Hendrycks and Gimpel, arXiv 1606.08415)


def emit(low: Lowering, node: onnx_ir.Node) -> bool:
    """Write the kernel of the pattern whose curve is `node`, if there is one, and bind what the pattern's last node makes."""
    if node.op_type not in ("Erf", "Tanh") or node.inputs[0] is None or fusion.only_reader(node.inputs[0]) is not node:
        return False
    x = _of_erf(low, node.inputs[0]) if node.op_type == "Erf" else _of_tanh(low, node.inputs[0])
    return x is not None and _gelu(low, node, x)


def _gelu(low: Lowering, node: onnx_ir.Node, x: onnx_ir.Value) -> bool:
    """GELU from its curve: the error function, or the hyperbolic tangent that approximates it.

    Before::

        y = 0.5 * x * (1 + Erf(x / sqrt(2)))                                      factors in any order
        y = 0.5 * x * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))

    After::

        y = GELU(x)
    """
    adder = fusion.only_reader(node.outputs[0])
    if adder is None or adder.op_type != "Add" or not _is_number(low, _other(adder, node.outputs[0]), 1.0):
        return False
    chain, value, rest = [adder], adder.outputs[0], _Product(0.5, 1)
    while rest != _Product(1.0, 0):
        reader = fusion.only_reader(value)
        if (
            reader is None
            or reader.op_type not in ("Mul", "Div")
            or (reader.op_type == "Div" and reader.inputs[0] is not value)
        ):
            return False
        factor = _product(low, _other(reader, value), x)
        if factor is None or (reader.op_type == "Div" and factor.power):
            return False
        number = rest.number * factor.number if reader.op_type == "Div" else rest.number / factor.number
        rest = _Product(1.0 if math.isclose(number, 1.0, rel_tol=1e-4) else number, rest.power - factor.power)
        if rest.power < 0 or len(chain) > 4:
            return False
        chain.append(reader)
        value = reader.outputs[0]
    perm = low.perm(x)
    given = low.real(x, perm)
    options = ("GeluOptions", {"approximate": node.op_type == "Tanh"})
    low.bind(value, low.emit("GELU", [given], given.shape, options=options), perm)
    for taken in (node, *chain):
        low.done.add(id(taken))
        low.record(taken, "float32", "part of GELU")
    return True


@dataclass(frozen=True)
class _Product:
    """`number` times the pattern's input to the `power`."""

    number: float
    power: int


def _product(low: Lowering, value: onnx_ir.Value | None, x: onnx_ir.Value, depth: int = 4) -> _Product | None:
    """`value` as a product of numbers and `x`, or None."""
    if value is x:
        return _Product(1.0, 1)
    number = _number(low, value)
    if number is not None:
        return _Product(number, 0) if number else None
    maker = value.producer() if value is not None else None
    if maker is None or depth == 0 or maker.op_type not in ("Mul", "Div", "Pow"):
        return None
    first = _product(low, maker.inputs[0], x, depth - 1)
    second = _product(low, maker.inputs[1], x, depth - 1)
    if first is None or second is None:
        return None
    if maker.op_type == "Mul":
        return _Product(first.number * second.number, first.power + second.power)
    if second.power:
        return None
    if maker.op_type == "Div":
        return _Product(first.number / second.number, first.power)
    whole = int(second.number)
    return _Product(first.number**whole, first.power * whole) if whole == second.number and 0 < whole < 4 else None


def _of_erf(low: Lowering, scaled: onnx_ir.Value) -> onnx_ir.Value | None:
    """x of x / sqrt(2)."""
    maker = scaled.producer()
    return None if maker is None else _scaled_by(low, maker, math.sqrt(0.5))


def _of_tanh(low: Lowering, scaled: onnx_ir.Value) -> onnx_ir.Value | None:
    """x of sqrt(2 / pi) * (x + 0.044715 x^3)."""
    maker = scaled.producer()
    total = None if maker is None else _scaled_by(low, maker, math.sqrt(2 / math.pi))
    adder = None if total is None else total.producer()
    if adder is None or adder.op_type != "Add":
        return None
    for x, cube in (tuple(adder.inputs), tuple(adder.inputs)[::-1]):
        found = _product(low, cube, x) if x is not None else None
        if found is not None and found.power == 3 and math.isclose(found.number, _CUBIC, rel_tol=1e-4):
            return x
    return None


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


def _number(low: Lowering, value: onnx_ir.Value | None) -> float | None:
    array = low.array(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _is_number(low: Lowering, value: onnx_ir.Value | None, number: float) -> bool:
    found = _number(low, value)
    return found is not None and math.isclose(found, number, rel_tol=1e-4)


def _other(node: onnx_ir.Node, value: onnx_ir.Value) -> onnx_ir.Value | None:
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]
