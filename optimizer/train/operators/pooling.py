"""Pooling over windows and over whole maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir
import torch
from torch.nn import functional

from .reading import Operator, is_read, listed, rank, same_pads, torch_pads, unsupported

_MAXIMA = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_MEANS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


@dataclass(frozen=True)
class _Window:
    """Attributes of a pool; `pads` is None where `mode` decides them by the size of the input."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int] | None
    mode: str
    is_ceil: bool

    @property
    def symmetric(self) -> list[int] | None:
        """Padding that torch's pools take themselves: equal at both ends, at most half the kernel."""
        if self.pads is None:
            return None
        begins, ends = self.pads[: len(self.kernel)], self.pads[len(self.kernel) :]
        fits = all(2 * pad <= width for pad, width in zip(begins, self.kernel, strict=True))
        return begins if begins == ends and fits else None

    def around(self, x: Any) -> list[int]:
        """ONNX pads for the input `x`."""
        if self.pads is not None:
            return self.pads
        return same_pads(self.mode, x.shape[2:], self.kernel, self.strides, self.dilations)


def _window(node: onnx_ir.Node) -> _Window:
    kernel = listed(node, "kernel_shape", ())
    count = len(kernel)
    if count not in _MAXIMA:
        raise unsupported(node, "its window has not one, two or three axes")
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    pads = listed(node, "pads", [0] * (2 * count))
    return _Window(
        kernel,
        listed(node, "strides", [1] * count),
        listed(node, "dilations", [1] * count),
        None if mode.startswith("SAME") else [0] * (2 * count) if mode == "VALID" else pads,
        mode,
        bool(node.attributes.get_int("ceil_mode", 0)),
    )


def _max_pool(node: onnx_ir.Node) -> Callable[..., Any]:
    if is_read(node, 1):
        raise unsupported(node, "its indices are read")
    window = _window(node)
    pool = _MAXIMA[len(window.kernel)]
    padding = window.symmetric
    if padding is not None:
        return lambda x: pool(x, window.kernel, window.strides, padding, window.dilations, window.is_ceil)

    def uneven(x: Any) -> Any:
        padded = functional.pad(x, torch_pads(window.around(x)), value=float("-inf"))
        return pool(padded, window.kernel, window.strides, 0, window.dilations, window.is_ceil)

    return uneven


def _average_pool(node: onnx_ir.Node) -> Callable[..., Any]:
    window = _window(node)
    if any(step != 1 for step in window.dilations):
        raise unsupported(node, "averages over dilated windows have no kernel in torch")
    pool = _MEANS[len(window.kernel)]
    counts_pads = bool(node.attributes.get_int("count_include_pad", 0))
    padding = window.symmetric
    if padding is not None:
        return lambda x: pool(x, window.kernel, window.strides, padding, window.is_ceil, counts_pads)

    def uneven(x: Any) -> Any:
        around = torch_pads(window.around(x))
        sums = pool(functional.pad(x, around), window.kernel, window.strides, 0, window.is_ceil)
        if counts_pads:
            return sums
        ones = functional.pad(torch.ones_like(x[:1, :1]), around)
        return sums / pool(ones, window.kernel, window.strides, 0, window.is_ceil)

    return uneven


def _lp_pool(node: onnx_ir.Node) -> Callable[..., Any]:
    window = _window(node)
    if any(step != 1 for step in window.dilations):
        raise unsupported(node, "norms over dilated windows have no kernel in torch")
    power = node.attributes.get_int("p", 2)
    pool = _MEANS[len(window.kernel)]
    elements = 1
    for width in window.kernel:
        elements *= width

    def pooled(x: Any) -> Any:
        powers = functional.pad(x.abs().pow(power), torch_pads(window.around(x)))
        means = pool(powers, window.kernel, window.strides, 0, window.is_ceil, True, elements and None)
        return (means * elements).pow(1 / power)

    return pooled


def _global(function: Callable[[Any, list[int]], Any]) -> Operator:
    def make(node: onnx_ir.Node) -> Callable[..., Any]:
        axes = list(range(2, rank(node)))
        return lambda x: function(x, axes)

    return make


def _global_lp(node: onnx_ir.Node) -> Callable[..., Any]:
    axes, power = list(range(2, rank(node))), node.attributes.get_int("p", 2)
    return lambda x: torch.linalg.vector_norm(x, power, axes, keepdim=True)


POOLS: Mapping[str, Operator] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global(lambda x, axes: x.mean(axes, keepdim=True)),
    "GlobalLpPool": _global_lp,
    "GlobalMaxPool": _global(lambda x, axes: x.amax(axes, keepdim=True)),
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
}
