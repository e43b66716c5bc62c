"""Arithmetic of elements, with ONNX's broadcasting (which is torch's)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import onnx_ir
import torch

from .reading import Operator, number, torch_dtype


def _div(node: onnx_ir.Node) -> Callable[..., Any]:
    made = node.outputs[0].dtype
    if made is not None and not made.is_floating_point():
        return lambda a, b: torch.div(a, b, rounding_mode="trunc")
    return torch.div  # type: ignore[no-any-return]


def _pow(node: onnx_ir.Node) -> Callable[..., Any]:
    exponent = number(node, 1)
    if exponent is not None:
        return lambda x, _: torch.pow(x, exponent)
    return lambda x, power: torch.pow(x, power).to(x.dtype)


def _mod(node: onnx_ir.Node) -> Callable[..., Any]:
    return torch.fmod if node.attributes.get_int("fmod", 0) else torch.remainder  # type: ignore[no-any-return]


def _cast(node: onnx_ir.Node) -> Callable[..., Any]:
    target = torch_dtype(node, onnx_ir.DataType(node.attributes.get_int("to", 0)))
    return lambda x: x.to(target)


def _bit_shift(node: onnx_ir.Node) -> Callable[..., Any]:
    is_left = node.attributes.get_string("direction", "LEFT") == "LEFT"
    return torch.bitwise_left_shift if is_left else torch.bitwise_right_shift  # type: ignore[no-any-return]


def _is_inf(node: onnx_ir.Node) -> Callable[..., Any]:
    above, below = node.attributes.get_int("detect_positive", 1), node.attributes.get_int("detect_negative", 1)
    return lambda x: torch.isinf(x) & (((x > 0) & bool(above)) | ((x < 0) & bool(below)))


def _folded(function: Callable[[Any, Any], Any]) -> Operator:
    return lambda node: lambda *operands: reduce(function, operands)


def _always(function: Callable[..., Any]) -> Operator:
    return lambda node: function


def _mean(*operands: Any) -> Any:
    return reduce(torch.add, operands) / len(operands)


ARITHMETIC: Mapping[str, Operator] = {
    "Abs": _always(torch.abs),
    "Acos": _always(torch.acos),
    "Acosh": _always(torch.acosh),
    "Add": _always(torch.add),
    "And": _always(torch.logical_and),
    "Asin": _always(torch.asin),
    "Asinh": _always(torch.asinh),
    "Atan": _always(torch.atan),
    "Atanh": _always(torch.atanh),
    "BitShift": _bit_shift,
    "Cast": _cast,
    "CastLike": _always(lambda x, like: x.to(like.dtype)),
    "Ceil": _always(torch.ceil),
    "Cos": _always(torch.cos),
    "Cosh": _always(torch.cosh),
    "Div": _div,
    "Equal": _always(torch.eq),
    "Erf": _always(torch.erf),
    "Exp": _always(torch.exp),
    "Floor": _always(torch.floor),
    "Greater": _always(torch.gt),
    "GreaterOrEqual": _always(torch.ge),
    "Identity": _always(lambda x: x),
    "IsInf": _is_inf,
    "IsNaN": _always(torch.isnan),
    "Less": _always(torch.lt),
    "LessOrEqual": _always(torch.le),
    "Log": _always(torch.log),
    "Max": _folded(torch.maximum),
    "Mean": _always(_mean),
    "Min": _folded(torch.minimum),
    "Mod": _mod,
    "Mul": _always(torch.mul),
    "Neg": _always(torch.neg),
    "Not": _always(torch.logical_not),
    "Or": _always(torch.logical_or),
    "Pow": _pow,
    "Reciprocal": _always(torch.reciprocal),
    "Round": _always(torch.round),
    "Sign": _always(torch.sign),
    "Sin": _always(torch.sin),
    "Sinh": _always(torch.sinh),
    "Sqrt": _always(torch.sqrt),
    "Sub": _always(torch.sub),
    "Sum": _folded(torch.add),
    "Tan": _always(torch.tan),
    "Where": _always(torch.where),
    "Xor": _always(torch.logical_xor),
}
