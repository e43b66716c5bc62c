"""Operators with two or more operands that broadcast: arithmetic, comparison, logic, selection."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir

from . import fusion, layout
from .flatbuffer import Tensor
from .graph import Lowering
from .layout import Perm

_MOST_RATIO = 256  # of an input's scale to the result's, up to which sums in int8 are exact
_INT8 = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL"}
_FUSING = {"Add": "AddOptions", "Sub": "SubOptions", "Mul": "MulOptions", "Div": "DivOptions"}
_KINDS = {
    **_INT8,
    "Div": "DIV",
    "Pow": "POW",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Sum": "ADD",
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
    "Mod": "FLOOR_MOD",
}
_OPTIONS = {
    **_FUSING,
    "Sum": "AddOptions",
    "Max": "MaximumMinimumOptions",
    "Min": "MaximumMinimumOptions",
    "Pow": "PowOptions",
}


def common_perm(low: Lowering, values: Sequence[onnx_ir.Value], rank: int) -> Perm:
    """The layout in which operands meet: that of the first of full rank that has another than the model's, else the model's."""
    for value in values:
        if low.constant(value) is None:
            perm = low.perm(value)
            if len(perm) == rank and perm != layout.identity(rank) and not _is_plain(low, value):
                return perm
    return layout.identity(rank)


def _is_plain(low: Lowering, value: onnx_ir.Value) -> bool:
    """Whether the model's own layout costs nothing for this value."""
    bound = low.bound(value)
    back = layout.change(bound.perm, layout.identity(len(bound.perm)))
    return layout.moves_nothing(bound.tensor.shape, back) and len(bound.tensor.shape) < 4


def meet(low: Lowering, value: onnx_ir.Value, perm: Perm, *, real: bool = True) -> Tensor:
    """`value` in layout `perm`, with axes of size 1 put before its own where it has fewer; a lone constant as a scalar."""
    rank = len(perm)
    constant = low.constant(value)
    if constant is not None:
        if constant.array.size == 1 and rank > 0:
            constant = constant.mapped(lambda array: array.reshape(()))
        elif perm != layout.identity(rank):
            constant = constant.with_rank(rank).transposed(perm)
        return low.put_real(constant) if real else low.put(constant)
    own = low.perm(value)
    if len(own) == rank:
        return low.real(value, perm) if real else low.raw(value, perm)
    tensor = low.real(value) if real else low.raw(value)
    if perm == layout.identity(rank) and len(own) < rank:
        return tensor
    return low.transposed(low.reshaped(tensor, (1,) * (rank - len(own)) + tensor.shape), perm)


def binary(low: Lowering, node: onnx_ir.Node) -> None:
    """Add, Sub, Mul in int8 or float; Div, Pow, Max, Min, Sum, comparisons, logic and Mod as they come."""
    values = [value for value in node.inputs if value is not None]
    out = node.outputs[0]
    shape = low.shape(out)
    end = fusion.tail(low, out) if node.op_type in _FUSING else fusion.tail(low, out, ())
    perm = common_perm(low, values, len(shape))
    physical = layout.apply(shape, perm)
    reason = ""
    if node.op_type in _INT8 and len(values) == 2:
        operands = [fusion.operand(low, value, len(shape)) for value in values]
        reason = fusion.why_float(end, dict(zip(("first input", "second input"), operands, strict=True)))
        limit = _MOST_RATIO * end.quant.scale if end.quant is not None and node.op_type != "Mul" else math.inf
        if any(found is not None and found.quant.scale >= limit for found in operands):
            reason = reason or "its result's scale is too fine beside its inputs' for the kernel's multipliers"
        elif all(operands) and end.quant is not None:
            given = [meet_int8(low, value, perm) for value in values]
            options = (_FUSING[node.op_type], {"fusedActivationFunction": end.activation})
            made = low.emit(_INT8[node.op_type], given, physical, "int8", quant=end.quant, options=options)
            fusion.finish(low, node, end, made, perm)
            return
    if node.op_type in ("Max", "Min") and _same_int8(low, values):
        _fold(low, node, [meet(low, value, perm, real=False) for value in values], physical, perm)
        return
    end = end.in_float
    _check_mod(low, node)
    given = [meet(low, value, perm) for value in values]
    _chain(low, node, given, physical, end, perm, reason)


def meet_int8(low: Lowering, value: onnx_ir.Value, perm: Perm) -> Tensor:
    """`value` as an int8 tensor in layout `perm`; an unquantized lone number becomes one exactly."""
    constant = low.constant(value)
    if constant is None:
        return meet(low, value, perm, real=False)
    if constant.quant is not None:
        return meet(low, value, perm, real=False)
    found = fusion.operand(low, value, len(perm))
    if found is None:
        raise TypeError("not an int8 operand")
    return found.tensor(perm)


def _same_int8(low: Lowering, values: Sequence[onnx_ir.Value]) -> bool:
    quants = {low.quant(value) for value in values}
    return len(quants) == 1 and None not in quants


def _fold(low: Lowering, node: onnx_ir.Node, given: Sequence[Tensor], shape: tuple[int, ...], perm: Perm) -> None:
    """Max or Min of int8 tensors of one scale, which commutes with dequantizing."""
    made = given[0]
    for other in given[1:]:
        kind = _KINDS[node.op_type]
        made = low.emit(kind, [made, other], shape, "int8", quant=made.quant, options=("MaximumMinimumOptions", {}))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "int8")


def _check_mod(low: Lowering, node: onnx_ir.Node) -> None:
    if node.op_type == "Mod" and node.attributes.get_int("fmod", 0) == 1:
        raise low.fail(node, "fmod takes the sign of the dividend, FLOOR_MOD that of the divisor")


def _chain(
    low: Lowering,
    node: onnx_ir.Node,
    given: Sequence[Tensor],
    shape: tuple[int, ...],
    end: fusion.Tail,
    perm: Perm,
    reason: str,
) -> None:
    dtype = low.dtype(node.outputs[0])
    kind = _KINDS[node.op_type]
    made = given[0]
    name = _OPTIONS.get(node.op_type)
    for index, other in enumerate(given[1:]):
        last = index == len(given) - 2
        target = shape if last else _broadcast(made.shape, other.shape)
        fields = {"fusedActivationFunction": end.activation} if last and name in _FUSING.values() else {}
        made = low.emit(kind, [made, other], target, dtype, options=None if name is None else (name, fields))
    if len(given) == 1:
        made = low.reshaped(made, shape)
    fusion.finish(low, node, end, made, perm, reason)


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(first), len(second))
    left, right = (1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second
    return tuple(max(a, b) for a, b in zip(left, right, strict=True))


def where(low: Lowering, node: onnx_ir.Node) -> None:
    """Where as SELECT_V2."""
    values = [value for value in node.inputs if value is not None]
    shape = low.shape(node.outputs[0])
    perm = common_perm(low, values, len(shape))
    given = [meet(low, value, perm) for value in values]
    made = low.emit("SELECT_V2", given, layout.apply(shape, perm), low.dtype(node.outputs[0]), options=("SelectV2Options", {}))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


EMITTERS = dict.fromkeys(_KINDS, binary) | {"Where": where}
