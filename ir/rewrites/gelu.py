"""GELU that exporters write out, taken back to one operator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir
from scipy.special import erf

from ..model import constant

_CUBIC = 0.044715  # Hendrycks and Gimpel, Gaussian Error Linear Units (arXiv 1606.08415), section 2
_ROUNDING = 1e-6  # a few roundings of float32
_MOST_FACTORS = 4


@dataclass(frozen=True)
class _Product:
    """`number` times x to the `power`."""

    number: float
    power: int


def gelu(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """The last product of GELU -> `Gelu(x)`, where nobody else reads what lies between.

    Before, with the factors in any order::

        y = 0.5 * x * (1 + Erf(x / sqrt(2)))
        y = 0.5 * x * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))

    After::

        y = Gelu(x)
        y = Gelu{approximate=tanh}(x)
    """
    for value, number, others in _sums_below(node):
        adder = value.producer()
        curve = None if adder is None else _curve(adder)
        x = None if curve is None else _argument(curve)
        if curve is None or x is None or not _keeps_shape(x, node):
            continue
        rest = [_product(other, x) for other in others]
        factors = [item for item in rest if item is not None]
        total = math.prod((item.number for item in factors), start=number)
        if len(factors) == len(rest) and sum(item.power for item in factors) == 1 and _is_close(total, 0.5):
            kind = "tanh" if curve.op_type == "Tanh" else "none"
            return [onnx_ir.node("Gelu", [x], {"approximate": kind})]
    return None


def gelu_of_constant(node: onnx_ir.Node, graph: onnx_ir.Graph) -> list[onnx_ir.Node] | None:
    """`Gelu(@x)` -> a constant, computed in float64; the folding of constants has no evaluator for it."""
    given = constant(node.inputs[0])
    if given is None or given.dtype != np.float32:
        return None
    x = given.astype(np.float64)
    is_tanh = node.attributes.get_string("approximate", "none") == "tanh"
    curve = np.tanh(math.sqrt(2 / math.pi) * (x + _CUBIC * x**3)) if is_tanh else erf(x * math.sqrt(0.5))
    made = (0.5 * x * (1 + curve)).astype(np.float32)
    return [onnx_ir.node("Constant", [], {"value": onnx_ir.tensor(made)})]


def _sums_below(node: onnx_ir.Node) -> list[tuple[onnx_ir.Value, float, list[onnx_ir.Value]]]:
    """Each sum that `node` is a product of: (the sum, a number, further factors), through products that only it reads."""
    found = []
    open_ends: list[tuple[onnx_ir.Node, float, list[onnx_ir.Value]]] = [(node, 1.0, [])]
    for _ in range(_MOST_FACTORS):
        following: list[tuple[onnx_ir.Node, float, list[onnx_ir.Value]]] = []
        for product, number, others in open_ends:
            first, second = product.inputs[0], product.inputs[1]
            if first is None or second is None:
                continue
            pairs = [(first, second)] if product.op_type == "Div" else [(first, second), (second, first)]
            for value, factor in pairs:
                known = _number(factor)
                if product.op_type == "Div" and not known:
                    continue
                scaled = number if known is None else number / known if product.op_type == "Div" else number * known
                rest = [*others, factor] if known is None else others
                maker = value.producer()
                if maker is None or len(value.uses()) != 1 or value.is_graph_output():
                    continue
                if maker.op_type == "Add":
                    found.append((value, scaled, rest))
                elif maker.op_type in ("Mul", "Div"):
                    following.append((maker, scaled, rest))
        open_ends = following
    return found


def _curve(adder: onnx_ir.Node) -> onnx_ir.Node | None:
    """The Erf or Tanh that 1 is added to, if nothing else reads it."""
    for value, one in ((adder.inputs[0], adder.inputs[1]), (adder.inputs[1], adder.inputs[0])):
        maker = value.producer() if value is not None and len(value.uses()) == 1 and not value.is_graph_output() else None
        if maker is not None and maker.op_type in ("Erf", "Tanh") and _is_close(_number(one), 1.0):
            return maker
    return None


def _argument(curve: onnx_ir.Node) -> onnx_ir.Value | None:
    """x of `Erf(x / sqrt(2))` or of `Tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`."""
    if curve.op_type == "Erf":
        return _scaled(curve.inputs[0], math.sqrt(0.5))
    total = _scaled(curve.inputs[0], math.sqrt(2 / math.pi))
    adder = None if total is None else total.producer()
    if adder is None or adder.op_type != "Add":
        return None
    for x, cube in (tuple(adder.inputs), tuple(adder.inputs)[::-1]):
        found = None if x is None else _product(cube, x)
        if found is not None and found.power == 3 and _is_close(found.number, _CUBIC):
            return x
    return None


def _scaled(value: onnx_ir.Value | None, factor: float) -> onnx_ir.Value | None:
    """What was multiplied by `factor` to make `value`."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type not in ("Mul", "Div"):
        return None
    first, second = node.inputs[0], node.inputs[1]
    if node.op_type == "Div":
        return first if _is_close(_number(second), 1 / factor) else None
    if _is_close(_number(second), factor):
        return first
    return second if _is_close(_number(first), factor) else None


def _product(value: onnx_ir.Value | None, x: onnx_ir.Value, depth: int = _MOST_FACTORS) -> _Product | None:
    """`value` as a product of numbers and `x`, or None."""
    if value is x:
        return _Product(1.0, 1)
    number = _number(value)
    if number is not None:
        return _Product(number, 0)
    maker = value.producer() if value is not None else None
    if maker is None or depth == 0 or maker.op_type not in ("Mul", "Div", "Pow"):
        return None
    first, second = (_product(item, x, depth - 1) for item in maker.inputs[:2])
    if first is None or second is None:
        return None
    if maker.op_type == "Mul":
        return _Product(first.number * second.number, first.power + second.power)
    if second.power or not second.number:
        return None
    if maker.op_type == "Div":
        return _Product(first.number / second.number, first.power)
    whole = int(second.number)
    return _Product(first.number**whole, first.power * whole) if second.number == whole and 0 < whole < 4 else None


def _number(value: onnx_ir.Value | None) -> float | None:
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _is_close(found: float | None, wanted: float) -> bool:
    return found is not None and math.isclose(found, wanted, rel_tol=_ROUNDING)


def _keeps_shape(x: onnx_ir.Value, node: onnx_ir.Node) -> bool:
    """Whether no constant of a higher rank made the result grow, and the type has kernels."""
    made = node.outputs[0].shape
    return x.dtype == onnx_ir.DataType.FLOAT and x.shape is not None and made is not None and len(x.shape) == len(made)
