"""Operators of one operand: activations with int8 kernels, and mathematics in float."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir

from . import fusion
from .flatbuffer import Quant, Tensor
from .graph import Lowering

_PLAIN = {
    "Abs": ("ABS", "AbsOptions"),
    "Ceil": ("CEIL", None),
    "Cos": ("COS", "CosOptions"),
    "Exp": ("EXP", "ExpOptions"),
    "Floor": ("FLOOR", None),
    "Log": ("LOG", None),
    "Neg": ("NEG", "NegOptions"),
    "Not": ("LOGICAL_NOT", "LogicalNotOptions"),
    "Round": ("ROUND", None),
    "Sign": ("SIGN", "SignOptions"),
    "Sin": ("SIN", None),
    "Sqrt": ("SQRT", None),
}
SIGMOID_RESULT = Quant((1.0 / 256,), (-128,))
TANH_RESULT = Quant((1.0 / 128,), (0,))
# Operator of the model -> (kernel, its options, the Quant that its int8 form demands of the result)
_INT8: Mapping[str, tuple[str, str | None, Quant | None]] = {
    "Sigmoid": ("LOGISTIC", None, SIGMOID_RESULT),
    "Tanh": ("TANH", None, TANH_RESULT),
    "HardSwish": ("HARD_SWISH", "HardSwishOptions", None),
    "LeakyRelu": ("LEAKY_RELU", "LeakyReluOptions", None),
    "Elu": ("ELU", None, None),
    "Gelu": ("GELU", "GeluOptions", None),
}
# Their int8 kernels compute in 16 bits, element by element; float between int8 tensors is faster and rounds once
_BETTER_IN_FLOAT = frozenset({"HardSwish"})
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26; absolute error below 1.5e-7
_ERF_P, _ERF = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class Arithmetic:
    """Float operators on tensors of one shape and lone numbers, for what has no kernel of its own."""

    def __init__(self, low: Lowering) -> None:
        self.low = low

    def two(self, kind: str, first: Tensor, second: Tensor | float, options: str | None, activation: int = 0) -> Tensor:
        """A kernel of two operands."""
        other = second if isinstance(second, Tensor) else self.low.numbers("number", second, "float32")
        fields = {"fusedActivationFunction": activation} if options not in (None, "MaximumMinimumOptions") else {}
        return self.low.emit(kind, [first, other], first.shape, options=None if options is None else (options, fields))

    def add(self, first: Tensor, second: Tensor | float, activation: int = 0) -> Tensor:
        """Sum."""
        return self.two("ADD", first, second, "AddOptions", activation)

    def subtract(self, first: Tensor, second: Tensor | float) -> Tensor:
        """Difference."""
        return self.two("SUB", first, second, "SubOptions")

    def multiply(self, first: Tensor, second: Tensor | float) -> Tensor:
        """Product."""
        return self.two("MUL", first, second, "MulOptions")

    def divide(self, first: Tensor, second: Tensor | float) -> Tensor:
        """Quotient."""
        return self.two("DIV", first, second, "DivOptions")

    def maximum(self, first: Tensor, second: Tensor | float) -> Tensor:
        """Larger of the two."""
        return self.two("MAXIMUM", first, second, "MaximumMinimumOptions")

    def minimum(self, first: Tensor, second: Tensor | float) -> Tensor:
        """Smaller of the two."""
        return self.two("MINIMUM", first, second, "MaximumMinimumOptions")

    def one(self, kind: str, given: Tensor, options: str | None = None) -> Tensor:
        """A kernel of one operand."""
        return self.low.emit(kind, [given], given.shape, options=None if options is None else (options, {}))


def _input(low: Lowering, node: onnx_ir.Node) -> onnx_ir.Value:
    if not node.inputs or node.inputs[0] is None:
        raise low.fail(node, "it has no input")
    return node.inputs[0]


def plain(low: Lowering, node: onnx_ir.Node) -> None:
    """A float kernel of one operand."""
    value = _input(low, node)
    perm = low.perm(value)
    kind, options = _PLAIN[node.op_type]
    given = low.real(value, perm)
    if kind == "SIGN" and given.dtype != "float32":
        raise low.fail(node, f"no kernel for {given.dtype}")
    made = low.emit(kind, [given], given.shape, given.dtype, options=None if options is None else (options, {}))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


def activation(low: Lowering, node: onnx_ir.Node) -> None:
    """An activation with an int8 kernel."""
    value = _input(low, node)
    perm = low.perm(value)
    kind, options, demanded = _INT8[node.op_type]
    end = fusion.tail(low, node.outputs[0], ())
    quant = low.quant(value)
    chosen = None if options is None else (options, _fields(node))
    prefers_float = node.op_type in _BETTER_IN_FLOAT
    if quant is not None and end.quant is not None and (demanded is None or demanded == end.quant) and not prefers_float:
        given = low.raw(value, perm)
        made = low.emit(kind, [given], given.shape, "int8", quant=end.quant, options=chosen)
        fusion.finish(low, node, end, made, perm)
        return
    reason = fusion.why_float(end, {"input": quant})
    if not reason and end.quant is not None and demanded is not None and quant is not None:
        reason = f"its kernel gives scale {demanded.scale} and zero point {demanded.zero}, the model asks for others"
    elif prefers_float and quant is not None and not reason:
        reason = "float between int8 tensors is faster and more exact than its int8 kernel"
    given = low.real(value, perm)
    made = low.emit(kind, [given], given.shape, options=chosen)
    fusion.finish(low, node, fusion.Tail(node.outputs[0]), made, perm, reason)


def _fields(node: onnx_ir.Node) -> dict[str, Any]:
    if node.op_type == "LeakyRelu":
        return {"alpha": node.attributes.get_float("alpha", 0.01)}
    if node.op_type == "Gelu":
        return {"approximate": node.attributes.get_string("approximate", "none") == "tanh"}
    return {}


def clip(low: Lowering, node: onnx_ir.Node) -> None:
    """Relu and Clip that no kernel before them took along; in int8 they compare integers, which is exact."""
    value = _input(low, node)
    perm = low.perm(value)
    limits = fusion.clip_limits(low, node)
    if limits is None:
        raise low.fail(node, "its bounds are not constant numbers")
    quant = low.quant(value)
    given = low.raw(value, perm)
    kernels = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
    if quant is not None and limits in kernels:
        low.bind(node.outputs[0], low.emit(kernels[limits], [given], given.shape, "int8", quant=quant), perm)
        low.record(node, "int8")
        return
    if quant is not None:
        made = given
        for kind, limit, end in (("MAXIMUM", limits[0], -128), ("MINIMUM", limits[1], 127)):
            level = int(np.clip(fusion.integer(limit, quant), -128, 127))
            if level != end:
                bound = low.writer.constant("bound", np.array(level, np.int8), quant)
                made = low.emit(kind, [made, bound], given.shape, "int8", quant=quant, options=("MaximumMinimumOptions", {}))
        low.bind(node.outputs[0], made, perm)
        low.record(node, "int8")
        return
    given = low.widened(given)
    if given.dtype == "float32" and limits in kernels:
        made = low.emit(kernels[limits], [given], given.shape)
    else:
        made = given
        for kind, limit in (("MAXIMUM", limits[0]), ("MINIMUM", limits[1])):
            if np.isfinite(limit):
                number = low.numbers("bound", limit, given.dtype)
                made = low.emit(kind, [made, number], given.shape, given.dtype, options=("MaximumMinimumOptions", {}))
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32")


def prelu(low: Lowering, node: onnx_ir.Node) -> None:
    """PRelu with constant slopes, one a channel or one in all; computed in float."""
    value, slope = _input(low, node), low.constant(node.inputs[1])
    if slope is None:
        raise low.fail(node, "its slopes are not constant")
    perm = low.perm(value)
    given = low.real(value, perm)
    rank = len(perm)
    slopes = slope.with_rank(rank).transposed(perm)
    if rank > 1 and slopes.array.ndim > 1 and slopes.array.shape[0] == 1:
        slopes = slopes.mapped(
            lambda array: array.reshape(array.shape[1:]), max((slopes.quant.axis if slopes.quant else 0) - 1, 0)
        )
    made = low.emit("PRELU", [given, low.put_real(slopes)], given.shape)
    low.bind(node.outputs[0], made, perm)
    reason = "its int8 kernel takes one scale for all slopes" if low.quant(value) else ""
    low.record(node, "float32", reason)


def softmax(low: Lowering, node: onnx_ir.Node) -> None:
    """Softmax and LogSoftmax over one axis, which is brought to the end."""
    value = _input(low, node)
    shape = low.shape(value)
    rank = len(shape)
    axis = node.attributes.get_int("axis", -1) % rank
    perm = low.perm(value)
    if perm[-1] != axis:
        perm = (*(other for other in perm if other != axis), axis)
    end = fusion.tail(low, node.outputs[0], ())
    quant = low.quant(value)
    kind, options = ("SOFTMAX", ("SoftmaxOptions", {"beta": 1.0})) if node.op_type == "Softmax" else ("LOG_SOFTMAX", None)
    if kind == "SOFTMAX" and quant is not None and end.quant == SIGMOID_RESULT:
        given = low.raw(value, perm)
        made = low.emit(kind, [given], given.shape, "int8", quant=end.quant, options=options)
        fusion.finish(low, node, end, made, perm)
        return
    given = low.real(value, perm)
    made = low.emit(kind, [given], given.shape, options=options)
    reason = fusion.why_float(end, {"input": quant})
    fusion.finish(low, node, fusion.Tail(node.outputs[0]), made, perm, reason)


def composed(low: Lowering, node: onnx_ir.Node) -> None:
    """What has no kernel of its own, made of float kernels."""
    value = _input(low, node)
    perm = low.perm(value)
    given = low.real(value, perm)
    made = _COMPOSED[node.op_type](Arithmetic(low), given, node)
    low.bind(node.outputs[0], made, perm)
    low.record(node, "float32", "composed of float kernels" if low.quant(value) else "")


def _hard_sigmoid(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and alpha > 0:
        return do.multiply(do.add(x, beta / alpha, fusion.CODES[(0.0, 6.0)]), 1 / 6)
    return do.minimum(do.add(do.multiply(x, alpha), beta, fusion.CODES[(0.0, np.inf)]), 1.0)


def _reciprocal(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    one = do.low.numbers("number", 1.0, "float32")
    return do.low.emit("DIV", [one, x], x.shape, options=("DivOptions", {}))


def _softplus(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which does not overflow."""
    small = do.one("EXP", do.one("NEG", do.one("ABS", x, "AbsOptions"), "NegOptions"), "ExpOptions")
    return do.add(do.one("RELU", x), do.one("LOG", do.add(small, 1.0)))


