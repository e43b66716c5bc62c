"""Activations: each element by itself, or one axis against itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, array, given, number


def _clip(node: onnx_ir.Node) -> Callable[..., Any]:
    low, high = number(node, 1), number(node, 2)
    has_low, has_high = given(node, 1) is not None, given(node, 2) is not None
    if (has_low and low is None) or (has_high and high is None):
        return lambda x, least=None, most=None: torch.clamp(x, least, most)
    value = node.inputs[0]
    if low is not None and high is not None and low <= high and value is not None and _is_float(value):
        # As in torch's ReLU6: no gradient at the bounds themselves.
        return lambda x, *_: functional.hardtanh(x, low, high)
    return lambda x, *_: torch.clamp(x, low, high)


def _is_float(value: onnx_ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _gelu(node: onnx_ir.Node) -> Callable[..., Any]:
    kind = node.attributes.get_string("approximate", "none")
    return lambda x: functional.gelu(x, approximate=kind)


def _hard_sigmoid(node: onnx_ir.Node) -> Callable[..., Any]:
    slope, offset = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    if abs(slope - 1 / 6) < 1e-7 and offset == 0.5:
        return functional.hardsigmoid
    return lambda x: torch.clamp(x * slope + offset, 0.0, 1.0)


def _selu(node: onnx_ir.Node) -> Callable[..., Any]:
    alpha = node.attributes.get_float("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get_float("gamma", 1.05070102214813232421875)
    return lambda x: gamma * functional.elu(x, alpha)


def _celu(node: onnx_ir.Node) -> Callable[..., Any]:
    alpha = node.attributes.get_float("alpha", 1.0)
    return lambda x: functional.celu(x, alpha)


def _elu(node: onnx_ir.Node) -> Callable[..., Any]:
    alpha = node.attributes.get_float("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


def _leaky_relu(node: onnx_ir.Node) -> Callable[..., Any]:
    slope = node.attributes.get_float("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def _prelu(node: onnx_ir.Node) -> Callable[..., Any]:
    slope = array(node, 1)
    if slope is not None and slope.size == 1:
        return lambda x, slope: functional.prelu(x, slope.reshape(1))
    return lambda x, slope: torch.clamp(x, min=0) + slope * torch.clamp(x, max=0)


def _shrink(node: onnx_ir.Node) -> Callable[..., Any]:
    bias, limit = node.attributes.get_float("bias", 0.0), node.attributes.get_float("lambd", 0.5)
    return lambda x: torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, torch.zeros_like(x)))


def _thresholded_relu(node: onnx_ir.Node) -> Callable[..., Any]:
    limit = node.attributes.get_float("alpha", 1.0)
    return lambda x: torch.where(x > limit, x, torch.zeros_like(x))


def _softmax(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", -1)
    return lambda x: torch.softmax(x, axis)


def _log_softmax(node: onnx_ir.Node) -> Callable[..., Any]:
    axis = node.attributes.get_int("axis", -1)
    return lambda x: torch.log_softmax(x, axis)


def _always(function: Callable[..., Any]) -> Operator:
    return lambda node: function


ACTIVATIONS: Mapping[str, Operator] = {
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _always(functional.hardswish),
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _log_softmax,
    "Mish": _always(functional.mish),
    "PRelu": _prelu,
    "Relu": _always(torch.relu),
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": _always(torch.sigmoid),
    "Softmax": _softmax,
    "Softplus": _always(functional.softplus),
    "Softsign": _always(functional.softsign),
    "Tanh": _always(torch.tanh),
    "ThresholdedRelu": _thresholded_relu,
}
