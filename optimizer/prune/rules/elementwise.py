"""Operators that compute each position from the same position of their inputs."""

from __future__ import annotations

import onnx_ir

from ..meeting import Operand, broadcast, meet
from ..trace import Rule, Trace

_NAMES = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike "
    "Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf "
    "IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu "
    "Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor"
)


def elementwise(node: onnx_ir.Node, trace: Trace) -> None:
    """`y = f(a, b, ...)`, broadcast."""
    made = node.outputs[0]
    trace.put(made, meet(trace, broadcast(trace, node.inputs, len(trace.shape(made)))))


def first_only(node: onnx_ir.Node, trace: Trace) -> None:
    """`y = f(x, parameters)` where the parameters are numbers."""
    trace.put(node.outputs[0], trace.settled(node.inputs[0]))


def batch_norm(node: onnx_ir.Node, trace: Trace) -> None:
    """`y = scale * (x - mean) / sqrt(var + epsilon) + bias`, with a number for each position on axis 1."""
    x = node.inputs[0]
    sizes = trace.shape(x)
    operands = [Operand(trace.settled(x), tuple(range(len(sizes))), sizes)]
    for value in node.inputs[1:]:
        if value is not None:
            operands.append(Operand(trace.layout(value), (1,), trace.shape(value), value.is_initializer()))
    trace.put(node.outputs[0], meet(trace, operands))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_NAMES.split(), elementwise),
    "Dropout": first_only,
    "BatchNormalization": batch_norm,
}
