"""Sliding windows: where SAME or VALID says what the model's pads say, and an explicit PAD where neither does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from ai_edge_litert.schema_py_generated import Padding

from .flatbuffer import Tensor
from .graph import Lowering

SAME, VALID = int(Padding.SAME), int(Padding.VALID)
_FEW_CHANNELS = 4
LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Window:
    """A window over two spatial axes; one-dimensional ones get a first axis of size 1.

    `pads`: (before, after) by axis, no more than the windows reach. `result`: number of windows by axis.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    result: tuple[int, int]
    given: tuple[int, int]

    @staticmethod
    def of(low: Lowering, node: onnx_ir.Node, size: Sequence[int], given: Sequence[int]) -> Window:
        """The window of a Conv or pooling node over spatial sizes `given`; raises LoweringError."""
        result = low.shape(node.outputs[0])[2:]
        axes = len(result)
        strides = list(node.attributes.get_ints("strides") or [1] * axes)
        dilations = list(node.attributes.get_ints("dilations") or [1] * axes)
        pads = list(node.attributes.get_ints("pads") or [0] * 2 * axes)
        mode = node.attributes.get_string("auto_pad", "NOTSET")
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            pads = _automatic(mode, given[-axes:], result, strides, dilations, size[-axes:])
        elif mode == "VALID":
            pads = [0] * 2 * axes
        if min(pads) < 0:
            raise low.fail(node, "its pads are negative; slice before it")
        found = []
        for axis in range(axes):
            reach = (result[axis] - 1) * strides[axis] + (size[-axes:][axis] - 1) * dilations[axis] + 1
            found.append((pads[axis], max(reach - given[-axes:][axis] - pads[axis], 0)))
        lead = [1] * (2 - axes)
        return Window(
            _pair(*lead, *size[-axes:]),
            _pair(*lead, *strides),
            _pair(*lead, *dilations),
            _pair(*[(0, 0)] * (2 - axes), *found),
            _pair(*lead, *result),
            _pair(*lead, *given[-axes:]),
        )

    @property
    def padding(self) -> int | None:
        """SAME or VALID where that is what the pads say, else None."""
        if all(pad == (0, 0) for pad in self.pads):
            return VALID
        return SAME if all(self._is_same(axis) for axis in (0, 1)) else None

    @property
    def is_pointwise(self) -> bool:
        """Whether every place of the input is a window of its own."""
        return self.size == self.strides == (1, 1) and self.padding == VALID

    def _is_same(self, axis: int) -> bool:
        given, stride, out = self.given[axis], self.strides[axis], self.result[axis]
        if out != -(-given // stride):
            return False
        total = max((out - 1) * stride + (self.size[axis] - 1) * self.dilations[axis] + 1 - given, 0)
        return self.pads[axis] == (total // 2, total - total // 2)


def _pair(*items: Any) -> tuple[Any, Any]:
    first, second = items
    return (first, second)


def _automatic(
    mode: str,
    given: Sequence[int],
    result: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    size: Sequence[int],
) -> list[int]:
    totals = [
        max((out - 1) * stride + (tap - 1) * step + 1 - have, 0)
        for have, out, stride, step, tap in zip(given, result, strides, dilations, size, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if mode == "SAME_UPPER" else [*large, *small]


def pad_if_needed(low: Lowering, source: Tensor, window: Window, lowest: bool = False) -> tuple[Tensor, int]:
    """`source` [N, H, W, C] padded where the kernel cannot do it itself, and the padding that it is told.

    Pads with zero (in int8 with the zero point), or with the lowest number where `lowest`.
    """
    padding = window.padding
    if padding is not None:
        return source, padding
    return pad(low, source, [(0, 0), *window.pads, (0, 0)], lowest), VALID


def pad(low: Lowering, source: Tensor, pads: Sequence[tuple[int, int]], lowest: bool = False) -> Tensor:
    """`source` with `pads` (before, after) by physical axis.

    An int8 image of few channels that was just transposed is padded before that: row by row, not element by element.
    """
    if source.index in low.transposed_from and source.dtype == "int8" and source.shape[-1] <= _FEW_CHANNELS:
        plain, perm = low.transposed_from[source.index]
        return low.transposed(pad(low, plain, [pads[perm.index(axis)] for axis in range(len(perm))], lowest), perm)
    shape = tuple(size + before + after for size, (before, after) in zip(source.shape, pads, strict=True))
    amounts = low.numbers("pads", pads)
    lowest_is_zero = source.quant is not None and source.quant.zero == -128
    if not lowest or lowest_is_zero:
        return low.emit("PAD", [source, amounts], shape, source.dtype, quant=source.quant, options=("PadOptions", {}))
    number = np.array([-128], np.int8) if source.dtype == "int8" else np.array([LOWEST], np.float32)
    filler = low.writer.constant("lowest", number, source.quant)
    given = [source, amounts, filler]
    return low.emit("PADV2", given, shape, source.dtype, quant=source.quant, options=("PadV2Options", {}))
