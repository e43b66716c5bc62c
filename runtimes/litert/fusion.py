"""What a kernel takes along: the activation after an operator, and the QuantizeLinear that ends an int8 one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir
from ai_edge_litert.schema_py_generated import ActivationFunctionType

from .constants import Constant, lone_number
from .flatbuffer import Quant, Tensor
from .graph import Lowering
from .layout import Perm

NONE = int(ActivationFunctionType.NONE)
CODES = {
    (0.0, np.inf): int(ActivationFunctionType.RELU),
    (0.0, 6.0): int(ActivationFunctionType.RELU6),
    (-1.0, 1.0): int(ActivationFunctionType.RELU_N1_TO_1),
}


@dataclass(frozen=True)
class Tail:
    """The nodes after an operator that its kernel does too.

    `value`: what the kernel makes. `quant`: of its result, where every reader quantizes it alike; `quantizers` are these.
    `bounds`: (lowest, highest) integers of a Clip that the kernel has no code for, to be compared with afterwards.
    `in_float`: what the kernel takes along when it runs in float.
    """

    value: onnx_ir.Value
    activation: int = NONE
    absorbed: tuple[onnx_ir.Node, ...] = ()
    quant: Quant | None = None
    quantizers: tuple[onnx_ir.Node, ...] = ()
    bounds: tuple[int, int] = (-128, 127)
    float_form: Tail | None = None

    @property
    def in_float(self) -> Tail:
        """What the kernel takes along when it runs in float."""
        return self if self.float_form is None else self.float_form


def only_reader(value: onnx_ir.Value) -> onnx_ir.Node | None:
    """The one node that reads `value` once, if nothing else sees it."""
    uses = tuple(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def tail(
    low: Lowering,
    value: onnx_ir.Value,
    activations: Sequence[int] = tuple(CODES.values()),
    before: tuple[onnx_ir.Node, ...] = (),
) -> Tail:
    """What follows `value` and can be done by the kernel that makes it, which knows the given activation codes.

    `before` are nodes that the kernel has taken along already.
    """
    plain = Tail(value, absorbed=before)
    reader = only_reader(value)
    limits = clip_limits(low, reader) if reader is not None else None
    if reader is not None and limits is not None:
        after, absorbed = reader.outputs[0], (*before, reader)
        code = CODES.get(limits)
        if code is not None and code in activations:
            plain = Tail(after, code, absorbed)
        quant, quantizers = _quantized(low, after)
        if quant is not None:
            lowest, highest = (int(np.clip(integer(limit, quant), -128, 127)) for limit in limits)
            if (lowest, highest) == (-128, 127) or plain.value is not after:
                return Tail(after, NONE, absorbed, quant, quantizers, (lowest, highest), plain)
            return Tail(after, plain.activation, absorbed, quant, quantizers, float_form=plain)
        return plain
    quant, quantizers = _quantized(low, value)
    return Tail(value, NONE, before, quant, quantizers, float_form=plain)


def clip_limits(low: Lowering, node: onnx_ir.Node) -> tuple[float, float] | None:
    """(low, high) of a Relu or a Clip of constant bounds, else None."""
    if node.op_type == "Relu":
        return (0.0, np.inf)
    if node.op_type != "Clip":
        return None
    bounds = [-np.inf, np.inf]
    for position in (1, 2):
        if len(node.inputs) > position and node.inputs[position] is not None:
            array = low.array(node.inputs[position])
            if array is None or array.size != 1:
                return None
            bounds[position - 1] = float(array.reshape(-1)[0])
    return (bounds[0], bounds[1])


def integer(value: float, quant: Quant) -> float:
    """The integer that stands for `value`, not limited to int8."""
    return float(np.rint(np.float32(value) / np.float32(quant.scale))) + quant.zero if np.isfinite(value) else value


def _quantized(low: Lowering, value: onnx_ir.Value) -> tuple[Quant | None, tuple[onnx_ir.Node, ...]]:
    """The one Quant that all readers of `value` give it, and these readers."""
    uses = tuple(value.uses())
    readers = tuple(use.node for use in uses)
    if not readers or value.is_graph_output():
        return None, ()
    if any(use.node.op_type != "QuantizeLinear" or use.idx != 0 for use in uses):
        return None, ()
    quants = {low.activation_quant(node) for node in readers}
    return (quants.pop(), readers) if len(quants) == 1 else (None, ())


def finish(low: Lowering, node: onnx_ir.Node, end: Tail, tensor: Tensor, perm: Perm, reason: str = "") -> None:
    """Bind what `node` and its tail make to `tensor`, and note what they run in."""
    for kind, bound, limit in (("MAXIMUM", end.bounds[0], -128), ("MINIMUM", end.bounds[1], 127)):
        if bound != limit:
            level = low.writer.constant("bound", np.array(bound, np.int8), end.quant)
            options = ("MaximumMinimumOptions", dict[str, Any]())
            tensor = low.emit(kind, [tensor, level], tensor.shape, "int8", quant=end.quant, options=options)
    low.bind(end.value, tensor, perm)
    runs: Literal["int8", "float32"] = "int8" if end.quant is not None else "float32"
    for quantizer in end.quantizers:
        low.bind(quantizer.outputs[0], tensor, perm)
        low.done.add(id(quantizer))
        low.record(quantizer, "int8", f"done by {node.op_type}")
    for taken in end.absorbed:
        low.done.add(id(taken))
        low.record(taken, runs, f"done by {node.op_type}")
    low.record(node, runs, reason)


@dataclass(frozen=True)
class Operand:
    """An int8 input of an int8 kernel: a value that lives in int8, or a constant stored or storable as int8."""

    quant: Quant
    tensor: Callable[[Perm | None], Tensor]
    is_constant: bool


def operand(low: Lowering, value: onnx_ir.Value, rank: int | None = None) -> Operand | None:
    """`value` as an int8 operand, or None where it is float; constants get axes of size 1 in front, up to `rank`."""
    constant = low.constant(value)
    if constant is None:
        quant = low.quant(value)
        return None if quant is None else Operand(quant, lambda perm: low.raw(value, perm), is_constant=False)
    if constant.quant is None and not constant.widened:
        constant = lone_number(constant)
    if constant is None or not constant.is_int8 or constant.quant is None or len(constant.quant.scales) != 1:
        return None
    final: Constant = constant if rank is None else constant.with_rank(rank)
    return Operand(constant.quant, lambda perm: low.put(final if perm is None else final.transposed(perm)), is_constant=True)


def why_float(end: Tail, what: dict[str, Any]) -> str:
    """Why an operator whose int8 operands are `what` (name -> operand or None) runs in float, or "" where nothing is int8."""
    missing = [name for name, found in what.items() if found is None]
    if len(missing) == len(what) and end.quant is None:
        return ""
    if missing:
        return f"its {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not int8"
    return "its result is not quantized" if end.quant is None else ""
