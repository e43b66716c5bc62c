"""Normalizations; batch norm with its running statistics (what it does in training, the module decides)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, decimal, is_read, listed, rank, unsupported


def _batch_norm(node: onnx_ir.Node) -> Callable[..., Any]:
    epsilon = decimal(node, "epsilon", 1e-5)
    return lambda x, scale, bias, mean, variance: functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)


def _layer_norm(node: onnx_ir.Node) -> Callable[..., Any]:
    if is_read(node, 1) or is_read(node, 2):
        raise unsupported(node, "its mean or deviation is read")
    axis = node.attributes.get_int("axis", -1)
    epsilon = decimal(node, "epsilon", 1e-5)

    def normalize(x: Any, scale: Any, bias: Any = None) -> Any:
        sizes = x.shape[axis:]
        if scale.shape == sizes and (bias is None or bias.shape == sizes):
            return functional.layer_norm(x, sizes, scale, bias, epsilon)
        normal = functional.layer_norm(x, sizes, None, None, epsilon) * scale
        return normal if bias is None else normal + bias

    return normalize


def _instance_norm(node: onnx_ir.Node) -> Callable[..., Any]:
    epsilon = decimal(node, "epsilon", 1e-5)
    return lambda x, scale, bias: functional.instance_norm(x, None, None, scale, bias, True, 0.0, epsilon)


def _group_norm(node: onnx_ir.Node) -> Callable[..., Any]:
    epsilon = decimal(node, "epsilon", 1e-5)
    groups = node.attributes.get_int("num_groups", 1)
    return lambda x, scale, bias: functional.group_norm(x, groups, scale, bias, epsilon)


def _lp_normalization(node: onnx_ir.Node) -> Callable[..., Any]:
    axis, power = node.attributes.get_int("axis", -1), node.attributes.get_int("p", 2)
    return lambda x: x / torch.linalg.vector_norm(x, power, axis, keepdim=True)


def _mean_variance(node: onnx_ir.Node) -> Callable[..., Any]:
    axes = listed(node, "axes", (0, 2, 3))

    def normalize(x: Any) -> Any:
        centred = x - x.mean(axes, keepdim=True)
        return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)

    return normalize


def _local_response(node: onnx_ir.Node) -> Callable[..., Any]:
    size = node.attributes.get_int("size", 1)
    alpha, beta = node.attributes.get_float("alpha", 1e-4), node.attributes.get_float("beta", 0.75)
    bias = node.attributes.get_float("bias", 1.0)
    spatial = rank(node) - 2
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2

    def normalize(x: Any) -> Any:
        squares = functional.pad(x.square(), [0, 0] * spatial + [before, after])
        sums = squares.unfold(1, size, 1).sum(-1)
        return x / (bias + alpha / size * sums).pow(beta)

    return normalize


NORMALIZATIONS: Mapping[str, Operator] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_normalization,
    "MeanVarianceNormalization": _mean_variance,
}
