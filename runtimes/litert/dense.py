"""Gemm and MatMul: FULLY_CONNECTED where one factor is constant, BATCH_MATMUL where none is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir

from . import fusion, layout
from .connected import connect
from .constants import Constant
from .elementwise import meet
from .flatbuffer import Tensor
from .graph import Lowering
from .kernel import prepare


def gemm(low: Lowering, node: onnx_ir.Node) -> None:
    """Gemm: alpha * A * B + beta * C."""
    data, factor = node.inputs[0], node.inputs[1]
    if data is None or factor is None:
        raise low.fail(node, "it lacks a factor")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    turned = bool(node.attributes.get_int("transB", 0))
    shape = low.shape(node.outputs[0])
    found = low.constant(bias)
    simple = bias is None or (found is not None and found.array.size in (1, shape[1]))
    if low.constant(factor) is None or node.attributes.get_int("transA", 0) == 1 or not simple:
        _general(low, node, alpha, beta)
        return
    _connect(low, node, data, bias, turned=turned, alpha=alpha, beta=beta, end=fusion.tail(low, node.outputs[0]))


def _general(low: Lowering, node: onnx_ir.Node, alpha: float, beta: float) -> None:
    """Gemm with no constant factor, transA, or a bias that is no vector; in float."""
    first, second = node.inputs[0], node.inputs[1]
    if first is None or second is None:
        raise low.fail(node, "it lacks a factor")
    shape = low.shape(node.outputs[0])
    fields = {"adjX": bool(node.attributes.get_int("transA", 0)), "adjY": bool(node.attributes.get_int("transB", 0))}
    made = low.emit("BATCH_MATMUL", [low.real(first), low.real(second)], shape, options=("BatchMatMulOptions", fields))
    if alpha != 1.0:
        made = low.emit("MUL", [made, low.numbers("alpha", alpha, "float32")], shape, options=("MulOptions", {}))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        added = meet(low, bias, layout.identity(2))
        if beta != 1.0:
            added = low.emit("MUL", [added, low.numbers("beta", beta, "float32")], added.shape, options=("MulOptions", {}))
        made = low.emit("ADD", [made, added], shape, options=("AddOptions", {}))
    low.bind(node.outputs[0], made, layout.identity(2))
    low.record(node, "float32")


def matmul(low: Lowering, node: onnx_ir.Node) -> None:
    """MatMul, with the constant that an Add after it adds taken as its bias."""
    data, factor = node.inputs[0], node.inputs[1]
    if data is None or factor is None:
        raise low.fail(node, "it lacks a factor")
    weights = low.constant(factor)
    if weights is None or weights.array.ndim != 2 or len(low.shape(data)) < 2 or low.constant(data) is not None:
        _batched(low, node, data, factor)
        return
    out = node.outputs[0]
    bias, adder = _added(low, out, weights.array.shape[1])
    end = fusion.tail(low, out) if adder is None else fusion.tail(low, adder.outputs[0], before=(adder,))
    _connect(low, node, data, bias, turned=False, alpha=1.0, beta=1.0, end=end)


def _added(low: Lowering, value: onnx_ir.Value, channels: int) -> tuple[onnx_ir.Value | None, onnx_ir.Node | None]:
    """The constant vector that the only reader of `value` adds, and that reader."""
    reader = fusion.only_reader(value)
    if reader is None or reader.op_type != "Add":
        return None, None
    other = reader.inputs[1] if reader.inputs[0] is value else reader.inputs[0]
    constant = low.constant(other)
    if other is None or constant is None or constant.array.size != channels or constant.array.shape[-1:] != (channels,):
        return None, None
    if len(low.shape(reader.outputs[0])) != len(low.shape(value)):
        return None, None
    if constant.is_int8:
        return None, None
    return other, reader


def _connect(
    low: Lowering,
    node: onnx_ir.Node,
    data: onnx_ir.Value,
    bias: onnx_ir.Value | None,
    *,
    turned: bool,
    alpha: float,
    beta: float,
    end: fusion.Tail,
) -> None:
    if (alpha, beta) != (1.0, 1.0):
        end = end.in_float
    kernel, end, reason = prepare(low, node, bias, end)
    channels = kernel.weights.array.shape[0 if turned else 1]
    if (alpha, beta) != (1.0, 1.0):
        kernel = replace(
            kernel, weights=_scaled(kernel.weights, alpha), bias=_scaled(kernel.bias, beta) if kernel.bias else None
        )
        reason = "its alpha or beta is not 1" if low.quant(data) else ""
    if kernel.bias is not None and kernel.bias.array.size == 1 and channels > 1:
        kernel = replace(
            kernel, bias=Constant(kernel.bias.name, np.full(channels, kernel.bias.real.reshape(-1)[0], np.float32))
        )
    bound = low.bound(data)
    order = bound.merged
    weights = kernel.weights
    if not turned:
        kernel = replace(kernel, weights=weights.transposed((1, 0)))
    if order is not None:
        axis = kernel.weights.quant.axis if kernel.weights.quant else 0
        kernel = replace(kernel, weights=kernel.weights.mapped(lambda array: array[:, order], axis))
        source = bound.tensor if kernel.quant else low.widened(bound.tensor)
    else:
        source = low.raw(data) if kernel.quant else low.real(data)
    shape = low.shape(end.value)
    made = connect(low, kernel, source, shape, end.activation, keeps_axes=len(shape) > 2)
    fusion.finish(low, node, end, made, layout.identity(len(shape)), reason)


def _scaled(constant: Constant, factor: float) -> Constant:
    return Constant(constant.name, (constant.real * np.float32(factor)).astype(np.float32))


def _batched(low: Lowering, node: onnx_ir.Node, first: onnx_ir.Value, second: onnx_ir.Value) -> None:
    shape = low.shape(node.outputs[0])
    ranks = len(low.shape(first)), len(low.shape(second))
    if min(ranks) < 2:
        raise low.fail(node, "a factor of rank 1; reshape it to a matrix")
    end = fusion.tail(low, node.outputs[0], ())
    operands = [fusion.operand(low, value) for value in (first, second)]
    plain = layout.identity(len(shape))
    if all(operands) and end.quant is not None:
        given: list[Tensor] = [low.raw(value) for value in (first, second)]
        made = low.emit("BATCH_MATMUL", given, shape, "int8", quant=end.quant, options=("BatchMatMulOptions", {}))
        fusion.finish(low, node, end, made, plain)
        return
    given = [low.real(value) for value in (first, second)]
    made = low.emit("BATCH_MATMUL", given, shape, options=("BatchMatMulOptions", {}))
    reason = fusion.why_float(end, {"first input": operands[0], "second input": operands[1]})
    fusion.finish(low, node, end.in_float, made, plain, reason)


EMITTERS = {"Gemm": gemm, "MatMul": matmul}
