"""Products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, given


def _gemm(node: onnx_ir.Node) -> Callable[..., Any]:
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    is_left_turned, is_right_turned = node.attributes.get_int("transA", 0), node.attributes.get_int("transB", 0)
    summand = given(node, 2)
    is_row = summand is None or (summand.shape is not None and len(summand.shape) == 1)
    if alpha == beta == 1.0 and not is_left_turned and is_row:
        if is_right_turned:
            return functional.linear
        return lambda a, b, c=None: functional.linear(a, b.t(), c)

    def general(a: Any, b: Any, c: Any = None) -> Any:
        product = (a.t() if is_left_turned else a) @ (b.t() if is_right_turned else b)
        product = product if alpha == 1.0 else product * alpha
        return product if c is None else product + (c if beta == 1.0 else c * beta)

    return general


def _einsum(node: onnx_ir.Node) -> Callable[..., Any]:
    equation = str(node.attributes["equation"].value)
    return lambda *operands: torch.einsum(equation, *operands)


MATRICES: Mapping[str, Operator] = {"Gemm": _gemm, "MatMul": lambda node: torch.matmul, "Einsum": _einsum}