def _mish(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    return do.multiply(x, do.one("TANH", _softplus(do, x, node)))


def _selu(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    alpha = node.attributes.get_float("alpha", 1.6732632423543772)
    gamma = node.attributes.get_float("gamma", 1.0507009873554805)
    negative = do.subtract(do.one("EXP", do.minimum(x, 0.0), "ExpOptions"), 1.0)
    return do.add(do.multiply(do.one("RELU", x), gamma), do.multiply(negative, alpha * gamma))


def _softsign(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    return do.divide(x, do.add(do.one("ABS", x, "AbsOptions"), 1.0))


def _swish(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    beta = node.attributes.get_float("alpha", 1.0)
    return do.multiply(x, do.one("LOGISTIC", x if beta == 1.0 else do.multiply(x, beta)))


def _erf(do: Arithmetic, x: Tensor, node: onnx_ir.Node) -> Tensor:
    size = do.one("ABS", x, "AbsOptions")
    t = _reciprocal(do, do.add(do.multiply(size, _ERF_P), 1.0), node)
    sum_ = do.multiply(t, _ERF[0])
    for factor in _ERF[1:]:
        sum_ = do.multiply(do.add(sum_, factor), t)
    tail = do.multiply(sum_, do.one("EXP", do.one("NEG", do.multiply(x, x), "NegOptions"), "ExpOptions"))
    one = do.low.numbers("number", 1.0, "float32")
    magnitude = do.low.emit("SUB", [one, tail], x.shape, options=("SubOptions", {}))
    return do.multiply(magnitude, do.one("SIGN", x, "SignOptions"))


_COMPOSED = {
    "HardSigmoid": _hard_sigmoid,
    "Reciprocal": _reciprocal,
    "Softplus": _softplus,
    "Mish": _mish,
    "Selu": _selu,
    "Softsign": _softsign,
    "Swish": _swish,
    "Erf": _erf,
}

EMITTERS = (
    dict.fromkeys(_PLAIN, plain)
    | dict.fromkeys(_INT8, activation)
    | dict.fromkeys(_COMPOSED, composed)
    | {"Relu": clip, "Clip": clip, "PRelu": prelu, "Softmax": softmax, "LogSoftmax": softmax}
)
