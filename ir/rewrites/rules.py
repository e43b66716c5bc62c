"""The rewriting rules of `canonicalize`: onnxscript's, with a check of our own where theirs lets too much through."""

from __future__ import annotations

from copy import copy
from typing import Any

import onnx_ir
from onnxscript.rewriter import RewriteRule, RewriteRuleSet
from onnxscript.rewriter.rules.common import (
    _basic_rules,
    _broadcast_to_matmul,
    _cast_constant_of_shape,
    _collapse_slices,
    _fuse_hardswish,
    _fuse_pad_into_conv,
    _fuse_relus_clips,
    _materialize_reshape_shape,
    _matmul_add_to_gemm,
    _min_max_to_clip,
    _no_op,
    _redundant_scatter_nd,
    _remove_optional_bias,
)

from ..model import constant


def _is_row(bias: onnx_ir.Value | None) -> bool:
    """Whether `bias` is a constant that Gemm can broadcast to [rows, columns] without growing the result."""
    array = constant(bias)
    return array is not None and (array.ndim <= 1 or (array.ndim == 2 and array.shape[0] == 1))


class _MatMulAddToGemm(_matmul_add_to_gemm.MatMulAddToGemm):  # type: ignore[misc]
    """MatMul of two matrices plus a constant row."""

    def check(self, context: Any, input_a: Any, input_b: Any, input_c: Any = None, **others: Any) -> Any:
        result = super().check(context, input_a, input_b, **others)
        if result and not _is_row(input_c):
            return result.fail("the summand is not a constant row")
        return result


class _TransposedMatMulAddToGemm(_MatMulAddToGemm, _matmul_add_to_gemm.TransBMatMulAddToGemm):  # type: ignore[misc]
    """The same with a transposed second matrix."""

    trans_b = True
    pattern = _matmul_add_to_gemm.TransBMatMulAddToGemm.pattern


def rules() -> RewriteRuleSet:
    """A fresh set. The batch-norm fusions are not in it: training needs batch norm whole.

    Nor is onnxscript's rule that turns `auto_pad` of a convolution into numbers: it forgets dilations (see `forms`).
    """
    return RewriteRuleSet(
        _fresh(
            # A transposed operand is looked for before the plain product, which would match inside it.
            *_TransposedMatMulAddToGemm().rule().commute(),
            *_MatMulAddToGemm().rule().commute(),
            *_no_op.rules,
            *_broadcast_to_matmul.rules,
            *_cast_constant_of_shape.rules,
            *_collapse_slices.rules,
            *_materialize_reshape_shape.rules,
            *_min_max_to_clip.rules,
            *_fuse_relus_clips.rules,
            *_basic_rules.basic_optimization_rules(),
            *_redundant_scatter_nd.rules,
            # Exporters without HardSwish write it as Clip, Add, Mul and Div; every runtime has a kernel for the whole.
            *_fuse_hardswish.fuse_hardswish_rules(),
            _fuse_pad_into_conv.fuse_pad_into_conv_rule,
            *_remove_optional_bias.rules,
        )
    )


def _fresh(*rules: RewriteRule) -> list[RewriteRule]:
    """Copies with matchers of their own: a matcher holds on to the last graph that it saw, and onnxscript's live for ever."""
    fresh = [copy(rule) for rule in rules]
    for rule in fresh:
        rule._matcher = copy(rule._matcher)
    return fresh
